"""The classifier between discriminant analysis and logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from genretag.training.discriminant import BlendedDiscriminant, discriminant_analysis

Floats = np.ndarray


def made(classes: int = 3, each: int = 30, columns: int = 6) -> tuple[Floats, Floats]:
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(classes), each)
    mixing = random.normal(size=(columns, columns))
    rows = (
        random.normal(size=(classes * each, columns)) @ mixing
        + 2 * random.normal(size=(classes, columns))[labels]
    )
    return rows, labels


def centred(logits: Floats) -> Floats:
    return logits - logits.mean(axis=1, keepdims=True)


def test_all_discriminant_is_scikit_learns_shrinkage_lda_up_to_its_scale() -> None:
    rows, labels = made()
    ours = centred(BlendedDiscriminant(1.0, 0.2).fit(rows, labels).decision_function(rows))
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2, priors=np.full(3, 1 / 3))
    expected = centred(theirs.fit(rows, labels).decision_function(rows))
    assert ours * np.sqrt(np.mean(expected**2)) == pytest.approx(expected, abs=1e-6)
    assert np.sqrt(np.mean(ours**2)) == pytest.approx(1.0)


def test_no_discriminant_is_logistic_regression_up_to_its_scale() -> None:
    rows, labels = made()
    weights = np.linspace(0.5, 1.5, len(rows))
    ours = centred(BlendedDiscriminant(0.0, C=0.3).fit(rows, labels, weights).decision_function(rows))
    theirs = LogisticRegression(C=0.3, max_iter=5000, tol=1e-6).fit(rows, labels, weights)
    expected = centred(theirs.decision_function(rows))
    assert ours * np.sqrt(np.mean(expected**2)) == pytest.approx(expected, abs=1e-4)


def test_the_blend_is_the_weighted_mean_of_both() -> None:
    rows, labels = made()
    discriminant, regression, blend = (
        BlendedDiscriminant(share).fit(rows, labels).decision_function(rows) for share in (1.0, 0.0, 0.7)
    )
    assert blend == pytest.approx(0.7 * discriminant + 0.3 * regression)


def test_a_weight_of_two_is_a_row_twice() -> None:
    rows, labels = made()
    weights = np.where(np.arange(len(rows)) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(np.arange(len(rows)), weights.astype(int))
    once = discriminant_analysis(rows, labels, weights, 0.1)
    repeated = discriminant_analysis(rows[twice], labels[twice], np.ones(len(twice)), 0.1)
    for one, other in zip(once, repeated, strict=True):
        assert one == pytest.approx(other)


def test_two_classes_and_names_of_classes() -> None:
    rows, labels = made(classes=2)
    model = BlendedDiscriminant(0.5).fit(rows, np.array(["a", "b"])[labels])
    assert model.decision_function(rows).shape == (60, 2)
    assert np.mean(model.predict(rows) == np.array(["a", "b"])[labels]) > 0.9


def test_columns_without_spread_leave_finite_weights() -> None:
    rows, labels = made()
    model = BlendedDiscriminant(1.0).fit(np.column_stack([rows, np.zeros(len(rows))]), labels)
    assert np.isfinite(model.coef_).all()
