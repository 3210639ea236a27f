"""From a track's scores to the genres that are worth writing: pure, so that deciding again costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genretag.labels import LabelSet

# Where a multi-label checkpoint carries no calibrated threshold for a label.
DEFAULT_THRESHOLD = 0.5


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
    """Genres, surest first; empty when nothing was sure enough. `confidence`: score of the best genre."""

    genres: tuple[str, ...]
    confidence: float


def decide(
    scores: NDArray[np.floating], labels: LabelSet, thresholds: Mapping[str, float], rule: DecisionRule
) -> Decision:
    """Choose genres from `scores` (labels,), probabilities in the order of `labels.names`.

    Only labels that are genres count; labels that mean the same genre ("classic", "classical") share
    their best score. A genre needs its label's threshold; the best one also needs `min_confidence`.
    Single-label sets have no calibrated thresholds: the best genre wins unless the rule says otherwise.
    """
    confidence = 0.0
    sure: dict[str, float] = {}
    for label, score in zip(labels.names, scores.tolist(), strict=True):
        genre = labels.genre(label)
        if genre is None:
            continue
        confidence = max(confidence, score)
        if score >= _threshold(label, labels, thresholds, rule):
            sure[genre] = max(score, sure.get(genre, 0.0))
    ranked = sorted(sure, key=lambda genre: -sure[genre])
    if not ranked or sure[ranked[0]] < rule.min_confidence:
        return Decision((), confidence)
    task = rule.task or labels.kind
    return Decision(tuple(ranked[: 1 if task == "single" else rule.top]), sure[ranked[0]])


def _threshold(label: str, labels: LabelSet, thresholds: Mapping[str, float], rule: DecisionRule) -> float:
    if rule.threshold is not None:
        return rule.threshold
    return thresholds.get(label, 0.0 if labels.kind == "single" else DEFAULT_THRESHOLD)
