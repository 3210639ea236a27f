"""What scikit-learn fits and what the torch modules say of it are the same decisions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from classifiers import fitted
from genretag.errors import ModelError
from genretag.models.classical import Decision

Rows = NDArray[np.float64]
TRAIN, TEST = slice(0, 400), slice(400, 700)


@pytest.fixture(scope="module")
def digits() -> tuple[Rows, NDArray[np.intp]]:
    """Real rows of 64 columns, some of which never vary, in ten classes."""
    return load_digits(return_X_y=True)


def several(classes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Three labels a row, of which any number can be true."""
    return np.stack([classes % 2, classes > 6, classes % 3 == 0], axis=1).astype(int)


def decide(pipeline: Any, head: str, X: Rows, *, components: bool = False, layers: int = 1) -> Rows:
    labels = (
        pipeline.predict(X[:1]).shape[-1] if pipeline.predict(X[:1]).ndim == 2 else len(pipeline.classes_)
    )
    module = Decision(X.shape[1], labels, head, components=components, layers=layers)
    module.adopt(pipeline)
    with torch.inference_mode():
        return module(torch.from_numpy(X).float()).double().numpy()


@pytest.mark.parametrize("variance", [None, 0.9])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("head", ["svm-rbf", "svm-linear"])
def test_svm_decides_as_scikit_learn(
    digits: tuple[Rows, NDArray[np.intp]], head: str, classes: int, variance: float | None
) -> None:
    X, y = digits[0][digits[1] < classes], digits[1][digits[1] < classes]
    train, test = (slice(0, 150), slice(150, None)) if classes < 10 else (TRAIN, TEST)
    pipeline = fitted(X[train], y[train], head, variance=variance)
    logits = decide(pipeline, head, X[test], components=variance is not None)
    expected = pipeline.decision_function(X[test])
    if classes == 2:
        # scikit-learn gives the margin of the second class alone.
        np.testing.assert_array_equal(logits.argmax(axis=1), (expected > 0).astype(int))
    else:
        np.testing.assert_allclose(logits, expected, atol=1e-3)
    np.testing.assert_array_equal(logits.argmax(axis=1), pipeline.predict(X[test]))
    assert (logits.argmax(axis=1) == y[test]).mean() > 0.8


@pytest.mark.parametrize("head", ["svm-rbf", "svm-linear", "linear"])
def test_several_labels_decide_as_scikit_learn(digits: tuple[Rows, NDArray[np.intp]], head: str) -> None:
    X, Y = digits[0], several(digits[1])
    pipeline = fitted(X[TRAIN], Y[TRAIN], head)
    logits = decide(pipeline, head, X[TEST])
    np.testing.assert_allclose(logits, pipeline.decision_function(X[TEST]), atol=1e-3)
    np.testing.assert_array_equal(logits > 0, pipeline.predict(X[TEST]))


def test_a_label_that_never_varies_is_certain(digits: tuple[Rows, NDArray[np.intp]]) -> None:
    X, Y = digits[0][TRAIN], several(digits[1][TRAIN])
    Y[:, 0], Y[:, 2] = 0, 1
    for head in ("svm-rbf", "linear"):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Label")
            logits = decide(fitted(X, Y, head), head, X)
        assert (logits[:, 0] < -5).all()
        assert (logits[:, 2] > 5).all()
        assert 0 < (logits[:, 1] > 0).mean() < 1


@pytest.mark.parametrize("classes", [2, 5])
def test_logistic_regression_gives_the_same_probabilities(
    digits: tuple[Rows, NDArray[np.intp]], classes: int
) -> None:
    X, y = digits[0][digits[1] < classes], digits[1][digits[1] < classes]
    pipeline = fitted(X, y, "linear")
    logits = torch.from_numpy(decide(pipeline, "linear", X))
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), pipeline.predict_proba(X), atol=1e-5)


