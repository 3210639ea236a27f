"""A library as records: what files hold, what they held before us, and what the model heard in them.

Everything comes from the store and the journal. A file that the store does not know is looked at (its tags
are read, its sound is not analysed). Nothing is written to any music file.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genretag import checkpoint
from genretag.audio.windows import Coverage
from genretag.checkpoint import CheckpointMeta
from genretag.errors import FileError
from genretag.journal import Journal
from genretag.labels import akin, canonical, split_genres
from genretag.predict.decide import Decision, DecisionRule, decide
from genretag.predict.heads import KnownScores
from genretag.store import KnownFile, Store
from genretag.tagging.album import Albums, Track, Verdict, shelf
from genretag.tagging.genremap import GenreMap
from genretag.tagging.look import audio_failure, look
from genretag.tagging.scan import Found

Hearing = Literal["sure", "unsure", "unheard", "failed"]

# An album in which more tracks than this differ is a mixed one, not one with a stranger in it.
MOST_STRANGERS = 1 / 3
_FIRST_CHOICE = DecisionRule(top=1, threshold=0.0)


@dataclass(frozen=True)
class LibraryTrack:
    """One file of a library.

    `genres` are what it holds now; `before` what it held before genretag wrote, None where it never did or
    took it back. `heard` is what the model says by itself, empty where it is unsure; then `guess` is what it
    leans to. `confidence`: score of the best genre. `row` is its place in `Library.scores`. `duration` in
    seconds. `error` says why it could not be analysed or its tags not read.
    """

    path: Path
    genres: tuple[str, ...] = ()
    before: tuple[str, ...] | None = None
    heard: tuple[str, ...] = ()
    guess: str | None = None
    confidence: float | None = None
    duration: float | None = None
    row: int | None = None
    error: FileError | None = None

    @property
    def hearing(self) -> Hearing:
        """What became of it when it was listened to."""
        if self.error is not None:
            return "failed"
        if self.row is None:
            return "unheard"
        return "sure" if self.heard else "unsure"


@dataclass(frozen=True)
class Stranger:
    """A track unlike its album: `track` is its place in the library, `genre` the album's.

    `called` where the file's own genre differs, `sounds` where what the model hears does.
    """

    track: int
    album: str
    genre: str
    tracks: int
    called: bool
    sounds: bool


@dataclass(frozen=True, eq=False)
class Library:
    """Tracks in the order they were found. `scores` (heard tracks, labels): probabilities of the model.

    `gone` counts files that were known and are not there any more.
    """

    tracks: tuple[LibraryTrack, ...]
    scores: NDArray[np.float32]
    meta: CheckpointMeta
    strangers: tuple[Stranger, ...]
    gone: int = 0


def known_files(store: Store) -> tuple[list[Found], int]:
    """Every file that the store knows and that is still there, and how many are gone."""
    paths = store.every_path()
    there = [Found(path) for path in paths if path.is_file()]
    return there, len(paths) - len(there)


def gather(
    found: Iterable[Found], store: Store, model: str = "auto", coverage: Coverage = "fast", gone: int = 0
) -> Library:
    """The library that `found` names, as the store knows it through this model and coverage.

    Memory grows by the scores and a small record for each track. Raises StoreError, CheckpointError.
    """
    gathering = _Gathering(store, model, coverage)
    tracks = tuple(gathering.track(item) for item in found)
    labels = len(gathering.meta.labels)
    scores = np.array(gathering.rows, dtype=np.float32).reshape(-1, labels)
    strangers = tuple(_strangers(tracks, scores, gathering.meta))
    return Library(tracks, scores, gathering.meta, strangers, gone)


class _Gathering:
    def __init__(self, store: Store, model: str, coverage: Coverage) -> None:
        path = checkpoint.resolve(model)
        self.meta = checkpoint.read_meta(path)
        self.rows: list[NDArray[np.float32]] = []
        self._scores = KnownScores(store, path, coverage)
        self._store = store
        self._originals = Journal(store).originals()

    def track(self, found: Found) -> LibraryTrack:
        seen = look(found, self._store)
        known = seen.known
        if known is None:
            return LibraryTrack(seen.path, error=seen.error)
        before = self._before(seen.path, known)
        cached = self._scores.get(known.audio_id)
        if cached is None:
            error = audio_failure(self._store, seen.key, known) or known.error
            return LibraryTrack(seen.path, split_genres(known.genres), before, error=error)
        self.rows.append(cached.scores)
        decision = _decide(cached.scores, self.meta)
        return LibraryTrack(
            path=seen.path,
            genres=split_genres(known.genres),
            before=before,
            heard=decision.genres,
            guess=None if decision.genres else _guess(cached.scores, self.meta),
            confidence=decision.confidence,
            duration=cached.duration,
            row=len(self.rows) - 1,
            error=known.error,
        )

    def _before(self, path: Path, known: KnownFile) -> tuple[str, ...] | None:
        """What the file held before us, here or where it was before it was moved."""
        if not (written := self._originals.get(known.audio_id)):
            return None
        here = Path(os.path.realpath(path))
        written = sorted(written, key=lambda one: one[0] != here)
        old = next((old for there, old in written if there == here or not os.path.lexists(there)), None)
        return None if old is None else split_genres(old)


def _decide(scores: NDArray[np.floating], meta: CheckpointMeta) -> Decision:
    return decide(scores, meta.labels, meta.thresholds, DecisionRule())


def _guess(scores: NDArray[np.floating], meta: CheckpointMeta) -> str | None:
    """What an unsure model leans to: the first genre were none too low, or what speaks against any."""
    leaning = decide(scores, meta.labels, meta.thresholds, _FIRST_CHOICE).genres
    return next(iter((*leaning, *meta.labels.vetoes)), None)


# Albums


def _strangers(
    tracks: Sequence[LibraryTrack], scores: NDArray[np.float32], meta: CheckpointMeta
) -> Iterator[Stranger]:
    """Tracks unlike their album.

    Album tags are read only in folders whose tracks differ at all: in the others there is nothing to find,
    and reading the tags of a large library takes minutes.
    """
    folders: dict[Path, list[int]] = defaultdict(list)
    for number, track in enumerate(tracks):
        folders[shelf(track.path)].append(number)
    albums = Albums(meta.labels, lambda row: _decide(row, meta), GenreMap())
    for numbers in folders.values():
        held = [tracks[number] for number in numbers]
        if _alike([canonical(track.genres[0]) for track in held if track.genres]) and _alike(
            [track.heard[0] for track in held if track.heard]
        ):
            continue
        yield from _of_folder(
            albums.together(_as_album_track(number, tracks[number], scores) for number in numbers), tracks
        )


def _of_folder(
    decided: Iterable[tuple[Track[int], Verdict | None]], tracks: Sequence[LibraryTrack]
) -> Iterator[Stranger]:
    albums: dict[tuple[object, ...], list[Stranger]] = defaultdict(list)
    for track, verdict in decided:
        if verdict is None or not verdict.genres:
            continue
        held, genre = tracks[track.item], canonical(verdict.genres[0])
        called = bool(held.genres) and not akin(canonical(held.genres[0]), genre)
        if called or verdict.outlier:
            name = verdict.name or verdict.folder.name
            stranger = Stranger(track.item, name, genre, verdict.tracks, called, verdict.outlier)
            albums[verdict.name, genre, verdict.tracks].append(stranger)
    for (_, _, size), found in albums.items():
        if isinstance(size, int) and len(found) <= MOST_STRANGERS * size:
            yield from found


def _as_album_track(number: int, track: LibraryTrack, scores: NDArray[np.float32]) -> Track[int]:
    # Finer genres differ from track to track on any album; what it is called is its main one.
    row = None if track.row is None else scores[track.row]
    return Track(number, track.path, row, track.duration, track.genres[:1])


def _alike(genres: Sequence[str]) -> bool:
    """Whether all are akin to the most common of them."""
    if not genres:
        return True
    ((common, _),) = Counter(genres).most_common(1)
    return all(akin(common, genre) for genre in set(genres))
