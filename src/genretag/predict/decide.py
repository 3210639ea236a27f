"""From a track's scores to the genres that are worth writing: pure, so that deciding again costs nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genretag.labels import LabelSet, parents

# Where a multi-label checkpoint carries no calibrated threshold for a label.
DEFAULT_THRESHOLD = 0.5
# In a record whose genres come from the fallback labels, which are those of the model `auto`.
REASON_FALLBACK = "auto"


@dataclass(frozen=True)
class DecisionRule:
    """How many genres, and how sure one has to be.

    `threshold` None means the checkpoint's own calibrated thresholds; `task` None means what its labels are.
    """

    top: int = 3
    threshold: float | None = None
    min_confidence: float = 0.0
    task: Literal["single", "multi"] | None = None


@dataclass(frozen=True)
class Decision:
    """Genres, surest first; empty when nothing was sure enough. `confidence`: score of the best genre.

    `by_fallback`: the fallback labels of the set decided, because the track is unlike the training files.
    """

    genres: tuple[str, ...]
    confidence: float
    by_fallback: bool = False


def decide(
    scores: NDArray[np.floating], labels: LabelSet, thresholds: Mapping[str, float], rule: DecisionRule
) -> Decision:
    """Choose genres from `scores` (labels,), probabilities in the order of `labels.names`.

    Only labels that are genres count; labels that mean the same genre ("classic", "classical") share
    their best score. A genre needs its label's threshold; the best one also needs `min_confidence`.
    Single-label sets have no calibrated thresholds: the best genre wins unless the rule says otherwise.

    A set of two levels is decided from above. The broad genre is the best of its broad labels, or a genre
    that these lack: one without a parent whose own label reaches its threshold ("Electronic" beside GTZAN's
    ten; a threshold of the rule's cannot lower this one). Without a broad genre nothing is written. Labels of
    finer genres follow where they reach their thresholds and descend from the broad one.

    Where a veto of the set reaches its own threshold nothing is written, whatever the rule says. A set with
    fallback labels is then decided by these, which have vetoes of their own; of that decision the first genre
    that the outer set has is kept.
    """
    named = dict(zip(labels.names, scores.tolist(), strict=True))
    asked = {label: threshold_of(label, labels, thresholds, rule) for label in labels.genres}
    task = rule.task or labels.kind
    if labels.broad:
        ranked, best = _two_levels(named, asked, thresholds, labels)
    else:
        sure = _best_of_each(
            [label for label in labels.genres if named[label] >= asked[label]], named, labels
        )
        ranked = list(sure)
        best = max((named[label] for label in labels.genres), default=0.0)
        best = sure[ranked[0]] if ranked else best
    vetoed = any(named[label] >= thresholds.get(label, DEFAULT_THRESHOLD) for label in labels.vetoes)
    if vetoed and labels.fallback is not None:
        return _by_fallback(named, labels.fallback, set(labels.genres.values()), best, thresholds, rule)
    if not ranked or vetoed or best < rule.min_confidence:
        return Decision((), best)
    return Decision(tuple(ranked[: 1 if task == "single" else rule.top]), best)


def _by_fallback(
    named: Mapping[str, float],
    fallback: LabelSet,
    known: Collection[str],
    confidence: float,
    thresholds: Mapping[str, float],
    rule: DecisionRule,
) -> Decision:
    """Decide by the fallback labels; only `known` genres count."""
    scores = np.array([named[label] for label in fallback.names])
    everything = replace(rule, top=len(fallback), task="multi")
    found = decide(scores, fallback, thresholds, everything)
    genres = tuple(genre for genre in found.genres if genre in known)
    if not genres:
        return Decision((), confidence)
    # Genres of a learnt model exclude each other.
    return Decision(genres[:1], found.confidence, by_fallback=True)


def _two_levels(
    named: Mapping[str, float],
    asked: Mapping[str, float],
    calibrated: Mapping[str, float],
    labels: LabelSet,
) -> tuple[list[str], float]:
    """Broad genre and what refines it, with the score of the broad one."""
    winner = max(labels.broad, key=lambda label: named[label])
    chosen, score = labels.genres[winner], named[winner]
    sure = score >= asked[winner]
    finer = [label for label in labels.genres if label not in labels.broad and named[label] >= asked[label]]
    least = {label: max(asked[label], calibrated.get(label, DEFAULT_THRESHOLD)) for label in finer}
    others = [label for label in labels.beside_broad() if label in least and named[label] >= least[label]]
    if others:
        other = max(others, key=lambda label: named[label])
        chosen, score, sure = labels.genres[other], named[other], True
    if not sure:
        return [], score
    refining = [label for label in finer if chosen in parents(labels.genres[label])]
    return [chosen, *_best_of_each(refining, named, labels)], score


def _best_of_each(chosen: Iterable[str], named: Mapping[str, float], labels: LabelSet) -> dict[str, float]:
    """Genres of these labels, the highest score first; several labels of one genre give their best."""
    best: dict[str, float] = {}
    for label in chosen:
        genre = labels.genres[label]
        best[genre] = max(named[label], best.get(genre, 0.0))
    return dict(sorted(best.items(), key=lambda item: -item[1]))


def threshold_of(label: str, labels: LabelSet, thresholds: Mapping[str, float], rule: DecisionRule) -> float:
    """Score that a label needs: the rule's, else the calibrated one, else what its kind of set asks."""
    if rule.threshold is not None:
        return rule.threshold
    return thresholds.get(label, 0.0 if labels.kind == "single" else DEFAULT_THRESHOLD)
