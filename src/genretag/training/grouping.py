"""Cutting clips into parts and folds: groups whole, labels in proportion."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from genretag.datasets.base import PARTS, Dataset
from genretag.errors import SplitError

Grouping = Literal["artist", "track"]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def groups_of(dataset: Dataset, by: Grouping = "artist") -> Ints:
    """A number per clip, equal for clips that must stay together.  # (clips,)

    They share a track or, by artist, a known artist, be it through other clips. The numbers fit the `groups`
    of scikit-learn, for cross-validation inside a part.
    """
    numbers: dict[tuple[str, str], int] = {}
    edges = []
    for row, clip in enumerate(dataset.clips):
        keys = [("track", clip.track)]
        if by == "artist" and clip.artist is not None:
            keys.append(("artist", clip.artist))
        edges += [(row, len(dataset.clips) + numbers.setdefault(key, len(numbers))) for key in keys]
    rows, columns = np.array(edges).T
    nodes = len(dataset.clips) + len(numbers)
    graph = coo_array((np.ones(len(edges)), (rows, columns)), shape=(nodes, nodes))
    found: Ints = connected_components(graph, directed=False)[1][: len(dataset.clips)].astype(np.int64)
    return found


def keep_together(dataset: Dataset, copies: Sequence[Sequence[str]]) -> Dataset:
    """Return the dataset with one `track` for the clips of each recording, and for all that share theirs."""
    track = {clip.id: clip.track for clip in dataset.clips}
    parent = {name: name for name in track.values()}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for ids in copies:
        here = [root(track[name]) for name in ids if name in track]
        for other in here[1:]:
            parent[root(other)] = root(here[0])
    clips = tuple(replace(clip, track=root(clip.track)) for clip in dataset.clips)
    return replace(dataset, clips=clips)


def drop_listed_copies(dataset: Dataset, copies: Sequence[Sequence[str]]) -> Dataset:
    """Return the dataset without copies across the parts of its listed split.

    Of a recording in several parts, the clips of test stay, else those of valid; the others are in no part.
    """
    part = {clip.id: clip.split for clip in dataset.clips}
    dropped: set[str] = set()
    for ids in copies:
        here = [name for name in ids if part.get(name) is not None]
        strictest = next((one for one in reversed(PARTS) if any(part[name] == one for name in here)), None)
        dropped |= {name for name in here if part[name] != strictest}
    clips = tuple(replace(clip, split=None) if clip.id in dropped else clip for clip in dataset.clips)
    return replace(dataset, clips=clips)


def strata_of(dataset: Dataset) -> Ints:
    """What to keep in proportion: a clip's label or, of several, the one that is rarest here.  # (clips,)

    Clips without a label are a stratum of their own, numbered after the labels.
    """
    targets = dataset.targets().astype(bool)
    rarity = np.where(targets, -targets.sum(0), -np.inf)
    strata: Ints = np.where(targets.any(1), rarity.argmax(1), targets.shape[1]).astype(np.int64)
    return strata


def cut_folds(strata: Ints, groups: Ints, count: int, seed: int) -> list[Mask]:
    """Masks of folds, by scikit-learn's StratifiedGroupKFold; SplitError for more folds than groups."""
    available = len(np.unique(groups))
    if count > available:
        raise SplitError(f"{count} folds need as many artists or tracks, and there are {available}")
    if np.max(np.bincount(strata)) < count:
        strata = np.zeros_like(strata)  # no stratum is large enough to be kept in proportion
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # It warns of a label with fewer clips than folds, which is expected of rare tags.
        warnings.simplefilter("ignore", UserWarning)
        split = list(folds.split(np.zeros(len(strata)), strata, groups))
    return [np.isin(np.arange(len(strata)), test) for _, test in split]


def take_share(strata: Ints, groups: Ints, share: float, seed: int, *, both_sides: bool) -> Mask:
    """Mask of about `share` of the clips, groups whole.

    No stratum is taken whole and, with `both_sides`, none is missed: 1/share folds are mended group by group
    and the one that is then nearest to the strata of all is taken. SplitError where there are too few groups.
    """
    count = min(max(2, round(1 / share)), len(np.unique(groups)))
    size = int(np.max(strata)) + 1
    wanted = np.bincount(strata, minlength=size) * share
    cut = cut_folds(strata, groups, count, seed) if count > 1 else []
    folds = [_mended(fold, strata, groups, both_sides) for fold in cut]
    fit = [fold for fold in folds if fold is not None and fold.any()]
    if not fit:
        raise SplitError(
            "too few artists or tracks for train, valid and test to have what they need of every label; "
            "add some, or ask for --split track or segment"
        )
    return min(fit, key=lambda fold: float(np.abs(np.bincount(strata[fold], minlength=size) - wanted).sum()))


def _mended(fold: Mask, strata: Ints, groups: Ints, both_sides: bool) -> Mask | None:
    """The fold less what would take a stratum whole, plus what would miss one; None where that cannot be."""
    taken = fold.copy()
    for stratum in np.unique(strata):
        if taken[strata == stratum].all():
            taken &= groups != _smallest(groups, strata == stratum)
    for stratum in np.unique(strata) if both_sides else ():
        if not taken[strata == stratum].any():
            spare = _spare(strata, groups, taken, stratum)
            if not spare.any():
                return None
            taken |= groups == _smallest(groups, spare)
    return taken


def _smallest(groups: Ints, among: Mask) -> int:
    """The group with the fewest clips of those that have one `among` them."""
    sizes: Counter[int] = Counter(groups.tolist())
    here: set[int] = set(groups[among].tolist())
    return min(here, key=lambda group: (sizes[group], group))


def _spare(strata: Ints, groups: Ints, taken: Mask, stratum: int) -> Mask:
    """Clips of the groups of a stratum that can be taken without emptying any stratum on the other side."""
    spare = np.zeros_like(taken)
    for group in np.unique(groups[strata == stratum]):
        left = strata[~taken & (groups != group)]
        if set(left.tolist()) == set(strata.tolist()):
            spare |= groups == group
    return spare
