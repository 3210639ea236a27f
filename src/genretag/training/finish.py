"""What makes a checkpoint of a trained network: a temperature, thresholds of tags, scores to compare."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from genretag.checkpoint import CheckpointMeta
from genretag.training.batches import truth_of
from genretag.training.bootstrap import Floats
from genretag.training.calibration import fit_temperature
from genretag.training.distributed import World
from genretag.training.examples import Examples
from genretag.training.forward import answers, probabilities
from genretag.training.metrics import evaluate_scores, sum_by_track


def calibrated(network: nn.Module, meta: CheckpointMeta, valid: Examples, world: World) -> CheckpointMeta:
    """The description with what the valid part says: temperature, best thresholds of tags, scores of tracks.

    Tracks of the part that have no window do not count.
    """
    logits, track = answers(network, valid, world)
    return calibrated_on(meta, valid, logits, track, f"{meta.dataset} {meta.split} valid")


def calibrated_on(
    meta: CheckpointMeta,
    examples: Examples,
    logits: NDArray[np.float32],
    track: NDArray[np.intp],
    on: str,
) -> CheckpointMeta:
    """The description with what logits (rows, labels) of tracks (rows,) say of examples that `on` names."""
    there, track = np.unique(track, return_inverse=True)
    truth = truth_of(examples)[there] > 0  # (tracks, labels)
    kind = examples.labels.kind
    temperature = fit_temperature(logits.astype(np.float64), truth, kind, track)
    probs = probabilities(logits, kind, temperature)
    mean: Floats = sum_by_track(probs, track, len(there)) / np.bincount(track)[:, None]
    thresholds = {} if kind == "single" else best_thresholds(mean, truth, examples.labels.names)
    measured = evaluate_scores(
        examples.targets[there],
        probs,
        track,
        examples.labels,
        model=meta.name,
        dataset=meta.dataset or "",
        split="valid",
        leak_free=True,
        thresholds=thresholds,
        resamples=1,
    ).track
    scores = {
        name: round(value, 6)
        for name in ("accuracy", "macro_f1", "roc_auc", "pr_auc")
        if (value := getattr(measured, name)) is not None
    }
    about = {"on": on, "tracks": len(there)}
    return replace(meta, temperature=temperature, thresholds=thresholds, scores={**about, **scores})


def best_thresholds(scores: Floats, truth: NDArray[np.bool_], names: tuple[str, ...]) -> dict[str, float]:
    """The least score (of tracks x labels) at which each label has its best F1; none for one never true."""
    return {
        name: _best_threshold(scores[:, label], truth[:, label])
        for label, name in enumerate(names)
        if truth[:, label].any()
    }


def _best_threshold(scores: Floats, truth: NDArray[np.bool_]) -> float:
    """Halfway between the lowest score that is said yes to and the next one below it."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + truth.sum())
    # Equal scores are said yes to together.
    last = np.append(ranked[1:] != ranked[:-1], True)
    best = int(np.argmax(np.where(last, f1, -1.0)))
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best]
    return float((ranked[best] + below) / 2)