def test_linear_svc_decides_as_scikit_learn(digits: tuple[Rows, NDArray[np.intp]]) -> None:
    X, y = digits
    pipeline = make_pipeline(StandardScaler(), PCA(0.95), LinearSVC(C=0.01)).fit(X[TRAIN], y[TRAIN])
    logits = decide(pipeline, "linear", X[TEST], components=True)
    np.testing.assert_allclose(logits, pipeline.decision_function(X[TEST]), atol=1e-4)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("classes", [2, 10])
def test_mlp_gives_the_same_probabilities(digits: tuple[Rows, NDArray[np.intp]], classes: int) -> None:
    X, y = digits[0][digits[1] < classes], digits[1][digits[1] < classes]
    pipeline = fitted(X, y, "mlp")
    logits = torch.from_numpy(decide(pipeline, "mlp", X, layers=3))
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), pipeline.predict_proba(X), atol=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_mlp_with_several_labels_gives_the_same_probabilities(digits: tuple[Rows, NDArray[np.intp]]) -> None:
    X, Y = digits[0][TRAIN], several(digits[1][TRAIN])
    pipeline = fitted(X, Y, "mlp")
    logits = torch.from_numpy(decide(pipeline, "mlp", X, layers=3))
    np.testing.assert_allclose(logits.sigmoid().numpy(), pipeline.predict_proba(X), atol=1e-5)


def test_a_module_takes_the_size_of_what_is_loaded(digits: tuple[Rows, NDArray[np.intp]]) -> None:
    X, y = digits
    first = Decision(64, 10, "svm-rbf", components=True)
    first.adopt(fitted(X[TRAIN], y[TRAIN], "svm-rbf", variance=0.8))
    rows = torch.from_numpy(X[TEST]).float()
    second = Decision(64, 10, "svm-rbf", components=True)
    second.adopt(fitted(X[:100], y[:100], "svm-rbf", variance=0.99))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(rows), second(rows))
    with pytest.raises(RuntimeError):
        Decision(64, 10, "linear", components=True).load_state_dict(first.state_dict())


def test_what_is_not_fitted_refuses() -> None:
    for head in ("svm-rbf", "linear", "mlp"):
        with pytest.raises(ModelError, match="not fitted"):
            Decision(4, 3, head)(torch.zeros(1, 4))
    with pytest.raises(ModelError, match="not fitted"):
        Decision(4, 3, "linear", components=True)(torch.zeros(1, 4))


def test_other_estimators_are_refused_in_one_line(digits: tuple[Rows, NDArray[np.intp]]) -> None:
    X, y = digits[0][:200], digits[1][:200]
    wrong = [
        (make_pipeline(LogisticRegression(max_iter=500)), "linear", "StandardScaler"),
        (make_pipeline(StandardScaler(), PCA(5), SVC()), "svm-rbf", "PCA"),
        (make_pipeline(StandardScaler(), SVC(kernel="linear")), "svm-rbf", "'rbf'"),
        (make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), "svm-rbf", "support-vector"),
        (make_pipeline(StandardScaler(), RandomForestClassifier(2)), "linear", "RandomForest"),
        (make_pipeline(StandardScaler(), MLPClassifier((8,), activation="tanh", max_iter=5)), "mlp", "tanh"),
        (make_pipeline(StandardScaler(), OneVsRestClassifier(SVC())), "linear", "OneVsRest"),
    ]
    for pipeline, head, word in wrong:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline.fit(X, y)
        with pytest.raises(ModelError, match=word) as caught:
            Decision(64, 10, head, layers=2).adopt(pipeline)
        assert "\n" not in str(caught.value)


def test_a_label_without_examples_is_noticed(digits: tuple[Rows, NDArray[np.intp]]) -> None:
    X, y = digits[0][digits[1] != 3], digits[1][digits[1] != 3]
    for head in ("svm-rbf", "linear"):
        with pytest.raises(ModelError, match="9 of 10 labels"):
            Decision(64, 10, head).adopt(fitted(X[:200], y[:200], head))
