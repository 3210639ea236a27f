"""Folds inside the train part: what trainings say of clips that they did not see, to calibrate another on."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from genretag.checkpoint import CheckpointMeta
from genretag.models.records import Fit
from genretag.training.batches import truth_of
from genretag.training.distributed import World
from genretag.training.examples import Examples, Parts
from genretag.training.finish import calibrated_on
from genretag.training.fit import fit_classical, strata_of_truth
from genretag.training.forward import answers, probabilities, rows_of
from genretag.training.grouping import cut_folds
from genretag.training.metrics import Evaluation, evaluate_scores
from genretag.training.splits import TOLERATED
from genretag.training.target import full_name
from genretag.training.windows import ArrayWindows


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Logits (rows, labels) of the windows or tracks `track` (rows,) of `examples`, by fits without them."""

    examples: Examples
    logits: NDArray[np.float32]
    track: NDArray[np.intp]
    folds: int


def out_of_fold(
    network: nn.Module,
    train: Examples,
    recipe: Fit,
    config: Mapping[str, Any],
    world: World,
    *,
    folds: int,
    seed: int = 0,
) -> OutOfFold:
    """Fit as many times as there are folds of the train part, and hear each fold with the fit of the others.

    Groups (artists) stay whole and labels are kept in proportion; `network` stays as it is. SplitError for
    more folds than groups, TrainingError where a fold holds all clips of a single label.
    """
    rows = rows_of(network, train, world)
    known = replace(train, windows=ArrayWindows(rows, np.arange(len(rows))), shape=rows.shape[1:])
    groups = np.arange(len(train.ids)) if train.groups is None else train.groups
    logits, track = [], []
    for held in cut_folds(strata_of_truth(truth_of(train)), groups, folds, seed):
        fold = copy.deepcopy(network)
        fit_classical(fold, _of_tracks(known, ~held), recipe, config, world, seed=seed)
        said, own = answers(fold, _of_tracks(known, held), world)
        logits.append(said)
        track.append(np.flatnonzero(held)[own])
    whole = np.concatenate(track)
    order = np.argsort(whole, kind="stable")
    return OutOfFold(train, np.concatenate(logits)[order], whole[order], folds)


def calibrated_inside(meta: CheckpointMeta, found: OutOfFold) -> CheckpointMeta:
    """The description with temperature, thresholds and scores of what the folds say."""
    on = f"{meta.dataset} {meta.split} train, {found.folds} folds inside"
    meta = calibrated_on(meta, found.examples, found.logits, found.track, on)
    return replace(meta, extra={**meta.extra, "inner_folds": found.folds})


def measured_inside(meta: CheckpointMeta, found: OutOfFold, parts: Parts) -> Evaluation:
    """The evaluation of what the folds say, for data that has no other part to measure on."""
    examples, overlap = found.examples, parts.split.overlap
    there, track = np.unique(found.track, return_inverse=True)
    probs = probabilities(found.logits, examples.labels.kind, meta.temperature)
    known = overlap.unknown <= TOLERATED * overlap.clips
    doubt = "" if known else f"; the artist of {overlap.unknown:,} of {overlap.clips:,} clips is not known"
    return evaluate_scores(
        examples.targets[there],
        probs,
        track,
        examples.labels,
        model=meta.name,
        dataset=full_name(parts.dataset_name, parts.variant),
        split=f"{parts.split.name} train, {found.folds} folds inside",
        leak_free=known,
        tracks_apart=True,
        artists_apart=None if overlap.unknown else True,
        note="every clip as a fit without its fold hears it, known artists kept whole; temperature and "
        f"thresholds were found on the same answers{doubt}",
        ids=[examples.ids[row] for row in there],
        track_probs=probs if meta.aggregation == "head" else None,
        train_truth=examples.targets,
        thresholds=meta.thresholds,
    )


def _of_tracks(examples: Examples, chosen: NDArray[np.bool_]) -> Examples:
    """The examples of some tracks alone."""
    kept = np.flatnonzero(chosen[examples.track])
    everything = examples.windows.gather(kept)
    return replace(
        examples,
        windows=ArrayWindows(everything, np.arange(len(kept))),
        track=(np.cumsum(chosen) - 1)[examples.track[kept]],
        ids=tuple(name for name, here in zip(examples.ids, chosen, strict=True) if here),
        targets=examples.targets[chosen],
        groups=None if examples.groups is None else examples.groups[chosen],
        number=None if examples.number is None else examples.number[kept],
    )
