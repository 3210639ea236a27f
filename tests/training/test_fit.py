"""Fitted by scikit-learn, kept as tensors: the network says what scikit-learn says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from small_examples import GENRES, SHAPE, TAGS, parts

from genretag.errors import TrainingError
from genretag.models.records import Fit
from genretag.models.registry import build_network, preset
from genretag.training.discriminant import BlendedDiscriminant
from genretag.training.distributed import World
from genretag.training.examples import Examples
from genretag.training.fit import fit_classical
from genretag.training.forward import answers, probabilities, rows_of
from genretag.training.windows import ArrayWindows

CPU = World(torch.device("cpu"))
SVM = {"head": "svm-rbf", "pca": False, "hidden": []}
PROBE = {
    "base_preset": "mlp",
    "base_config": {"hidden": [5], "dropout": 0.0},
    "base_labels": 4,
    "base_kind": "single",
    "hidden": [],
    "pca": False,
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def everything(examples: Examples) -> np.ndarray:
    return examples.windows.gather(np.arange(len(examples.windows)))


def statistics(features: np.ndarray) -> np.ndarray:
    return np.concatenate([features.mean(axis=1), features.std(axis=1)], axis=1)


def fitted(name: str, config: dict[str, Any], recipe: Fit, labels: int = 3, **more: Any) -> tuple[Any, Any]:
    network = build_network(name, config, labels, SHAPE).eval()
    config = {**preset(name).config, **config}
    found = fit_classical(network, more.pop("train", parts().train), recipe, config, CPU, **more)
    return network, found


def test_an_svm_on_statistics_of_windows() -> None:
    data = parts()
    network, found = fitted("svm", SVM, Fit(c=2.0))
    assert found is None
    train, test = data.train, data.test
    assert test is not None
    reference = make_pipeline(StandardScaler(), SVC(C=2.0, gamma="auto"))
    reference.fit(statistics(everything(train)), train.targets[train.track])
    logits, track = answers(network, test, CPU)
    wanted = reference.decision_function(statistics(everything(test)))
    assert logits == pytest.approx(wanted, abs=1e-3)
    assert np.array_equal(logits.argmax(axis=1), reference.predict(statistics(everything(test))))
    assert np.array_equal(track, test.track)
    assert (logits.argmax(axis=1) == test.targets[test.track]).mean() > 0.6


@pytest.mark.parametrize("head", ["svm-rbf", "svm-linear", "linear", "mlp"])
@pytest.mark.parametrize("labels", [GENRES, TAGS], ids=["single", "multi"])
def test_every_head_learns_both_kinds_of_labels(head: str, labels: Any) -> None:
    data = parts(labels, noise=0.4)
    config = {"head": head, "pca": True, "hidden": [16] if head == "mlp" else []}
    network, _ = fitted("svm", config, Fit(c=1.0, variance=0.95), train=data.train)
    test = data.test
    assert test is not None
    logits, _ = answers(network, test, CPU)
    truth = test.targets[test.track]
    probs = probabilities(logits, labels.kind)
    assert np.isfinite(probs).all()
    if (
        head == "mlp"
    ):  # with few examples and iterations it learns little; that it says something is enough here
        return
    if labels is GENRES:
        assert (probs.argmax(axis=1) == truth).mean() > 0.7
    else:
        assert roc_auc_score(truth, probs) > 0.7


def test_principal_components_and_several_tags() -> None:
    data = parts(TAGS)
    network, _ = fitted("svm", {**SVM, "pca": True}, Fit(c=3.0, variance=0.9), train=data.train)
    reference = make_pipeline(
        StandardScaler(), PCA(0.9, svd_solver="full"), OneVsRestClassifier(SVC(C=3.0, gamma="auto"))
    )
    rows = statistics(everything(data.train))
    reference.fit(rows, data.train.targets[data.train.track].astype(int))
    assert data.test is not None
    logits, _ = answers(network, data.test, CPU)
    assert logits == pytest.approx(reference.decision_function(statistics(everything(data.test))), abs=1e-3)


@pytest.mark.parametrize("rows", ["scores", "embedding"])
def test_a_probe_of_whole_tracks(rows: str) -> None:
    data = parts()
    torch.manual_seed(0)
    statistics = ["mean", "std", "max"]
    config = {**PROBE, "rows": rows, "head": "linear", "statistics": statistics, "logit": False}
    network, _ = fitted("probe", config, Fit(c=1.0))
    assert data.valid is not None
    windows = rows_of(network, data.train, CPU)
    assert windows.shape == (72, 4 if rows == "scores" else 5)
    three = windows.reshape(24, 3, -1)  # three windows a track
    summary = np.concatenate([three.mean(axis=1), three.std(axis=1), three.max(axis=1)], axis=1)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=5000, tol=1e-6))
    reference.fit(summary, data.train.targets)
    logits, track = answers(network, data.train, CPU)
    assert probabilities(logits, "single") == pytest.approx(reference.predict_proba(summary), abs=1e-4)
    assert np.array_equal(track, np.arange(24))


def test_a_probe_of_whole_tracks_with_discriminant_analysis() -> None:
    data = parts()
    torch.manual_seed(0)
    config = {**PROBE, "statistics": ["mean"], "logit": False}
    network, _ = fitted("probe", config, Fit(c=0.1, discriminant=0.7, shrinkage=0.2, class_weights=True))
    summary = rows_of(network, data.train, CPU).reshape(24, 3, -1).mean(axis=1)
    reference = make_pipeline(StandardScaler(), BlendedDiscriminant(0.7, 0.2, 0.1))
    reference.fit(summary, data.train.targets)
    logits, _ = answers(network, data.train, CPU)
    assert logits == pytest.approx(reference.decision_function(summary), abs=1e-4)


def test_a_probe_of_windows_weighs_artists_and_labels() -> None:
    train = parts(windows=5).train
    # One artist has most of the blues, and one clip has only two windows left.
    groups = np.where(train.targets == 0, np.arange(24) // 15, np.arange(24))
    some = np.flatnonzero((train.track != 4) | (np.arange(120) % 5 < 2))
    windows = ArrayWindows(everything(train)[some], np.arange(len(some)))
    train = replace(train, windows=windows, track=train.track[some], groups=groups, number=None)
    torch.manual_seed(0)
    recipe = Fit(c=2.0, class_weights=True, artist_exponent=0.5, window_step=2)
    network, _ = fitted("probe", PROBE, recipe, train=train)
    rows = rows_of(network, train, CPU).astype(float)
    clip = np.array([np.sum(groups == group) ** -0.5 for group in groups])
    clip /= np.bincount(train.targets, clip)[train.targets]
    clip *= len(clip) / clip.sum()
    chosen = np.concatenate([np.flatnonzero(train.track == number)[::2] for number in range(24)])
    own = train.track[chosen]
    weights = (clip / np.bincount(own))[own]
    X = np.log((rows + 1e-3) / (1 - rows + 1e-3))
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=2.0, max_iter=5000, tol=1e-6))
    reference.fit(X[chosen], train.targets[own], logisticregression__sample_weight=weights)
    logits, track = answers(network, train, CPU)
    said = reference.predict_proba(X)
    wanted = np.stack([said[train.track == number].mean(axis=0) for number in range(24)])
    assert probabilities(logits, "single") == pytest.approx(wanted, abs=1e-4)
    assert np.array_equal(track, np.arange(24))
    plain, _ = fitted("probe", PROBE, replace(recipe, artist_exponent=0.0), train=train)
    assert answers(plain, train, CPU)[0] != pytest.approx(logits, abs=1e-2)


def test_a_probe_of_windows_learns_tags() -> None:
    data = parts(TAGS, noise=0.4)
    torch.manual_seed(0)
    network, _ = fitted("probe", {**PROBE, "rows": "embedding", "kind": "multi"}, Fit(), train=data.train)
    logits, _ = answers(network, data.train, CPU)
    assert roc_auc_score(data.train.targets, probabilities(logits, "multi")) > 0.7


def test_class_weights_of_an_svm_are_those_of_scikit_learn() -> None:
    train = parts().train
    few = replace(train, targets=np.where(np.arange(24) < 15, 0, train.targets))
    network, _ = fitted("svm", SVM, Fit(c=2.0, class_weights=True), train=few)
    reference = make_pipeline(StandardScaler(), SVC(C=2.0, gamma="auto", class_weight="balanced"))
    reference.fit(statistics(everything(few)), few.targets[few.track])
    logits, _ = answers(network, few, CPU)
    assert logits == pytest.approx(reference.decision_function(statistics(everything(few))), abs=1e-2)


def test_rows_that_are_there_are_not_computed_again() -> None:
    torch.manual_seed(0)
    data = parts()
    config = {**PROBE, "rows": "scores", "head": "linear"}
    network, _ = fitted("probe", config, Fit(c=1.0))
    wanted, _ = answers(network, data.train, CPU)
    rows = rows_of(network, data.train, CPU)
    given = replace(data.train, shape=(4,), windows=ArrayWindows(rows, np.arange(len(rows))))
    network.base = None
    found, _ = answers(network, given, CPU)
    assert np.array_equal(found, wanted)


def test_a_grid_search_keeps_groups_together() -> None:
    data = parts(noise=1.5)
    train = data.train
    grid = {"c": (0.01, 1.0, 100.0), "gamma": (1e-3, 1e-1), "alpha": (1.0,)}
    network, found = fitted("svm", SVM, Fit(grid=grid), train=train, search=True, seed=3)
    assert found is not None
    assert (found.settings, found.folds) == (6, 5)
    assert set(found.chosen) == {"c", "gamma"}
    rows, truth = statistics(everything(train)), train.targets[train.track]
    assert train.groups is not None
    groups = train.groups[train.track]
    scores = {}
    for c in grid["c"]:
        for gamma in grid["gamma"]:
            reference = make_pipeline(StandardScaler(), SVC(C=c, gamma=gamma))
            folds = StratifiedGroupKFold(5, shuffle=True, random_state=3).split(rows, truth, groups)
            scores[c, gamma] = np.mean(
                [reference.fit(rows[a], truth[a]).score(rows[b], truth[b]) for a, b in folds]
            )
    best = max(scores, key=lambda setting: scores[setting])
    assert found.score == pytest.approx(scores[best])
    assert scores[found.chosen["c"], found.chosen["gamma"]] == pytest.approx(scores[best])
    again = build_network("svm", SVM, 3, SHAPE).eval()
    fit_classical(again, train, Fit(**found.chosen), {**preset("svm").config, **SVM}, CPU)
    assert torch.equal(
        again(torch.from_numpy(everything(train))), network(torch.from_numpy(everything(train)))
    )


def test_a_grid_search_of_tags() -> None:
    train = parts(TAGS).train
    _, found = fitted("svm", SVM, Fit(grid={"c": (0.1, 1.0)}), train=train, search=True)
    assert found is not None
    assert 0.5 < found.score <= 1


def test_a_label_without_an_example_is_one_line() -> None:
    train = parts().train
    few = replace(train, targets=np.where(train.targets == 1, 0, train.targets))
    with pytest.raises(TrainingError, match="no clip of the train part is 'jazz'"):
        fitted("svm", SVM, Fit(), train=few)


def test_what_scikit_learn_cannot_do_is_one_line() -> None:
    mlp = {"head": "mlp", "pca": False, "hidden": [4]}
    for labels in (GENRES, TAGS):
        train = parts(labels).train
        uneven = replace(train, targets=np.roll(train.targets, 1, axis=0))
        if labels is GENRES:
            uneven = replace(train, targets=np.where(np.arange(24) < 9, 0, train.targets))
        with pytest.raises(TrainingError, match="takes no weights"):
            fitted("svm", mlp, Fit(class_weights=True), train=uneven)
    with pytest.raises(TrainingError, match="the grid has no values for the head 'mlp'"):
        fitted("svm", mlp, Fit(grid={"c": (1.0,)}), search=True)
