"""Estimate of a learnt model on new artists: nested folds, everything fitted on the training side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from genretag.errors import SplitError
from genretag.models.records import Fit
from genretag.training.bootstrap import Floats
from genretag.training.calibration import fit_temperature
from genretag.training.forward import probabilities
from genretag.training.grouping import Ints, Mask, cut_folds
from genretag.training.guards import (
    HostScores,
    answers_of,
    distance_limit,
    distances_from,
    hears_speech,
)

# With so many folds, the other folds are the inner ones, and a fit without two folds serves both of them.
_SHARED = 4
# Logit of a genre that the training side of an inner fold lacks, below the least of the others.
_LACKING = 10.0
_RESAMPLES = 2000
_Z = 1.959964  # 97.5 % quantile of the normal distribution


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Tracks to train on: `rows` (tracks, columns), `labels` (tracks,) and artists as `groups` (tracks,)."""

    rows: Floats
    labels: NDArray[np.int64]
    groups: Ints
    genres: int
    host: HostScores

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Estimate:
    """Predictions for every track, by models that were fitted without its fold.

    `logits` and `probs` (tracks, genres), the latter calibrated on the training side of the fold; `distances`
    (tracks,) of the novelty detector; `answers` (tracks,): column of the genre, -1 without an answer;
    `by_host` (tracks,): the host answered.
    """

    logits: NDArray[np.float32]
    probs: Floats
    distances: Floats
    answers: NDArray[np.int64]
    by_host: Mask


def fit_head(rows: Floats, labels: NDArray[np.int64], groups: Ints, recipe: Fit) -> Pipeline:
    """Fit a logistic regression to tracks: rows (tracks, columns), labels and groups (tracks,).

    Genres weigh the same, and a track of an artist with n tracks n ** -artist_exponent.
    """
    weights = np.bincount(groups)[groups] ** -recipe.artist_exponent
    weights = weights / np.bincount(labels, weights)[labels]
    weights *= len(rows) / weights.sum()
    head = LogisticRegression(C=recipe.c, max_iter=1000)
    pipeline = Pipeline([("scaler", StandardScaler()), ("classifier", head)])
    # In single precision hundreds of genres take a third less time; the coefficients agree to five digits.
    pipeline.fit(rows.astype(np.float32), labels, classifier__sample_weight=weights)
    return pipeline


def nested_estimate(data: TrainingSet, folds: Sequence[Mask], recipe: Fit, seed: int) -> Estimate:
    """Predict every track by models fitted without its fold.

    Temperature, the limit of the novelty detector and the veto for speech come from inner folds of the
    training side, which keep groups together too.
    """
    fits = _Fits(data, recipe)
    logits = np.zeros((len(data), data.genres), np.float32)
    probs, distances = np.zeros((len(data), data.genres)), np.zeros(len(data))
    answers, by_host = np.full(len(data), -1, np.int64), np.zeros(len(data), bool)
    for held in folds:
        inner = [fold for fold in folds if fold is not held]
        if len(folds) < _SHARED:
            inner = _inner_folds(data, held, seed)
        temperature, limit = _calibrate(data, fits, held, inner)
        hears = hears_speech(data.host.speech[~held], data.host.limit)
        logits[held], distances[held] = fits.predict(held, held)
        probs[held] = probabilities(logits[held], "single", temperature)
        novelty = distances[held] ** 2 / (distances[held] ** 2 + limit**2)
        answers[held], by_host[held] = answers_of(probs[held], novelty, data.host.of(held), hears=hears)
    return Estimate(logits, probs, distances, answers, by_host)


def _inner_folds(data: TrainingSet, held: Mask, seed: int) -> list[Mask]:
    """Cut the training side of a fold; without two groups there, its tracks one by one."""
    rest = np.flatnonzero(~held)
    groups = data.groups[rest]
    count = min(_SHARED, len(np.unique(groups)))
    if count < 2:
        groups, count = np.arange(len(rest)), min(_SHARED, len(rest))
    if count < 2:
        raise SplitError("the files are too few to be measured; add some to each genre")
    inner = []
    for fold in cut_folds(data.labels[rest], groups, count, seed):
        mask = np.zeros_like(held)
        mask[rest[fold]] = True
        inner.append(mask)
    return inner


def _calibrate(data: TrainingSet, fits: _Fits, held: Mask, inner: Sequence[Mask]) -> tuple[float, float]:
    """Return temperature and novelty limit by predictions for the inner folds, all without `held`."""
    logits, distances = np.zeros((len(data), data.genres)), np.zeros(len(data))
    usable = np.zeros(len(data), bool)
    for fold in inner:
        trained = ~(held | fold)
        if not trained.any():
            continue
        logits[fold], distances[fold] = fits.predict(held | fold, fold)
        usable |= fold & np.isin(data.labels, data.labels[trained])
    truth = np.eye(data.genres, dtype=bool)[data.labels]
    if not usable.any():
        return 1.0, np.inf
    temperature = fit_temperature(logits[usable], truth[usable], "single")
    return temperature, distance_limit(distances[usable], data.groups[usable])


class _Fits:
    """Heads and novelty detectors by what they were fitted without; each is fitted once."""

    def __init__(self, data: TrainingSet, recipe: Fit) -> None:
        self._data, self._recipe = data, recipe
        self._known: dict[bytes, tuple[NDArray[np.float32], Floats]] = {}

    def predict(self, without: Mask, wanted: Mask) -> tuple[NDArray[np.float32], Floats]:
        """Return logits and novelty distances of the wanted tracks, by fits without the tracks of a mask."""
        key = np.packbits(without).tobytes()
        if key not in self._known:
            self._known[key] = self._predict_all(without)
        logits, distances = self._known[key]
        chosen = wanted[without]
        return logits[chosen], distances[chosen]

    def _predict_all(self, without: Mask) -> tuple[NDArray[np.float32], Floats]:
        data, trained = self._data, ~without
        present, labels = np.unique(data.labels[trained], return_inverse=True)
        rows = data.rows[without]
        logits = np.zeros((len(rows), data.genres), np.float32)
        if len(present) > 1:
            groups = np.unique(data.groups[trained], return_inverse=True)[1]
            found = fit_head(data.rows[trained], labels, groups, self._recipe).decision_function(rows)
            found = np.stack([-found / 2, found / 2], axis=1) if found.ndim == 1 else found
            logits[:] = found.min(axis=1, keepdims=True) - _LACKING
            logits[:, present] = found
        distances = distances_from(data.host.odds[trained], data.labels[trained], data.host.odds[without])
        return logits, distances


def rate_interval(hits: Mask, groups: Ints, seed: int = 0) -> tuple[float, float]:
    """Return a 95 % interval of the share of hits (tracks,), whose groups (tracks,) vary as a whole.

    The wider of a bootstrap over groups, which shows how much artists differ, and Wilson's interval for
    independent tracks, which does not vanish if all tracks are right. Without tracks it is (0, 1).
    """
    n = len(hits)
    if not n:
        return 0.0, 1.0
    own = np.unique(groups, return_inverse=True)[1]
    size, right = np.bincount(own), np.bincount(own, weights=hits)
    draws = np.random.default_rng(seed).integers(0, len(size), (_RESAMPLES, len(size)))
    low, high = np.quantile(right[draws].sum(axis=1) / size[draws].sum(axis=1), [0.025, 0.975]).tolist()
    share = float(hits.mean())
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return max(0.0, min(low, centre - half)), min(1.0, max(high, centre + half))
