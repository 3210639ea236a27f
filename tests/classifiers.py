"""scikit-learn pipelines fitted to rows, as training makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

CLASSIFIERS = {
    "svm-rbf": lambda: SVC(kernel="rbf", C=3.0, gamma="auto", break_ties=True),
    "svm-linear": lambda: SVC(kernel="linear", C=0.1, break_ties=True),
    "linear": lambda: LogisticRegression(C=0.1, max_iter=500),
}


def fitted(
    X: NDArray[np.floating], Y: NDArray[np.integer], head: str, *, variance: float | None = None
) -> Pipeline:
    """A pipeline fitted to rows X; Y (rows,) for one label a row, (rows, labels) for several."""
    classifier: Any
    if head == "mlp":
        classifier = MLPClassifier((16, 8), max_iter=150, random_state=0)
    else:
        classifier = CLASSIFIERS[head]()
        if Y.ndim == 2:
            classifier = OneVsRestClassifier(classifier)
    steps = [PCA(variance)] if variance is not None else []
    return make_pipeline(StandardScaler(), *steps, classifier).fit(X, Y)
