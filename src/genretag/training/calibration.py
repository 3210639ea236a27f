"""How far a score can be trusted: reliability, the temperature that mends it, accuracy against coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax

from genretag.labels import Kind
from genretag.training.bootstrap import Floats
from genretag.training.metrics import Evaluation, sum_by_track

BINS = 10
# On a small part that is all right, and where windows err independently, the best value would run away.
TEMPERATURES = (0.2, 10.0)
_LEAST = 1e-12


@dataclass(frozen=True)
class Reliability:
    """Score held against outcome in bins of equal width over 0 to 1, each (bins,); nan in empty bins.

    `ece`: expected calibration error, the mean over rows of |score - outcome| of their bins (Guo et al. 2017,
    "On calibration of modern neural networks").
    """

    score: Floats
    outcome: Floats
    count: NDArray[np.intp]
    ece: float


@dataclass(frozen=True)
class Coverage:
    """Accuracy of the surest share of tracks: `accuracy[i]` over those with a score of `limit[i]` or more.

    Arrays of one length, coverage ascending. `aurc`: area under the risk-coverage curve, the mean error over
    all coverages (Geifman and El-Yaniv 2017, "Selective classification for deep neural networks").
    """

    coverage: Floats
    accuracy: Floats
    limit: Floats
    aurc: float


def held(evaluation: Evaluation) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores and whether they came true: best label of each track, or every tag of each track, flattened."""
    if evaluation.labels.kind == "multi":
        return evaluation.y_prob.ravel(), evaluation.y_true.ravel()
    return np.max(evaluation.y_prob, axis=1), np.any(evaluation.y_true & evaluation.y_guess, axis=1)


def reliability(scores: Floats, outcomes: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Calibration of `scores` (rows,) from 0 to 1 against `outcomes` (rows,)."""
    place = np.clip((scores * bins).astype(np.intp), 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    filled = np.where(count > 0, count, np.nan)
    score = np.bincount(place, weights=scores, minlength=bins) / filled
    outcome = np.bincount(place, weights=outcomes, minlength=bins) / filled
    gap = np.nansum(count * np.abs(score - outcome))
    return Reliability(score, outcome, count, float(gap / len(scores)))


def coverage(scores: Floats, right: NDArray[np.bool_]) -> Coverage:
    """Leave the least sure tracks out one by one; tracks of one score, (rows,), go together."""
    order = np.argsort(-scores, kind="stable")
    ranked, errors = scores[order], np.cumsum(~right[order])
    answered = np.arange(1, len(ranked) + 1)
    last = np.append(ranked[1:] != ranked[:-1], True)
    covered, risk = answered[last] / len(ranked), errors[last] / answered[last]
    aurc = float((risk * np.diff(covered, prepend=0.0)).sum())
    return Coverage(covered, 1 - risk, ranked[last], aurc)


def at_coverage(curve: Coverage, wanted: Sequence[float]) -> list[tuple[float, float, float]]:
    """Rows (coverage, accuracy, limit): the highest limit that still answers each share wanted."""
    places = np.searchsorted(curve.coverage, np.asarray(wanted) - 1e-9)
    return [(float(curve.coverage[i]), float(curve.accuracy[i]), float(curve.limit[i])) for i in places]


def fit_temperature(
    logits: Floats, truth: NDArray[np.bool_], kind: Kind, track: NDArray[np.intp] | None = None
) -> float:
    """Temperature that divides `logits` (windows, labels) so that the tracks' mean scores fit `truth` best.

    `truth`: (tracks, labels) flags; `track`: (windows,) index of each window's track, every track having one,
    or None where every row is a track. Least negative log-likelihood (Guo et al. 2017), taken on the means
    because they are the scores that people see.
    """
    return calibrate(logits, truth, kind, track)[0]


def calibrate(
    logits: Floats, truth: NDArray[np.bool_], kind: Kind, track: NDArray[np.intp] | None = None
) -> tuple[float, float]:
    """The temperature of `fit_temperature`, and the negative log-likelihood of the tracks with it."""
    own = np.arange(len(logits)) if track is None else track
    windows = np.bincount(own, minlength=len(truth))[:, None]

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        probs = softmax(scaled, axis=1) if kind == "single" else expit(scaled)
        mean = np.clip(sum_by_track(probs, own, len(truth)) / windows, _LEAST, 1 - _LEAST)
        if kind == "single":
            return float(-np.log(mean[truth]).mean())
        return float(-np.log(np.where(truth, mean, 1 - mean)).mean())

    grid = np.log(np.geomspace(*TEMPERATURES, 25))
    best = int(np.argmin([loss(point) for point in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(loss, bounds=around, method="bounded")
    return float(np.exp(found.x)), float(found.fun)
