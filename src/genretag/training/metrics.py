"""From the scores of windows to one evaluation of a model, with intervals and a trivial baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genretag.errors import TrainingError
from genretag.labels import LabelSet
from genretag.predict.decide import DEFAULT_THRESHOLD
from genretag.training.bootstrap import (
    RESAMPLES,
    SEED,
    Floats,
    Interval,
    Outcomes,
    Sampled,
    accuracy_interval,
    draws,
    interval,
    sample,
)

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Scores over `n` tracks or windows, fractions from 0 to 1, with 95 % intervals by bootstrap over tracks.

    `accuracy` of multi-label sets is the mean over tags of right yes/no decisions. Macro scores are means
    over the labels that have a positive in the part. ROC-AUC and PR-AUC (average precision) are None for
    single-label sets.
    """

    n: int
    accuracy: float
    accuracy_ci: Interval
    macro_f1: float
    macro_f1_ci: Interval
    roc_auc: float | None
    roc_auc_ci: Interval | None
    pr_auc: float | None
    pr_auc_ci: Interval | None


@dataclass(frozen=True)
class Baseline:
    """What needs no model: the majority class of the train part, or no tag at all."""

    name: str
    accuracy: float
    roc_auc: float | None
    pr_auc: float | None


@dataclass(frozen=True)
class ClassScores:
    """Scores of one label over `n` tracks that have it; None where the label is never said or never true."""

    precision: float | None
    recall: float | None
    f1: float | None
    n: int
    roc_auc: float | None
    pr_auc: float | None


