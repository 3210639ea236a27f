"""Tracks of one album decided together, because people expect one genre on an album.

What an album is: tracks that follow one another in one folder (discs below a folder, "CD1" and "Disc 2",
count as that folder) and carry the same album and album artist; without an album tag, the folder. What an
album is by its folder alone, or by "Various Artists", is one only as long as most of its tracks agree.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from genretag.labels import LabelSet, akin, canonical
from genretag.predict.decide import Decision
from genretag.tagging.genremap import GenreMap
from genretag.tagging.heading import Heading, read_heading

T = TypeVar("T")
By = Literal["track", "album"]

# A track counts by its length, up to that of a song: a skit says little, a suite no more than a song.
FULL_WEIGHT_SECONDS = 180.0
# A folder with more is a heap, not an album: what is held of it must not grow with the library.
MOST_TRACKS = 1000

_DISC = re.compile(r"(?:^|[\s._(\[-]+)(?:cd|dis[ck]|dvd|lp|vinyl)[\s._-]*\d{1,2}[)\]]?(?:\s*[-:–].*)?$", re.I)
_VARIOUS = frozenset({"various", "various artists", "va", "v.a.", "v/a", "diverse", "verschiedene"})


@dataclass(frozen=True, eq=False)
class Track(Generic[T]):
    """One file on its way: the caller's `item`, and what speaks for its genre.

    `scores` (labels,) or None where nothing was heard; `duration` in seconds; `kept` are genres of its own
    that stay, whatever the model says.
    """

    item: T
    path: Path
    scores: NDArray[np.floating] | None = None
    duration: float | None = None
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What was decided for an album, and how one of its tracks stands to it.

    `name` as tagged, None where the folder made the album; `tracks` how many it has; `genres` after the map;
    `by` "sound" or "tags" (genres that most of its tracks have already); `own` what the track alone would
    get; `outlier` where it differs strongly.
    """

    name: str | None
    folder: Path
    tracks: int
    genres: tuple[str, ...]
    by: str
    own: tuple[str, ...]
    outlier: bool

    def to_dict(self) -> dict[str, Any]:
        """Its place in a record."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "tracks": self.tracks,
            "genres": list(self.genres),
            "by": self.by,
            "own": list(self.own),
            "outlier": self.outlier,
        }


class Albums:
    """Decides tracks album by album; afterwards `outliers` names those that differ strongly from theirs."""

    def __init__(
        self, labels: LabelSet, decide: Callable[[NDArray[np.floating]], Decision], genre_map: GenreMap
    ) -> None:
        self.outliers: list[tuple[Path, Verdict]] = []
        self._labels = labels
        self._decide = decide
        self._map = genre_map

    def together(self, tracks: Iterable[Track[T]]) -> Iterator[tuple[Track[T], Verdict | None]]:
        """Every track in its order, when its folder is complete; None where it is decided by itself.

        That is so where it belongs to no album or is the only one of it, where the album as a whole is
        unsure, and where what may be an album disagrees.
        """
        for _, folder in itertools.groupby(tracks, key=lambda track: shelf(track.path)):
            while held := list(itertools.islice(folder, MOST_TRACKS)):
                verdicts = self._folder(held)
                for number, track in enumerate(held):
                    yield track, verdicts.get(number)

    def _folder(self, held: Sequence[Track[T]]) -> dict[int, Verdict]:
        """Verdicts by the place of the track; only tracks that were heard or keep their genres count."""
        counted = [number for number, track in enumerate(held) if track.scores is not None or track.kept]
        if len(counted) < 2:
            return {}
        tagged = {number: read_heading(held[number].path) for number in counted}
        verdicts: dict[int, Verdict] = {}
        for members in group(tagged):
            if len(members) > 1:
                album = [held[number] for number in members]
                found = self._album(album, [tagged[number] for number in members])
                verdicts |= dict(zip(members, found, strict=False))
        return verdicts

    def _album(self, album: Sequence[Track[T]], tagged: Sequence[Heading]) -> list[Verdict]:
        """A verdict for each track of an album; none where it is not decided together."""
        own = [Decision((), 0.0) if track.scores is None else self._decide(track.scores) for track in album]
        if kept := _majority(track.kept for track in album):
            by, decided, genres = "tags", tuple(map(canonical, kept)), kept
        else:
            by, decided = "sound", self._heard_together(album)
            if not decided or (_loose(tagged) and not _agree(decided[0], own)):
                return []
            genres = self._map.apply(decided)
        name = next((tags.album for tags in tagged if tags.album), None)
        verdicts = []
        for track, alone in zip(album, own, strict=True):
            outlier = track.scores is not None and self._differs(track.scores, alone.genres, decided[0])
            verdict = Verdict(
                name, shelf(track.path), len(album), genres, by, self._map.apply(alone.genres), outlier
            )
            verdicts.append(verdict)
            if outlier:
                self.outliers.append((track.path, verdict))
        return verdicts

    def _heard_together(self, album: Sequence[Track[T]]) -> tuple[str, ...]:
        heard = [track for track in album if track.scores is not None]
        if not heard:
            return ()
        weights = [min(track.duration or FULL_WEIGHT_SECONDS, FULL_WEIGHT_SECONDS) for track in heard]
        scores = np.array([track.scores for track in heard], dtype=np.float64)  # (tracks, labels)
        return self._decide(np.average(scores, axis=0, weights=weights)).genres

    def _differs(self, scores: NDArray[np.floating], own: Sequence[str], album: str) -> bool:
        """Whether a track is sure of a genre unlike the album's, and hears that one not half as much."""
        theirs = self._score(scores, album)
        mine = self._score(scores, own[0]) if own else None
        return mine is not None and theirs is not None and not akin(own[0], album) and mine > 2 * theirs

    def _score(self, scores: NDArray[np.floating], genre: str) -> float | None:
        """The best score of the labels of a genre; None where no label means it."""
        named = zip(self._labels.names, scores.tolist(), strict=True)
        found = [score for label, score in named if self._labels.genre(label) == genre]
        return max(found, default=None)


