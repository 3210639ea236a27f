"""What the valid part adds to a checkpoint: temperature, thresholds and scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from small_examples import GENRES, TAGS, parts, small
from torch import Tensor, nn

from genretag.audio.features import table_features
from genretag.checkpoint import CheckpointMeta
from genretag.labels import LabelSet
from genretag.training.distributed import World
from genretag.training.finish import best_thresholds, calibrated
from genretag.training.windows import ArrayWindows

CPU = World(torch.device("cpu"))


def test_thresholds_are_those_of_the_best_f1() -> None:
    draw = np.random.default_rng(0)
    truth = draw.random((40, 4)) < (0.5, 0.2, 0.05, 0.0)
    truth[0, 2] = True
    scores = np.round(draw.random((40, 4)) * 0.5 + truth * 0.3, 2)  # with ties
    found = best_thresholds(scores, truth, ("a", "b", "c", "d"))
    assert list(found) == ["a", "b", "c"]  # nothing can be said of a label that is never true
    for label, name in enumerate(found):
        best = max(f1_score(truth[:, label], scores[:, label] >= limit) for limit in scores[:, label])
        assert f1_score(truth[:, label], scores[:, label] >= found[name]) == pytest.approx(best)


def test_a_threshold_lies_between_scores() -> None:
    scores = np.array([[0.9], [0.8], [0.2], [0.1]])
    truth = np.array([[1], [1], [0], [0]], bool)
    assert best_thresholds(scores, truth, ("a",)) == {"a": pytest.approx(0.5)}
    assert best_thresholds(scores, ~truth, ("a",)) == {"a": pytest.approx(0.1)}


class Overconfident(nn.Module):
    """Says the logits that it is given, times ten."""

    def forward(self, features: Tensor) -> Tensor:
        return 10 * features


@pytest.mark.parametrize("labels", [GENRES, TAGS], ids=["single", "multi"])
def test_calibration(labels: LabelSet) -> None:
    data = parts(labels, shape=(3,), noise=1.0)
    valid = data.valid
    assert valid is not None
    truth = valid.targets if labels is TAGS else np.eye(3)[valid.targets]
    # All windows of a track err together, so that their mean does not mend it.
    logits = (truth * 2 - 1 + 1.5 * np.random.default_rng(0).normal(size=(9, 3)))[valid.track].astype(
        np.float32
    )
    valid = replace(valid, windows=ArrayWindows(logits, np.arange(27)))
    meta = CheckpointMeta("name", "mlp", {}, table_features(3), labels, dataset="gtzan", split="official")
    found = calibrated(Overconfident(), meta, valid, CPU)
    assert found.temperature > 3
    assert found.scores["on"] == "gtzan official valid"
    assert found.scores["tracks"] == 9
    assert (found.thresholds == {}) == (labels is GENRES)
    assert set(found.scores) - {"on", "tracks"} == {"accuracy", "macro_f1"} | (
        {"roc_auc", "pr_auc"} if labels is TAGS else set()
    )
    assert replace(found, temperature=1.0, thresholds={}, scores={}) == meta


def test_tracks_without_a_window_do_not_count() -> None:
    valid = parts().valid
    assert valid is not None
    some = np.flatnonzero(valid.track != 4)
    windows = ArrayWindows(valid.windows.gather(some), np.arange(len(some)))
    fewer = replace(valid, windows=windows, track=valid.track[some], number=None)
    meta = CheckpointMeta("name", "mlp", {}, table_features(3), GENRES)
    assert calibrated(small(), meta, fewer, CPU).scores["tracks"] == 8
