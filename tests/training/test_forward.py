"""Every window through a network: order, modes, shares of several processes, probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from small_examples import GENRES, TAGS, parts, small
from torch.nn import functional as F

from genretag.training.batches import truth_of
from genretag.training.distributed import World
from genretag.training.forward import (
    answers,
    evaluating,
    every_window,
    mean_loss,
    probabilities,
    track_scores,
)
from genretag.training.metrics import evaluate_scores

CPU = World(torch.device("cpu"))


def test_windows_come_in_their_order() -> None:
    train, network = parts().train, small()
    network.train()
    network.output.eval()
    found = every_window(network, network, train, CPU)
    whole = torch.from_numpy(train.windows.gather(np.arange(len(train.windows))))
    assert (network.training, network.output.training) == (True, False)  # as they were
    with evaluating(network), torch.no_grad():
        assert found == pytest.approx(network(whole).numpy(), abs=1e-6)
    logits, track = answers(network, train, CPU)
    assert np.array_equal(logits, found)
    assert np.array_equal(track, train.track)


@dataclass(frozen=True)
class _Shares(World):
    """A world whose other processes have answered already."""

    others: tuple[np.ndarray, ...] = ()

    def gather(self, mine):  # type: ignore[no-untyped-def]
        return [*self.others[: self.rank], mine, *self.others[self.rank :]]


def test_processes_share_the_work() -> None:
    train, network = parts().train, small()
    whole = every_window(network, network, train, CPU)
    for rank in (0, 1, 2):
        others = tuple(whole[other::3] for other in range(3) if other != rank)
        share = _Shares(CPU.device, rank, 3, others)
        assert every_window(network, network, train, share) == pytest.approx(whole, abs=1e-6)


def test_probabilities() -> None:
    logits = np.array([[1.0, -2.0], [0.0, 30.0]], np.float32)
    assert probabilities(logits, "single", 2.0) == pytest.approx(softmax(logits / 2.0, axis=1))
    assert probabilities(logits, "multi", 0.5) == pytest.approx(expit(logits / 0.5))


@pytest.mark.parametrize("labels", [GENRES, TAGS], ids=["single", "multi"])
def test_scores_are_those_of_the_evaluation(labels) -> None:  # type: ignore[no-untyped-def]
    valid = parts(labels).valid
    assert valid is not None
    logits = np.random.default_rng(0).normal(size=(27, 3)).astype(np.float32) + truth_of(valid)[valid.track]
    loss, score = track_scores(logits, valid, truth_of(valid))
    assert 0 < loss < 1
    # The score hardly depends on the temperature; that of the evaluation here is 1.
    found = evaluate_scores(
        valid.targets,
        probabilities(logits, labels.kind),
        valid.track,
        labels,
        model="",
        dataset="",
        split="",
        leak_free=True,
        resamples=1,
    ).track
    assert score == pytest.approx(found.accuracy if labels is GENRES else found.roc_auc, abs=0.12)


def test_a_tag_that_is_never_true_cannot_be_ranked() -> None:
    valid = parts(TAGS).valid
    assert valid is not None
    nothing = replace(valid, targets=np.zeros_like(valid.targets))
    _, score = track_scores(np.zeros((27, 3), np.float32), nothing, truth_of(nothing))
    assert score is None


def test_loss_of_windows() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    truth = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    said, true = torch.from_numpy(logits), torch.from_numpy(truth)
    assert mean_loss(logits, truth, "single") == pytest.approx(F.cross_entropy(said, true).item(), rel=1e-5)
    wanted = F.binary_cross_entropy_with_logits(said, true).item()
    assert mean_loss(logits, truth, "multi") == pytest.approx(wanted, rel=1e-5)
