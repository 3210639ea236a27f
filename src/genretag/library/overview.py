"""A library in figures: genres, how sure, before and after, what failed, and what to do next."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from genretag.labels import canonical
from genretag.library.tracks import Hearing, Library, LibraryTrack

# How sure the model is of the best genre: edges of the classes that are shown, probabilities.
SURENESS_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class GenreRow:
    """One genre, None for none: tracks that have it as their main one, by what says so.

    `heard` by the model, `hours` and `sureness` (median score) of these; `now` and `before` in the files.
    `finer` counts the genres that the model heard beside it.
    """

    genre: str | None
    heard: int
    hours: float
    sureness: float | None
    now: int
    before: int
    finer: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Overview:
    """The figures of a library.

    `hearing` counts tracks by what became of them. `hours` are of tracks whose length is known. `sureness`
    counts heard tracks by score (`SURENESS_EDGES`) as (sure, unsure). `changes` counts (before, now) of the
    main genre, where genretag wrote. `failures`: code, how many, the first message.
    """

    tracks: int
    hours: float
    hearing: dict[Hearing, int]
    genres: tuple[GenreRow, ...]
    sureness: tuple[tuple[int, int], ...]
    written: int
    changes: tuple[tuple[str | None, str | None, int], ...]
    failures: tuple[tuple[str, int, str], ...]


def overview(library: Library) -> Overview:
    """Add a library up."""
    tracks = library.tracks
    hearing = Counter(track.hearing for track in tracks)
    ours = [track for track in tracks if track.before is not None]
    changes = Counter((main(track.before), main(track.genres)) for track in ours)
    return Overview(
        tracks=len(tracks),
        hours=sum(track.duration or 0.0 for track in tracks) / 3600,
        hearing={kind: hearing[kind] for kind in ("sure", "unsure", "unheard", "failed")},
        genres=tuple(_genres(tracks)),
        sureness=tuple(_sureness(tracks)),
        written=len(ours),
        changes=tuple((before, now, count) for (before, now), count in changes.most_common()),
        failures=tuple(_failures(tracks)),
    )


def main(genres: Iterable[str] | None) -> str | None:
    """The first of a track's genres in the spelling that people use, None where it has none."""
    first = next(iter(genres or ()), None)
    return None if first is None else canonical(first)


def figures(found: Overview) -> dict[str, Any]:
    """The overview as JSON holds it."""
    return {
        "tracks": found.tracks,
        "hours": round(found.hours, 3),
        "hearing": found.hearing,
        "written": found.written,
        "genres": [
            {
                "genre": row.genre,
                "heard": row.heard,
                "hours": round(row.hours, 3),
                "sureness": None if row.sureness is None else round(row.sureness, 4),
                "now": row.now,
                "before": row.before,
                "finer": dict(row.finer),
            }
            for row in found.genres
        ],
        "sureness": [
            {"from": low, "to": high, "sure": sure, "unsure": unsure}
            for low, high, (sure, unsure) in zip(
                SURENESS_EDGES, SURENESS_EDGES[1:], found.sureness, strict=False
            )
        ],
        "changes": [{"before": before, "now": now, "tracks": count} for before, now, count in found.changes],
        "failures": [
            {"code": code, "tracks": count, "first": message} for code, count, message in found.failures
        ],
    }


def _genres(tracks: Iterable[LibraryTrack]) -> list[GenreRow]:
    heard: dict[str | None, list[LibraryTrack]] = defaultdict(list)
    now: Counter[str | None] = Counter()
    before: Counter[str | None] = Counter()
    for track in tracks:
        heard[main(track.heard)].append(track)
        now[main(track.genres)] += 1
        before[main(track.genres if track.before is None else track.before)] += 1
    rows = [
        GenreRow(
            genre=genre,
            heard=len(of := heard.get(genre, [])),
            hours=sum(track.duration or 0.0 for track in of) / 3600,
            sureness=_median(track.confidence for track in of),
            now=now[genre],
            before=before[genre],
            finer=tuple(Counter(finer for track in of for finer in track.heard[1:]).most_common()),
        )
        for genre in {*heard, *now, *before}
    ]
    # What has no genre comes last, whatever its number.
    return sorted(rows, key=lambda row: (row.genre is None, -row.heard, -row.now, -row.before, row.genre))


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _sureness(tracks: Iterable[LibraryTrack]) -> list[tuple[int, int]]:
    classes = len(SURENESS_EDGES) - 1
    counts: Counter[tuple[int, bool]] = Counter(
        (min(int(track.confidence * classes), classes - 1), bool(track.heard))
        for track in tracks
        if track.confidence is not None
    )
    return [(counts[number, True], counts[number, False]) for number in range(classes)]


def _failures(tracks: Iterable[LibraryTrack]) -> list[tuple[str, int, str]]:
    errors = [track.error for track in tracks if track.error is not None]
    counts = Counter(error.code for error in errors)
    first = {error.code: error.message for error in reversed(errors)}
    return [(code, count, first[code]) for code, count in counts.most_common()]
