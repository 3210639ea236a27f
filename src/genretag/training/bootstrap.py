"""Scores of resampled tracks: one formula gives the score itself, its interval and paired differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from genretag.labels import Kind

Floats = NDArray[np.float64]
Interval = tuple[float, float]

CONFIDENCE = 0.95
RESAMPLES = 1000
SEED = 0
# Columns of resamples worked on at once in the ranking scores: bounds memory to labels' positives x 128.
_BLOCK = 128


@dataclass(frozen=True)
class Outcomes:
    """Scored rows (tracks, or windows of tracks): what is true, what was said, how likely it was held.

    `truth`, `guess` bool and `probs` float: (rows, labels); `track`: (rows,) index of each row's track,
    0 to `tracks` - 1. Single-label rows have exactly one True in `truth` and in `guess`. Without `probs`
    there are no ranking scores.
    """

    kind: Kind
    truth: NDArray[np.bool_]
    guess: NDArray[np.bool_]
    probs: Floats | None
    track: NDArray[np.intp]
    tracks: int


@dataclass(frozen=True)
class Sampled:
    """Scores of the sample (index 0 of the last axis) and of its resamples (the rest).

    `accuracy`: (1 + resamples,); `f1`, `roc_auc`, `pr_auc`: (labels, 1 + resamples), nan where a label has
    no positive row (or, for ROC, no negative one). The ranking scores are None where rows have no `probs`.
    """

    accuracy: Floats
    f1: Floats
    roc_auc: Floats | None
    pr_auc: Floats | None

    def overall(self) -> dict[str, Floats]:
        """The scores that have a value for the sample, accuracy first, each (1 + resamples,).

        Resamples of PR-AUC are mirrored about the sample's. Drawing a positive row twice lets it vouch for
        itself, so that resampled PR-AUC lies high, by more than its spread where labels are rare; percentiles
        of the mirrored ones are the basic bootstrap's interval (Davison and Hinkley 1997, 5.2.1).
        """
        labels = {"macro_f1": self.f1, "roc_auc": self.roc_auc, "pr_auc": self.pr_auc}
        means = {name: macro(scores) for name, scores in labels.items() if scores is not None}
        if "pr_auc" in means:
            means["pr_auc"][1:] = np.clip(2 * means["pr_auc"][0] - means["pr_auc"][1:], 0, 1)
        return {"accuracy": self.accuracy} | {
            name: mean for name, mean in means.items() if not np.isnan(mean[0])
        }


def draws(tracks: int, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """How often each track is drawn, (tracks, 1 + resamples): column 0 is the sample, all ones.

    Efron (1979), "Bootstrap methods: another look at the jackknife": each resample draws `tracks` times
    with replacement.
    """
    chosen = np.random.default_rng(seed).integers(tracks, size=(resamples, tracks))
    chosen += np.arange(resamples)[:, None] * tracks
    counts = np.bincount(chosen.ravel(), minlength=resamples * tracks).reshape(resamples, tracks)
    return np.vstack([np.ones((1, tracks)), counts]).T.astype(np.float64)


def sample(outcomes: Outcomes, drawn: Floats) -> Sampled:
    """All scores of `outcomes`, for the sample and for every resample of `drawn` (tracks, 1 + resamples)."""
    accuracy = _accuracy(outcomes, drawn)
    f1 = _f1(outcomes, drawn)
    if outcomes.probs is None:
        return Sampled(accuracy, f1, None, None)
    ranked = [
        _ranking(truth, probs, outcomes.track, drawn)
        for truth, probs in zip(outcomes.truth.T, outcomes.probs.T, strict=True)
    ]
    return Sampled(accuracy, f1, np.stack([roc for roc, _ in ranked]), np.stack([pr for _, pr in ranked]))


def interval(scores: Floats) -> Interval:
    """Percentile interval of scores (1 + resamples,), stretched to hold index 0, the sample itself."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(scores[1:], [tail, 1 - tail])
    return float(min(low, scores[0])), float(max(high, scores[0]))


def accuracy_interval(scores: Floats, tracks: int) -> Interval:
    """As `interval`, but not of width zero where every row is right or every one is wrong.

    A resample of a faultless sample is faultless, which says nothing of how rare faults are; there the exact
    bound for `tracks` trials holds (Clopper and Pearson 1934).
    """
    bound = float(((1 - CONFIDENCE) / 2) ** (1 / tracks))
    if np.all(scores == 1):
        return bound, 1.0
    if np.all(scores == 0):
        return 0.0, 1 - bound
    return interval(scores)


