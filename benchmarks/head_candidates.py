"""Heads that `benchmarks.heads` compares: from the scores of a clip's windows to the ten genres."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from genretag.training.discriminant import BlendedDiscriminant
from genretag.training.shifts import read_shifts

Floats = NDArray[np.float64]
Clips = Sequence[Floats]
"""Scores (windows, tags) of each clip."""
Predict = Callable[[Clips], Floats]
"""Give the logits (clips, genres)."""

GENRES = 10
OFFSET = 1e-3
SUBSAMPLED = 8  # windows of a random subset, as many as `--coverage fast` takes
COPIES = 3
WINDOW_STEP = 3
SHIFTS = Path(__file__).resolve().parents[1] / "weights" / "shifts.npz"


@dataclass(frozen=True)
class Training:
    """Clips to fit to: scores of their windows, names, genres (clips,) and artists (clips,)."""

    clips: Clips
    names: Sequence[str]
    genres: NDArray[np.int64]
    artists: NDArray[np.str_]

    def part(self, rows: NDArray[np.intp]) -> Training:
        """Return some of the clips."""
        clips, names = [self.clips[row] for row in rows], [self.names[row] for row in rows]
        return Training(clips, names, self.genres[rows], self.artists[rows])

    def weights(self) -> Floats:
        """Return weights (clips,) as genretag.training.fit computes them with an artist exponent of 0.5."""
        _, artist = np.unique(self.artists, return_inverse=True)
        weights = np.bincount(artist)[artist] ** -0.5
        weights /= np.bincount(self.genres, weights)[self.genres]
        found: Floats = weights * len(weights) / weights.sum()
        return found


Head = Callable[[Training, int], Predict]
"""Fit a head with a seed."""


def log_odds(scores: Floats) -> Floats:
    """Return log-odds that stay finite."""
    odds: Floats = np.log((scores + OFFSET) / (1 - scores + OFFSET))
    return odds


SPACES: Mapping[str, Callable[[Floats], Floats]] = {"p": lambda p: p, "sqrt": np.sqrt, "log-odds": log_odds}
STATISTICS: Mapping[str, Callable[[Floats], Floats]] = {
    "mean": lambda rows: rows.mean(axis=0),
    "std": lambda rows: rows.std(axis=0),
    "max": lambda rows: rows.max(axis=0),
}


def track_head(
    space: str,
    classifier: Callable[[], Any],
    statistics: str = "mean",
    *,
    more: str = "",
    weighted: bool = True,
) -> Head:
    """Make a head on statistics over the windows of a clip.

    Args:
        space: one of SPACES, applied to every window.
        classifier: makes a scikit-learn classifier; rows are standardised before it.
        statistics: names of STATISTICS, joined by "+".
        more: "subsampled" adds COPIES copies of each clip with SUBSAMPLED random windows, "shifted" copies
            with the shifts of weights/shifts.npz that were measured on the training clips.
        weighted: whether clips are weighted by genre and artist.
    """

    def summary(clips: Clips) -> Floats:
        parts = statistics.split("+")
        return np.stack(
            [np.concatenate([STATISTICS[part](SPACES[space](rows)) for part in parts]) for rows in clips]
        )

    def fit(training: Training, seed: int) -> Predict:
        clips = list(training.clips)
        copies = COPIES if more else 0
        for copy in range(copies):
            clips += _altered(training, more, np.random.default_rng([seed, copy]))
        genres, weights = np.tile(training.genres, copies + 1), np.tile(training.weights(), copies + 1)
        return _fitted(classifier(), summary(clips), genres, weights if weighted else None, summary)

    return fit


def window_head(space: str, classifier: Callable[[], Any], *, more: str = "", weighted: bool = True) -> Head:
    """Make a head on single windows; a clip's probabilities are the mean of those of its windows."""

    def fit(training: Training, seed: int) -> Predict:
        clips, share = list(training.clips), training.weights() if weighted else np.ones(len(training.clips))
        genres = training.genres
        if more:
            for copy in range(COPIES):
                clips += _altered(training, more, np.random.default_rng([seed, copy]))
            genres, share = np.tile(genres, COPIES + 1), np.tile(share, COPIES + 1)
        kept = [rows[::WINDOW_STEP] for rows in clips]
        counts = np.array([len(rows) for rows in kept])
        rows = SPACES[space](np.concatenate(kept))
        weights = np.repeat(share / counts, counts)
        weights *= len(training.clips) / weights.sum()
        predict = _fitted(
            classifier(), rows, np.repeat(genres, counts), weights, lambda clips: SPACES[space](clips[0])
        )

        def mean(clips: Clips) -> Floats:
            probs = [softmax(predict([rows]), axis=1).mean(axis=0) for rows in clips]
            logits: Floats = np.log(np.stack(probs) + 1e-12)
            return logits

        return mean

    return fit


