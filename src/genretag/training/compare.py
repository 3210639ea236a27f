"""Several evaluations in one table, with paired tests of those measured on the same tracks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genretag.errors import UsageError
from genretag.training.bootstrap import (
    RESAMPLES,
    SEED,
    Floats,
    Interval,
    Outcomes,
    draws,
    interval,
    sample,
)
from genretag.training.metrics import Evaluation


@dataclass(frozen=True)
class Difference:
    """A score of evaluation `row` minus the reference's, on `n` common tracks, with 95 % interval and p.

    `test`: "McNemar" (single-label accuracy; the two counts are tracks that only one of them got right) or
    "bootstrap". `p` is two-sided; `p_holm` is corrected for the number of models tested on this score.
    """

    row: int
    score: str
    n: int
    value: float
    ci: Interval
    test: str
    p: float
    p_holm: float
    only_reference: int | None = None
    only_this: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Evaluations in the order given, the first being the reference of every difference.

    `untested`: row -> why it cannot be held against the reference track by track.
    """

    evaluations: tuple[Evaluation, ...]
    differences: tuple[Difference, ...]
    untested: dict[int, str]


def compare(evaluations: Sequence[Evaluation], *, resamples: int = RESAMPLES, seed: int = SEED) -> Comparison:
    """Hold every evaluation against the first; UsageError if there are not two."""
    if len(evaluations) < 2:
        raise UsageError("a comparison needs two evaluations or more")
    reference = evaluations[0]
    differences: list[Difference] = []
    untested: dict[int, str] = {}
    for row, other in enumerate(evaluations[1:], start=1):
        common = sorted(set(reference.ids) & set(other.ids))
        if reason := _why_not(reference, other, common):
            untested[row] = reason
        else:
            names = _names(reference, other)
            pair = _select(reference, common, names), _select(other, common, names)
            differences += _differences(row, *pair, draws(len(common), resamples, seed))
    return Comparison(tuple(evaluations), tuple(_corrected(differences)), untested)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of McNemar's test (1947): do tracks that only one got right fall like a fair coin?"""
    n, fewer = only_first + only_second, min(only_first, only_second)
    # Whole numbers up to the division: 2^n is past any float from n = 1024 on.
    tail = sum(math.comb(n, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << n))


def holm(ps: Sequence[float]) -> list[float]:
    """p values corrected for their number, in the order given (Holm 1979, Scandinavian J. Statistics 6)."""
    corrected, least = list(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        least = max(least, min(1.0, (len(ps) - rank) * ps[index]))
        corrected[index] = least
    return corrected


def _why_not(reference: Evaluation, other: Evaluation, common: Sequence[str]) -> str | None:
    if (reference.dataset, reference.split) != (other.dataset, other.split):
        return "another dataset or split"
    if reference.labels.kind != other.labels.kind or not _same_labels(reference, other):
        return "other labels"
    if not common:
        return "no track in common"
    names = _names(reference, other)
    if (_select(reference, common, names).truth != _select(other, common, names).truth).any():
        return "the same tracks have other true labels"
    return None


def _same_labels(reference: Evaluation, other: Evaluation) -> bool:
    """Single-label models may differ in answers that are true of no track."""
    if reference.labels.kind == "multi":
        return reference.labels.names == other.labels.names
    different = set(reference.labels.names) ^ set(other.labels.names)
    return not different & {
        name for evaluation in (reference, other) for name, one in evaluation.per_class.items() if one.n
    }


def _names(reference: Evaluation, other: Evaluation) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*reference.labels.names, *other.labels.names)))


def _select(evaluation: Evaluation, ids: Sequence[str], names: Sequence[str]) -> Outcomes:
    """Track outcomes of `ids`, in that order, with the columns `names`."""
    place = {track: index for index, track in enumerate(evaluation.ids)}
    rows = np.array([place[track] for track in ids])
    columns = [names.index(name) for name in evaluation.labels.names]

    def selected(table: NDArray[Any]) -> NDArray[Any]:
        whole = np.zeros((len(rows), len(names)), table.dtype)
        whole[:, columns] = table[rows]
        return whole

    kind = evaluation.labels.kind
    probs = selected(evaluation.y_prob) if kind == "multi" else None
    truth, guess = selected(evaluation.y_true), selected(evaluation.y_guess)
    return Outcomes(kind, truth, guess, probs, np.arange(len(rows)), len(rows))


def _differences(row: int, reference: Outcomes, other: Outcomes, drawn: Floats) -> list[Difference]:
    first, second = sample(reference, drawn).overall(), sample(other, drawn).overall()
    differences = [
        _bootstrapped(row, score, second[score] - first[score], reference.tracks) for score in first
    ]
    if reference.kind == "single":
        right = [(outcomes.truth & outcomes.guess).any(axis=1) for outcomes in (reference, other)]
        only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
        p = mcnemar(*only)
        differences[0] = replace(
            differences[0], test="McNemar", p=p, p_holm=p, only_reference=only[0], only_this=only[1]
        )
    return differences


def _bootstrapped(row: int, score: str, resampled: Floats, n: int) -> Difference:
    """How often do resamples of the common tracks fall on the other side of no difference?"""
    known = resampled[1:][~np.isnan(resampled[1:])]
    side = min(int((known <= 0).sum()), int((known >= 0).sum()))
    # One is added to both (Davison and Hinkley 1997, 4.2.1): finitely many resamples never show that p is 0.
    p = min(1.0, 2 * (side + 1) / (len(known) + 1))
    return Difference(row, score, n, float(resampled[0]), interval(resampled), "bootstrap", p, p)


def _corrected(differences: Iterable[Difference]) -> list[Difference]:
    """The differences with `p_holm` filled in, each score a family of its own."""
    done = list(differences)
    for score in {difference.score for difference in done}:
        family = [index for index, difference in enumerate(done) if difference.score == score]
        for index, p in zip(family, holm([done[index].p for index in family]), strict=True):
            done[index] = replace(done[index], p_holm=p)
    return done
