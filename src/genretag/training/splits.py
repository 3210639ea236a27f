"""Parts of a dataset for training and for testing, so that nothing tested was seen in training."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genretag.datasets.base import PARTS, Clip, Dataset
from genretag.errors import SplitError
from genretag.training.grouping import Grouping, Ints, cut_folds, groups_of, strata_of, take_share

SplitKind = Literal["official", "artist", "track", "segment"]
# A split counts as leak-free when at most one held-out clip in ten is by an artist of train, and when the
# artists of nine clips in ten are known or were kept apart by those who published the split.
TOLERATED = 0.1
# Of train, valid and test.
USUAL_FRACTIONS = (0.8, 0.1, 0.1)
FRACTIONS_WITHOUT_VALID = (0.9, 0.0, 0.1)


@dataclass(frozen=True)
class Overlap:
    """What stands in more than one part, and how many held-out clips that concerns.

    `held` is the part it is counted for: test, or valid where there is no test part. Of its `held_artists`,
    `exposed_artists` stand in train too, and `exposed` of its `held_clips` are theirs. Of all `clips`, the
    artist of `unknown` is not known.
    """

    tracks: tuple[str, ...]
    artists: tuple[str, ...]
    known_artists: int
    held: str
    held_artists: int
    exposed_artists: int
    held_clips: int
    exposed: int
    clips: int
    unknown: int


@dataclass(frozen=True)
class SplitPlan:
    """Which clips train, select and test a model, and whether the figure that comes out can be believed.

    `parts` holds indices into the dataset's clips; in a split by segment every clip stands in every part and
    `windows` tells its windows apart. `copies` are the ids of clips that hold one recording and so count as
    one track (empty if they were not searched for). `apart` says of valid and test whether no track and no
    artist of theirs is in train, None if that is not known. `reason` is one sentence for the report. `hash`
    is a SHA-256 over the clip ids and their parts: equal for equal splits, whatever the order of the files.
    """

    name: SplitKind
    parts: Mapping[str, tuple[int, ...]]
    leak_free: bool
    reason: str
    hash: str
    overlap: Overlap
    seed: int
    shares: tuple[float, float, float]
    folds: int | None
    fold: int
    copies: tuple[tuple[str, ...], ...] = ()
    apart: Mapping[str, tuple[bool | None, bool | None]] = dataclasses.field(default_factory=dict)

    @property
    def by_window(self) -> bool:
        return self.name == "segment"

    def part(self, name: str) -> tuple[int, ...]:
        """Clips of a part; SplitError where the part is unknown or has none here."""
        if not self.parts.get(name):
            there = ", ".join(f"{part} {len(clips):,}" for part, clips in self.parts.items())
            raise SplitError(f"the {self.name} split has no {name!r} clips here ({there})")
        return self.parts[name]

    def windows(self, part: str, clip: str, count: int) -> Ints:
        """Which of the `count` windows of a clip belong to a part: all of them, unless split by segment."""
        if not self.by_window:
            return np.arange(count)
        draw = np.random.default_rng(_number(f"{self.seed} {clip}"))
        # Evenly spread places in [0, 1), so that each part gets its share even of a clip of few windows.
        place = (draw.permutation(count) + draw.random()) / max(count, 1)
        place = (place - self.fold / (self.folds or 1)) % 1.0
        edges = np.cumsum([self.shares[2], self.shares[1]])
        chosen = np.array(["test", "valid", "train"])[np.searchsorted(edges, place, side="right")]
        return np.flatnonzero(chosen == part)


def make_split(
    dataset: Dataset,
    kind: SplitKind | None = None,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = USUAL_FRACTIONS,
    folds: int | None = None,
    fold: int = 0,
    partial: bool = False,
) -> SplitPlan:
    """The split of a dataset into train, valid and test, checked by `guard`.

    Without `kind` the official split wins; else, and for `folds`, clips are grouped by artist, or by track
    where no artist is known. `fractions` are of the clips, those of valid and test may be 0; with `folds`,
    test is the `fold`-th of them.
    Labels are kept in proportion; a clip with several counts for the one that is rarest in the dataset. The
    same clips and seed give the same split. With `partial`, for testing alone, an official split is taken as
    far as its clips are here. SplitError where a label cannot stand in train and in test.
    """
    _check_numbers(fractions, folds, fold)
    chosen = kind or _default(dataset, folds)
    shares = fractions
    if folds is not None:
        valid = fractions[1] / (fractions[0] + fractions[1]) * (1 - 1 / folds)
        shares = (1 - valid - 1 / folds, valid, 1 / folds)
    # By id and not by place: the same files give the same split in whatever order they were found.
    order = sorted(range(len(dataset.clips)), key=lambda index: dataset.clips[index].id)
    by_id = dataclasses.replace(dataset, clips=tuple(dataset.clips[index] for index in order))
    if chosen == "segment":
        found = dict.fromkeys(PARTS, np.arange(len(order)))
    elif chosen == "official":
        found = _official(by_id, fractions[1], folds, seed, partial=partial)
    else:
        found = _grouped(by_id, chosen, shares, folds, fold, seed)
    parts = {part: tuple(sorted(order[index] for index in found[part])) for part in PARTS}
    overlap = overlap_of(parts, dataset)
    leak_free, reason = _verdict(chosen, overlap, dataset)
    recipe = f"{seed} {shares} {folds} {fold}" if chosen == "segment" else ""
    clips = {part: [dataset.clips[index] for index in parts[part]] for part in PARTS}
    plan = SplitPlan(
        name=chosen,
        parts=parts,
        leak_free=leak_free,
        reason=reason,
        hash=_hash(parts, dataset, recipe),
        overlap=overlap,
        seed=seed,
        shares=shares,
        folds=folds,
        fold=fold,
        apart={
            part: _apart(clips[part], clips["train"], by_window=chosen == "segment")
            for part in ("valid", "test")
        },
    )
    guard(plan, dataset, allow=() if kind is None else (kind,))
    return plan


def guard(plan: SplitPlan, dataset: Dataset, *, allow: Collection[str] = ()) -> None:
    """Refuse, with SplitError, a split in which a track or a known artist stands in two parts.

    `allow` names what was asked for: "segment" lets tracks cross, "segment" and "track" artists. An official
    split is taken as published, although artists may cross in it: `plan.reason` and `plan.leak_free` say so.
    """
    overlap = overlap_of(plan.parts, dataset)
    if overlap.tracks and "segment" not in allow:
        raise SplitError(
            f"{dataset.name}: track {overlap.tracks[0]!r} stands in two parts of the split, as do "
            f"{len(overlap.tracks):,} in all; ask for --split artist, or for segment to allow it"
        )
    if overlap.artists and plan.name != "official" and not {"track", "segment"} & set(allow):
        raise SplitError(
            f"{dataset.name}: artist {overlap.artists[0]!r} stands in two parts of the split, as do "
            f"{len(overlap.artists):,} in all; ask for --split track or segment to allow it"
        )


def overlap_of(parts: Mapping[str, Sequence[int]], dataset: Dataset) -> Overlap:
    """Tracks and known artists that stand in more than one part."""
    tracks, artists = defaultdict(set), defaultdict(set)
    for part, clips in parts.items():
        for clip in (dataset.clips[index] for index in clips):
            tracks[clip.track].add(part)
            if clip.artist is not None:
                artists[clip.artist].add(part)
    held = "test" if parts.get("test") else "valid"
    held_by = [dataset.clips[index].artist for index in parts.get(held, ())]
    exposed = [artist for artist in held_by if artist is not None and "train" in artists[artist]]
    return Overlap(
        tracks=tuple(sorted(track for track, where in tracks.items() if len(where) > 1)),
        artists=tuple(sorted(artist for artist, where in artists.items() if len(where) > 1)),
        known_artists=len(artists),
        held=held,
        held_artists=len(set(held_by) - {None}),
        exposed_artists=len(set(exposed)),
        held_clips=len(held_by),
        exposed=len(exposed),
        clips=len(dataset.clips),
        unknown=sum(clip.artist is None for clip in dataset.clips),
    )


def _apart(
    held: Sequence[Clip], trained: Sequence[Clip], *, by_window: bool
) -> tuple[bool | None, bool | None]:
    """Return whether no track and no artist of one part is in the training part; None if that is not known.

    Artists are not known if a clip of either part names none, unless a named one is in both.
    """
    if by_window:
        return False, False
    tracks = {clip.track for clip in held}.isdisjoint(clip.track for clip in trained)
    artists = {clip.artist for clip in held} - {None}
    if not tracks or not artists.isdisjoint(clip.artist for clip in trained):
        return tracks, False
    return tracks, None if any(clip.artist is None for clip in (*held, *trained)) else True


def _check_numbers(fractions: tuple[float, float, float], folds: int | None, fold: int) -> None:
    if fractions[0] <= 0 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise SplitError(
            "the fractions of train, valid and test must be above 0 (but for train, 0 will do) and add up "
            f"to 1: {fractions}"
        )
    if folds is not None and (folds < 2 or not 0 <= fold < folds):
        raise SplitError(f"there must be 2 folds or more, counted from 0: fold {fold} of {folds}")


def _default(dataset: Dataset, folds: int | None) -> SplitKind:
    if dataset.official and folds is None:
        return "official"
    return "artist" if any(clip.artist for clip in dataset.clips) else "track"


def _official(
    dataset: Dataset, valid_share: float, folds: int | None, seed: int, *, partial: bool
) -> dict[str, Ints]:
    """The published parts; a missing valid part is cut from train, whole artists at a time, unless of 0."""
    if dataset.official is None:
        raise SplitError(
            f"{dataset.name}:{dataset.variant} has no official split; ask for --split artist or track"
        )
    if folds is not None:
        raise SplitError(f"{dataset.name}: an official split has no folds; ask for --split artist or track")
    parts = {
        part: np.array([i for i, clip in enumerate(dataset.clips) if clip.split == part], np.int64)
        for part in PARTS
    }
    if not len(parts["train"]):
        if partial:
            return parts
        raise SplitError(f"{dataset.name}: no clip of the train part of its official split is here")
    strata, groups = strata_of(dataset), groups_of(dataset)
    if valid_share and not len(parts["valid"]):
        train = parts["train"]
        chosen = take_share(strata[train], groups[train], valid_share, seed, both_sides=False)
        parts["valid"], parts["train"] = train[chosen], train[~chosen]
    if dataset.labels.kind == "single" and not partial:
        learnt = set(strata[parts["train"]].tolist())
        for part in ("valid", "test"):
            if alien := sorted(set(strata[parts[part]].tolist()) - learnt):
                name = dataset.labels.names[alien[0]]
                raise SplitError(f"{dataset.name}: {name!r} has clips in {part} and none in train")
    return parts


def _grouped(
    dataset: Dataset,
    by: Grouping,
    shares: tuple[float, float, float],
    folds: int | None,
    fold: int,
    seed: int,
) -> dict[str, Ints]:
    """Parts made of whole artists or tracks, every single label in train and in test."""
    if by == "artist" and not any(clip.artist for clip in dataset.clips):
        raise SplitError(
            f"{dataset.name}: no artist is known; put artists.csv (id,artist) beside the data, "
            "or ask for --split track"
        )
    strata, groups = strata_of(dataset), groups_of(dataset, by)
    single = dataset.labels.kind == "single"
    if single:
        _check_labels(dataset, by, strata, groups)
    if folds is None and shares[2] == 0:
        test = np.zeros(len(strata), bool)
    elif folds is None:
        test = take_share(strata, groups, shares[2], seed, both_sides=single)
    else:
        test = cut_folds(strata, groups, folds, seed)[fold]
        if single and set(strata[test].tolist()) - set(strata[~test].tolist()):
            raise SplitError(
                f"{dataset.name}: {folds} folds leave a label without train clips; ask for fewer"
            )
    rest = np.flatnonzero(~test)
    share = shares[1] / (1 - shares[2])
    valid = rest[:0]
    if share:
        valid = rest[take_share(strata[rest], groups[rest], share, seed, both_sides=False)]
    return {"train": np.setdiff1d(rest, valid), "valid": valid, "test": np.flatnonzero(test)}


def _check_labels(dataset: Dataset, by: Grouping, strata: Ints, groups: Ints) -> None:
    if len(set(strata.tolist())) < 2:
        raise SplitError(f"{dataset.name}: all clips have one label; there is nothing to tell apart")
    for label in np.unique(strata):
        if len(np.unique(groups[strata == label])) == 1:
            name, count = dataset.labels.names[label], int((strata == label).sum())
            wider = "track or segment" if by == "artist" else "segment"
            raise SplitError(
                f"{dataset.name}: {name!r} has a single {by} ({count:,} clips), which cannot stand in train "
                f"and in test; add another {by} or ask for --split {wider}"
            )


def _verdict(name: SplitKind, overlap: Overlap, dataset: Dataset) -> tuple[bool, str]:
    """Whether a split is free of leaks as far as anyone knows, and why, in one sentence."""
    if name == "segment":
        return False, "inflated: split by segment; windows of every track stand in train and in test"
    published = name == "official" and dataset.artist_filtered
    lead = f"{dataset.official} split" if name == "official" else f"split by {name}"
    facts = [f"{lead}, published as artist-filtered" if published else lead]
    if overlap.artists:
        facts += [
            f"{len(overlap.artists):,} of {overlap.known_artists:,} known artists stand in two parts or more",
            f"{overlap.exposed_artists:,} of {overlap.held_artists:,} {overlap.held} artists, with "
            f"{overlap.exposed:,} of {overlap.held_clips:,} clips, stand in train",
        ]
    else:
        facts.append("no track and no known artist stands in two parts")
    if overlap.unknown:
        facts.append(f"the artist of {overlap.unknown:,} of {overlap.clips:,} clips is not known")
    shared = overlap.exposed > TOLERATED * overlap.held_clips or (overlap.artists and name != "official")
    obscure = overlap.unknown > TOLERATED * overlap.clips and not published
    doubt = "inflated: " if shared else "may be inflated: " if obscure else ""
    return not doubt, doubt + "; ".join(facts)


def _hash(parts: Mapping[str, Sequence[int]], dataset: Dataset, recipe: str) -> str:
    lines = [f"{dataset.clips[index].id}\t{part}" for part, clips in parts.items() for index in clips]
    text = "\n".join([*sorted(lines), recipe])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big")