@dataclass(frozen=True)
class Confusion:
    """Tracks by true label (rows) and by the label they got (columns)."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Evaluation:
    """A model measured on one part of a dataset.

    `track`: mean of the windows' probabilities, or the model's own answer for the track (`whole`), then the
    best label (or those over their thresholds); `vote`: majority of the windows' own decisions. `vote` and
    `window` are None where no track has two windows.
    `leak_free` is False if that is not known; `tracks_apart` and `artists_apart` say that no measured track,
    and no artist of one, was trained on, None if that is not known.
    `note`: what every rendering says in its first line. `absent`: labels without a positive, which macro
    scores leave out. `unscored`: ids of tracks that gave no window, left out of every figure.
    `y_true`, `y_guess` bool and `y_prob`: (tracks, labels), tracks as in `ids`; kept in memory only.
    """

    model: str
    dataset: str
    split: str
    leak_free: bool
    tracks_apart: bool | None
    artists_apart: bool | None
    note: str | None
    labels: LabelSet
    track: Scores
    vote: Scores | None
    window: Scores | None
    baseline: Baseline
    per_class: dict[str, ClassScores]
    confusion: Confusion | None
    seconds_per_track: float | None
    own_thresholds: bool
    whole: bool
    resamples: int
    absent: tuple[str, ...]
    unscored: tuple[str, ...]
    ids: tuple[str, ...] = field(repr=False)
    y_true: Bools = field(repr=False, compare=False)
    y_guess: Bools = field(repr=False, compare=False)
    y_prob: Floats = field(repr=False, compare=False)


def evaluate_scores(
    y_true: ArrayLike,
    window_probs: ArrayLike,
    track_of_window: ArrayLike,
    labels: LabelSet,
    *,
    model: str,
    dataset: str,
    split: str,
    leak_free: bool,
    tracks_apart: bool | None = None,
    artists_apart: bool | None = None,
    note: str | None = None,
    ids: Sequence[str] | None = None,
    track_probs: ArrayLike | None = None,
    train_truth: ArrayLike | None = None,
    thresholds: Mapping[str, float] | None = None,
    seconds_per_track: float | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Evaluation:
    """Measure probabilities of windows, (windows, labels), against the truth of their tracks.

    `y_true`: (tracks,) label indices of a single-label set, (tracks, labels) 0/1 of a multi-label one;
    `track_of_window`: (windows,) indices into tracks, in any order. `track_probs`: (tracks, labels), what a
    model that hears all windows together says of each track, in place of the mean. `train_truth`: `y_true`
    of the train part, for the majority baseline; without it the part's own majority stands in, and its name
    says so.
    `thresholds`: per label, of multi-label decisions; a label absent there has 0.5.
    Raises TrainingError where shapes or values do not fit together.
    """
    truth = _truth(y_true, labels)
    probs, track = _windows(window_probs, track_of_window, labels, len(truth))
    names = tuple(ids) if ids is not None else tuple(str(index) for index in range(len(truth)))
    if len(names) != len(truth) or len(set(names)) != len(names):
        raise _misfit(f"{len(truth)} tracks need as many different ids, not {len(set(names))}")

    scored = np.bincount(track, minlength=len(truth)) > 0
    whole = None if track_probs is None else _probabilities(track_probs, len(truth), labels)[scored]
    truth, track = truth[scored], (np.cumsum(scored) - 1)[track]
    if not truth.any():
        raise _misfit("no track with a true label has a score")
    limits = np.array([(thresholds or {}).get(name, DEFAULT_THRESHOLD) for name in labels.names])
    mean, views = _views(truth, probs, track, whole, labels, limits)
    drawn = draws(len(truth), resamples, seed)
    sampled = {name: sample(view, drawn) for name, view in views.items()}
    scores = {name: _scores(views[name], sampled[name]) for name in views}
    return Evaluation(
        model=model,
        dataset=dataset,
        split=split,
        leak_free=leak_free,
        tracks_apart=tracks_apart,
        artists_apart=artists_apart,
        note=_note(leak_free, note, split),
        labels=labels,
        track=scores["track"],
        vote=scores.get("vote"),
        window=scores.get("window"),
        baseline=trivial_baseline(
            truth, labels, None if train_truth is None else _truth(train_truth, labels)
        ),
        per_class=_per_class(views["track"], sampled["track"], labels),
        confusion=_confusion(views["track"], labels),
        seconds_per_track=seconds_per_track,
        own_thresholds=bool(thresholds),
        whole=whole is not None,
        resamples=resamples,
        absent=tuple(name for name, n in zip(labels.names, truth.sum(axis=0), strict=True) if n == 0),
        unscored=tuple(name for name, has in zip(names, scored, strict=True) if not has),
        ids=tuple(name for name, has in zip(names, scored, strict=True) if has),
        y_true=truth,
        y_guess=views["track"].guess,
        y_prob=mean,
    )


def _misfit(message: str) -> TrainingError:
    return TrainingError(f"evaluation: {message}", code="evaluation")


def _truth(y_true: ArrayLike, labels: LabelSet) -> Bools:
    """Truth as flags, (tracks, labels)."""
    given = np.asarray(y_true)
    if labels.kind == "multi":
        if given.ndim != 2 or given.shape[1] != len(labels) or not np.isin(given, (0, 1)).all():
            raise _misfit(f"multi-label truth must be 0 or 1, tracks x {len(labels)}, not {given.shape}")
        return given.astype(bool)
    if given.ndim != 1 or not np.isin(given, np.arange(len(labels))).all():
        raise _misfit(f"truth must be one label index below {len(labels)} for each track")
    return np.asarray(given[:, None] == np.arange(len(labels)))


def _windows(
    window_probs: ArrayLike, track_of_window: ArrayLike, labels: LabelSet, tracks: int
) -> tuple[Floats, NDArray[np.intp]]:
    probs, track = np.asarray(window_probs, dtype=np.float64), np.asarray(track_of_window)
    if probs.ndim != 2 or probs.shape[1] != len(labels) or track.shape != probs.shape[:1] or not len(probs):
        raise _misfit(f"scores must be windows x {len(labels)}, each with its track, not {probs.shape}")
    if not np.isin(track, np.arange(tracks)).all():
        raise _misfit(f"a window belongs to none of the {tracks} tracks")
    return _probabilities(probs, len(probs), labels), track.astype(np.intp)


def _probabilities(given: ArrayLike, rows: int, labels: LabelSet) -> Floats:
    probs = np.asarray(given, dtype=np.float64)
    if probs.shape != (rows, len(labels)):
        raise _misfit(f"scores must be {rows} x {len(labels)}, not {probs.shape}")
    # Single precision leaves a softmax or a mean a hair above 1.
    if not ((probs >= -1e-6) & (probs <= 1 + 1e-6)).all():
        raise _misfit("a score is no probability (NaN, or outside 0 to 1)")
    return probs


def _views(
    truth: Bools,
    probs: Floats,
    track: NDArray[np.intp],
    whole: Floats | None,
    labels: LabelSet,
    limits: Floats,
) -> tuple[Floats, dict[str, Outcomes]]:
    """Probabilities of the tracks, and the outcomes by track, by vote and by window."""
    tracks = len(truth)
    windows = np.bincount(track, minlength=tracks)[:, None]
    said = _decide(probs, labels, limits)
    mean = sum_by_track(probs, track, tracks) / windows if whole is None else whole
    decided = _decide(mean, labels, limits)
    multi = labels.kind == "multi"
    own = np.arange(tracks)
    views = {"track": Outcomes(labels.kind, truth, decided, mean if multi else None, own, tracks)}
    if (windows > 1).any():
        voted = _vote(sum_by_track(said, track, tracks) / windows, mean, labels)
        views["vote"] = Outcomes(labels.kind, truth, voted, None, own, tracks)
        views["window"] = Outcomes(labels.kind, truth[track], said, probs if multi else None, track, tracks)
    return mean, views


def _decide(probs: Floats, labels: LabelSet, limits: Floats) -> Bools:
    """The best label of each row, or every label that reaches its limit."""
    if labels.kind == "multi":
        return np.asarray(probs >= limits)
    return np.asarray(probs.argmax(axis=1)[:, None] == np.arange(len(labels)))


def _vote(share: Floats, mean: Floats, labels: LabelSet) -> Bools:
    """Label that most windows chose (of equals, the likelier), or every label that half of them chose."""
    if labels.kind == "multi":
        return np.asarray(share >= 0.5)
    leading = share == share.max(axis=1, keepdims=True)
    return _decide(np.where(leading, mean, -1.0), labels, np.empty(0))


def sum_by_track(rows: Floats | Bools, track: NDArray[np.intp], tracks: int) -> Floats:
    """Sum of the windows' rows, (windows, labels), for each track: (tracks, labels)."""
    return np.stack([np.bincount(track, weights=column, minlength=tracks) for column in rows.T], axis=1)


