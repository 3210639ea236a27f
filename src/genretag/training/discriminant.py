"""A linear classifier between shrinkage discriminant analysis and logistic regression."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]


class BlendedDiscriminant(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Average the logits of a linear discriminant analysis and of a logistic regression.

    Discriminant analysis assumes one covariance for all classes. With few rows it is the more stable of the
    two, and logistic regression is the more accurate. Both are linear in the same columns, hence so is their
    average. Each one's logits are divided by their root mean square over the training rows first, so that
    neither dominates by its scale; a temperature has to be fitted afterwards.

    The covariance within classes is (1 - shrinkage) S + shrinkage trace(S) / columns I, classes are taken as
    equally frequent. Source: J. H. Friedman, "Regularized discriminant analysis", 1989.

    Args:
        discriminant: weight of the discriminant analysis in the average, from 0 to 1.
        shrinkage: from 0 (the empirical covariance) to 1 (a multiple of the identity).
        C: inverse strength of regularisation of the logistic regression.
        max_iter: most iterations of the logistic regression.
        tol: tolerance of the logistic regression.
    """

    def __init__(
        self,
        discriminant: float = 0.5,
        shrinkage: float = 0.1,
        C: float = 1.0,  # scikit-learn's name, which a grid search sets
        max_iter: int = 5000,
        tol: float = 1e-6,
    ) -> None:
        self.discriminant = discriminant
        self.shrinkage = shrinkage
        self.C = C
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, rows: Floats, labels: NDArray[Any], sample_weight: Floats | None = None) -> Self:
        """Fit to rows (rows, columns) with labels (rows,), each row weighted."""
        weights = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        self.classes_, index = np.unique(labels, return_inverse=True)
        discriminant = discriminant_analysis(rows, index, weights, self.shrinkage)
        regression = LogisticRegression(C=self.C, max_iter=self.max_iter, tol=self.tol)
        regression.fit(rows, index, weights)
        fitted = _both_classes(regression.coef_, regression.intercept_)
        parts = [_scaled(rows, *discriminant), _scaled(rows, *fitted)]
        shares = (self.discriminant, 1.0 - self.discriminant)
        self.coef_: Floats = np.average([part[0] for part in parts], axis=0, weights=shares)
        self.intercept_: Floats = np.average([part[1] for part in parts], axis=0, weights=shares)
        return self

    def decision_function(self, rows: Floats) -> Floats:
        """Return the logits (rows, classes)."""
        logits: Floats = rows @ self.coef_.T + self.intercept_
        return logits

    def predict(self, rows: Floats) -> NDArray[Any]:
        """Return the most probable class of each row."""
        best: NDArray[Any] = self.classes_[self.decision_function(rows).argmax(axis=1)]
        return best


def discriminant_analysis(
    rows: Floats, index: NDArray[np.intp], weights: Floats, shrinkage: float
) -> tuple[Floats, Floats]:
    """Return the weights (classes, columns) and biases (classes,) of linear discriminant analysis.

    Args:
        rows: (rows, columns), of comparable scale.
        index: (rows,) class of each row, from 0.
        weights: (rows,) of each row.
        shrinkage: share of the identity in the covariance.
    """
    classes = range(int(np.max(index)) + 1)
    means = np.stack([np.average(rows[index == k], axis=0, weights=weights[index == k]) for k in classes])
    residuals = rows - means[index]
    covariance = (residuals * weights[:, None]).T @ residuals / weights.sum()
    columns = len(covariance)
    identity = np.trace(covariance) / columns * np.eye(columns)
    coefficients = np.linalg.solve((1 - shrinkage) * covariance + shrinkage * identity, means.T).T
    return coefficients, -0.5 * (means * coefficients).sum(axis=1)


def _both_classes(coefficients: Floats, biases: Floats) -> tuple[Floats, Floats]:
    """Return a row per class; scikit-learn fits a single one for two classes."""
    if len(biases) > 1:
        return coefficients, biases
    return np.concatenate([-coefficients, coefficients]) / 2, np.concatenate([-biases, biases]) / 2


def _scaled(rows: Floats, coefficients: Floats, biases: Floats) -> tuple[Floats, Floats]:
    """Centre the logits over the classes and divide them by their root mean square."""
    coefficients, biases = coefficients - coefficients.mean(axis=0), biases - biases.mean()
    scale = np.sqrt(np.mean((rows @ coefficients.T + biases) ** 2))
    return coefficients / scale, biases / scale