def macro(scores: Floats) -> Floats:
    """Mean over labels, (labels, n) to (n,): labels that are nan are left out, nan where all are."""
    known = ~np.isnan(scores)
    return _ratio(np.where(known, scores, 0.0).sum(axis=0), known.sum(axis=0, dtype=np.float64))


def _ratio(part: Floats, whole: Floats) -> Floats:
    quotient: Floats = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return quotient


def _accuracy(outcomes: Outcomes, drawn: Floats) -> Floats:
    """Share of rows (single-label), or of yes/no decisions (multi-label), that are right."""
    if outcomes.kind == "single":
        right = (outcomes.truth & outcomes.guess).any(axis=1).astype(np.float64)
    else:
        right = (outcomes.truth == outcomes.guess).mean(axis=1)
    rows = np.bincount(outcomes.track, minlength=outcomes.tracks).astype(np.float64)
    per_track = np.bincount(outcomes.track, weights=right, minlength=outcomes.tracks)
    return _ratio(per_track @ drawn, rows @ drawn)


def _f1(outcomes: Outcomes, drawn: Floats) -> Floats:
    """2 TP / (said + true) per label; nan where nothing of the label is in the (re)sample."""
    rows = np.arange(len(outcomes.track))
    by_track = csr_matrix((np.ones(len(rows)), (outcomes.track, rows)), shape=(outcomes.tracks, len(rows)))

    def drawn_sum(flags: NDArray[np.bool_]) -> Floats:
        return np.asarray((by_track @ flags.astype(np.float64)).T @ drawn)

    true = drawn_sum(outcomes.truth)
    score = _ratio(2 * drawn_sum(outcomes.truth & outcomes.guess), true + drawn_sum(outcomes.guess))
    score[true == 0] = np.nan
    return score


def _ranking(
    truth: NDArray[np.bool_], probs: Floats, track: NDArray[np.intp], drawn: Floats
) -> tuple[Floats, Floats]:
    """ROC-AUC and average precision of one label's rows, each (1 + resamples,).

    Both need only how much weight lies at and between the distinct scores of the positive rows, which one
    sparse product gives for all resamples. Ties count half in ROC (Mann and Whitney 1947); average precision
    takes rows of one score together, as scikit-learn does.
    """
    levels = np.unique(probs[truth])
    # Code 2j + 1: at the j-th level; code 2j: between the levels j - 1 and j.
    code = np.searchsorted(levels, probs, "left") + np.searchsorted(levels, probs, "right")
    shape = (2 * len(levels) + 1, len(drawn))
    everything = csr_matrix((np.ones(len(code)), (code, track)), shape=shape)
    positive = csr_matrix((np.ones(int(truth.sum())), (code[truth], track[truth])), shape=shape)
    blocks = [_ranking_block(everything, positive, block) for block in _blocks(drawn)]
    return np.concatenate([roc for roc, _ in blocks]), np.concatenate([pr for _, pr in blocks])


def _blocks(drawn: Floats) -> Iterator[Floats]:
    for start in range(0, drawn.shape[1], _BLOCK):
        yield np.ascontiguousarray(drawn[:, start : start + _BLOCK])


def _ranking_block(everything: csr_matrix, positive: csr_matrix, drawn: Floats) -> tuple[Floats, Floats]:
    weight = everything @ drawn  # (codes, resamples)
    hits = (positive @ drawn)[1::2]  # (levels, resamples)
    negatives = weight[1::2] - hits
    below = np.cumsum(weight[:-1:2], axis=0) + np.cumsum(negatives, axis=0) - negatives
    all_hits, all_negatives = hits.sum(axis=0), weight.sum(axis=0) - hits.sum(axis=0)
    roc = _ratio((hits * (below + negatives / 2)).sum(axis=0), all_hits * all_negatives)
    hits_from_here = all_hits - np.cumsum(hits, axis=0) + hits
    precision = _ratio(hits_from_here, hits_from_here + all_negatives - below)
    # A level that no drawn row has adds no hits, whatever the precision there.
    pr = _ratio((hits * np.nan_to_num(precision)).sum(axis=0), all_hits)
    return roc, pr