def average(*heads: Head) -> Head:
    """Make a head whose logits are the mean of the other heads' logits, each divided by its RMS."""

    def fit(training: Training, seed: int) -> Predict:
        fitted = [head(training, seed) for head in heads]
        scales = [np.sqrt(np.mean(_centred(predict(training.clips)) ** 2)) for predict in fitted]
        return lambda clips: np.mean(
            [_centred(predict(clips)) / scale for predict, scale in zip(fitted, scales, strict=True)], axis=0
        )

    return fit


def _centred(logits: Floats) -> Floats:
    return logits - logits.mean(axis=1, keepdims=True)


def _altered(training: Training, more: str, random: np.random.Generator) -> list[Floats]:
    """Return a copy of every clip with random windows, or with a random shift of its log-odds."""
    if more == "subsampled":
        return [
            rows[random.choice(len(rows), min(SUBSAMPLED, len(rows)), replace=False)]
            for rows in training.clips
        ]
    shifts = read_shifts(SHIFTS, training.clips[0].shape[1]).of(training.names)
    drawn = shifts[random.integers(len(shifts), size=len(training.clips))]
    moved = [np.exp(log_odds(rows) + shift) for rows, shift in zip(training.clips, drawn, strict=True)]
    return [np.clip((odds * (1 + OFFSET) - OFFSET) / (1 + odds), 0, 1) for odds in moved]


def _fitted(
    classifier: Any,
    rows: Floats,
    genres: NDArray[np.int64],
    weights: Floats | None,
    summary: Callable[[Clips], Floats],
) -> Predict:
    scaler = StandardScaler().fit(rows)
    if weights is None or isinstance(classifier, LinearDiscriminantAnalysis):
        classifier.fit(scaler.transform(rows), genres)
    else:
        classifier.fit(scaler.transform(rows), genres, weights)
    return lambda clips: np.asarray(classifier.decision_function(scaler.transform(summary(clips))))


def lda(shrinkage: float | str) -> Callable[[], Any]:
    """Make unweighted discriminant analysis; "auto" is the shrinkage of Ledoit and Wolf."""
    priors = np.full(GENRES, 1 / GENRES)
    return lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=priors)


def logistic(c: float) -> Callable[[], Any]:
    """Make logistic regression."""
    return lambda: LogisticRegression(C=c, max_iter=5000, tol=1e-5)


def blend(discriminant: float, c: float = 0.1, shrinkage: float = 0.1) -> Callable[[], Any]:
    """Make weighted discriminant analysis averaged with logistic regression."""
    return lambda: BlendedDiscriminant(discriminant, shrinkage, c, tol=1e-5)


SHIPPED = "p mean, blend 0.7 (chosen)"
EARLIER = "log-odds windows, logistic C=1, shifted (earlier)"


def candidates() -> dict[str, Head]:
    """Return the heads by name."""
    heads: dict[str, Head] = {}
    for space in SPACES:
        for shrinkage in ("auto", 0.1, 0.3):
            heads[f"{space} mean, LDA {shrinkage}, unweighted"] = track_head(space, lda(shrinkage))
        heads[f"{space} mean, LDA 0.1"] = track_head(space, blend(1.0))
        for c in (0.01, 0.1, 1.0):
            heads[f"{space} mean, logistic C={c:g}"] = track_head(space, logistic(c))
        heads[f"{space} mean, logistic C=0.1, unweighted"] = track_head(space, logistic(0.1), weighted=False)
        for name, make in {"LDA auto, unweighted": lda("auto"), "logistic C=0.01": logistic(0.01)}.items():
            heads[f"{space} mean+std+max, {name}"] = track_head(space, make, "mean+std+max")
        heads[f"{space} windows, LDA auto, unweighted"] = window_head(space, lda("auto"))
        for c in (0.1, 1.0):
            heads[f"{space} windows, logistic C={c:g}"] = window_head(space, logistic(c))
        heads[f"{space} windows, logistic C=1, unweighted"] = window_head(
            space, logistic(1.0), weighted=False
        )
        for share in (0.5, 0.7):
            heads[f"{space} mean, blend {share:g}"] = track_head(space, blend(share))
    heads[SHIPPED] = heads.pop("p mean, blend 0.7")
    heads["p mean, blend 0.9"] = track_head("p", blend(0.9))
    heads["p mean+std+max, blend 0.7"] = track_head("p", blend(0.7), "mean+std+max")
    for more in ("subsampled", "shifted"):
        heads[f"p mean, blend 0.7, {more}"] = track_head("p", blend(0.7), more=more)
    heads[EARLIER] = window_head("log-odds", logistic(1.0), more="shifted")
    names = {
        "p LDA + sqrt LDA + log-odds LDA": [f"{space} mean, LDA 0.1" for space in SPACES],
        "p LDA + log-odds windows logistic": ["p mean, LDA 0.1", "log-odds windows, logistic C=1"],
        "log-odds LDA + p windows logistic": ["log-odds mean, LDA 0.1", "p windows, logistic C=1"],
    }
    for name, parts in names.items():
        heads[f"average: {name}"] = average(*(heads[part] for part in parts))
    return heads