def shelf(path: Path) -> Path:
    """The folder whose tracks are looked at together: the one above where a folder is only a disc."""
    folder = path.parent
    rest = _without_disc(folder.name)
    return folder if rest == folder.name else folder.parent / rest


def group(tagged: dict[int, Heading]) -> list[list[int]]:
    """Tracks of one folder as albums.

    Tracks without an album tag belong to the only album of the folder, or make one where nothing is tagged;
    among several albums they stand alone. Album artists tell albums of one name apart; where none is given
    and the folder holds several albums, artists do.
    """
    performers: dict[str, set[str]] = defaultdict(set)
    for tag in tagged.values():
        if tag.album:
            performers[_title(tag)] |= {_plain(tag.album_artist)} - {""}
    albums: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, tag in tagged.items():
        title = _title(tag)
        named = performers.get(title, set())
        if len(performers) > 1 and not title:
            key: tuple[object, ...] = (number,)
        elif len(named) > 1:
            key = (title, _plain(tag.album_artist))
        elif len(performers) > 1 and not named:
            key = (title, _plain(tag.artist))
        else:
            key = (title or next(iter(performers), ""),)
        albums[key].append(number)
    return list(albums.values())


def _title(tag: Heading) -> str:
    return _plain(_without_disc(tag.album))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _without_disc(name: str) -> str:
    return _DISC.sub("", name)


def _majority(kept: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Genres that more than half of the tracks have and keep; none where there are none such."""
    all_kept = list(kept)
    spelled = {tuple(map(canonical, genres)): genres for genres in all_kept if genres}
    counts = Counter(tuple(map(canonical, genres)) for genres in all_kept if genres)
    if not counts:
        return ()
    ((genres, count),) = counts.most_common(1)
    return spelled[genres] if 2 * count > len(all_kept) else ()


def _loose(tagged: Sequence[Heading]) -> bool:
    """Whether nothing but the folder, or an album of various artists, holds the tracks together."""
    named = {_plain(tag.album_artist) for tag in tagged} - {""}
    players = {_plain(tag.artist) for tag in tagged}
    return not any(tag.album for tag in tagged) or bool(named & _VARIOUS) or (not named and len(players) > 1)


def _agree(genre: str, own: Sequence[Decision]) -> bool:
    """Whether more than half of the tracks that are sure by themselves hear this genre or one akin to it."""
    sure = [decision.genres[0] for decision in own if decision.genres]
    return 2 * sum(akin(genre, other) for other in sure) > len(sure)