def _scores(outcomes: Outcomes, sampled: Sampled) -> Scores:
    overall = sampled.overall()
    value = {name: float(scores[0]) for name, scores in overall.items()}
    spread = {name: interval(scores) for name, scores in overall.items()}
    return Scores(
        n=len(outcomes.truth),
        accuracy=value["accuracy"],
        accuracy_ci=accuracy_interval(sampled.accuracy, outcomes.tracks),
        macro_f1=value["macro_f1"],
        macro_f1_ci=spread["macro_f1"],
        roc_auc=value.get("roc_auc"),
        roc_auc_ci=spread.get("roc_auc"),
        pr_auc=value.get("pr_auc"),
        pr_auc_ci=spread.get("pr_auc"),
    )


def _per_class(outcomes: Outcomes, sampled: Sampled, labels: LabelSet) -> dict[str, ClassScores]:
    right = (outcomes.truth & outcomes.guess).sum(axis=0)
    said, true = outcomes.guess.sum(axis=0), outcomes.truth.sum(axis=0)
    return {
        name: ClassScores(
            precision=float(right[k] / said[k]) if said[k] else None,
            recall=float(right[k] / true[k]) if true[k] else None,
            f1=_known(sampled.f1, k),
            n=int(true[k]),
            roc_auc=_known(sampled.roc_auc, k),
            pr_auc=_known(sampled.pr_auc, k),
        )
        for k, name in enumerate(labels.names)
    }


def _known(scores: Floats | None, label: int) -> float | None:
    return None if scores is None or np.isnan(scores[label, 0]) else float(scores[label, 0])


def _confusion(outcomes: Outcomes, labels: LabelSet) -> Confusion | None:
    if labels.kind == "multi":
        return None
    matrix = outcomes.truth.T.astype(np.int64) @ outcomes.guess
    return Confusion(labels.names, tuple(tuple(row) for row in matrix.tolist()))


def trivial_baseline(truth: Bools, labels: LabelSet, train_truth: Bools | None) -> Baseline:
    """What `truth` (tracks, labels) gives away without a model; the majority is that of `train_truth`."""
    if labels.kind == "multi":
        density = truth.mean(axis=0)
        # A score that is the same for all ranks nothing: ROC 0.5, and precision is the tag's density.
        return Baseline("all-zeros", float(1 - truth.mean()), 0.5, float(density[density > 0].mean()))
    part = truth if train_truth is None else train_truth
    best = int(np.argmax(part.sum(axis=0)))
    where = " of the measured part" if train_truth is None else ""
    name = f"majority class{where} ({labels.names[best]})"
    return Baseline(name, float(truth[:, best].mean()), None, None)


def _note(leak_free: bool, note: str | None, split: str) -> str | None:
    """First line of every rendering: a figure that leaks is called inflated, whatever else is said."""
    if not leak_free and "inflated" not in (note or "").casefold():
        default = f"split {split} lets a track or an artist stand in both the train and the measured part"
        note = f"inflated: {note or default}"
    return note[:1].upper() + note[1:] if note else None
