"""Folds inside the train part: every clip judged by a fit without it, and what follows for another fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_examples import GENRES, SHAPE, TAGS, parts

from genretag.audio.features import table_features
from genretag.checkpoint import CheckpointMeta
from genretag.errors import SplitError
from genretag.models.records import Fit
from genretag.models.registry import build_network, preset
from genretag.training.distributed import World
from genretag.training.fit import fit_classical
from genretag.training.forward import answers, probabilities
from genretag.training.grouping import cut_folds
from genretag.training.inner import OutOfFold, calibrated_inside, measured_inside, out_of_fold
from genretag.training.windows import ArrayWindows

CPU = World(torch.device("cpu"))
PROBE = {
    **preset("probe").config,
    "base_preset": "mlp",
    "base_config": {"hidden": [5], "dropout": 0.0},
    "base_labels": 4,
    "rows": "embedding",
}
SVM = {**preset("svm").config, "hidden": []}
RECIPE = Fit(c=1.0, artist_exponent=0.5)


def network_of(name: str, config: dict[str, Any], labels: int = 3) -> Any:
    torch.manual_seed(0)
    return build_network(name, config, labels, SHAPE).eval()


@pytest.mark.parametrize(("name", "config"), [("probe", PROBE), ("svm", SVM)])
def test_a_fold_is_heard_by_the_fit_of_the_others(name: str, config: dict[str, Any]) -> None:
    train = parts(noise=1.5).train
    network = network_of(name, config)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    found = out_of_fold(network, train, RECIPE, config, CPU, folds=4, seed=2)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    per_track = 1 if name == "probe" else 3
    assert np.array_equal(found.track, np.repeat(np.arange(24), per_track))
    # One fold by hand.
    assert train.groups is not None
    held = cut_folds(train.targets, train.groups, 4, 2)[1]
    kept = np.flatnonzero(~held[train.track])
    others = replace(
        train,
        windows=ArrayWindows(train.windows.gather(kept), np.arange(len(kept))),
        track=(np.cumsum(~held) - 1)[train.track[kept]],
        ids=tuple(np.array(train.ids)[~held]),
        targets=train.targets[~held],
        groups=train.groups[~held],
        number=None,
    )
    fold = network_of(name, config)
    fit_classical(fold, others, RECIPE, config, CPU)
    expected, own = answers(fold, train, CPU)
    assert found.logits[held[found.track]] == pytest.approx(expected[held[own]], abs=1e-4)


@pytest.mark.parametrize("labels", [GENRES, TAGS], ids=["single", "multi"])
def test_the_folds_calibrate_and_measure(labels: Any) -> None:
    data = parts(labels, noise=1.5, sizes={"train": 60, "valid": 0, "test": 0}, without=("valid", "test"))
    config = {**PROBE, "kind": labels.kind}
    found = out_of_fold(network_of("probe", config), data.train, RECIPE, config, CPU, folds=5)
    # Far too sure of itself, which the temperature has to mend.
    sure = OutOfFold(found.examples, found.logits * 4, found.track, found.folds)
    meta = CheckpointMeta(
        "mine", "probe", config, table_features(4), labels, "head", dataset="made-up", split="official"
    )
    calm, loud = calibrated_inside(meta, found), calibrated_inside(meta, sure)
    assert loud.temperature == pytest.approx(4 * calm.temperature, rel=0.02)
    assert loud.extra["inner_folds"] == 5
    assert loud.scores["on"] == "made-up official train, 5 folds inside"
    assert loud.scores["tracks"] == 60
    assert bool(loud.thresholds) == (labels is TAGS)
    measured = measured_inside(loud, sure, data)
    assert measured.split == "official train, 5 folds inside"
    assert measured.y_prob == pytest.approx(probabilities(sure.logits, labels.kind, loud.temperature))
    assert measured.ids == data.train.ids
    if labels is GENRES:
        right = (found.logits.argmax(axis=1) == data.train.targets).mean()
        assert measured.track.accuracy == pytest.approx(right)
        assert loud.scores["accuracy"] == pytest.approx(right, abs=1e-6)


def test_more_folds_than_artists_are_refused() -> None:
    with pytest.raises(SplitError, match="13 folds need as many artists or tracks, and there are 12"):
        out_of_fold(network_of("svm", SVM), parts().train, RECIPE, SVM, CPU, folds=13)
