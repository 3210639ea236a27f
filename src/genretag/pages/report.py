"""The page of a library: figures, a map, strangers in albums, and every track to search, sort and play."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from genretag.library.overview import figures, main, overview
from genretag.library.tracks import Library, LibraryTrack
from genretag.pages.layout import lay_out
from genretag.pages.shell import document

HEARINGS = ("sure", "unsure", "unheard", "failed")
SCALE = 4000  # steps of the map in each direction
_COLUMNS = (
    *("folder", "name", "hearing", "heard", "guess", "now", "before"),
    *("score", "seconds", "x", "y", "error"),
)


def page(library: Library, out: Path, title: str = "Your library") -> bytes:
    """A whole page that is to stand at `out`: it plays files by the way to them from there."""
    folder = _common_folder([track.path for track in library.tracks])
    found = figures(overview(library))
    reasons = {track.error.code: _reason(track) for track in reversed(library.tracks) if track.error}
    for failure in found["failures"]:
        failure["first"] = reasons[failure["code"]]
    data = found | {
        "title": title,
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "model": library.meta.name,
        "gone": library.gone,
        "base": _way(folder, out),
        "scale": SCALE,
        "hearings": HEARINGS,
        "strangers": [asdict(stranger) for stranger in library.strangers],
        **_columns(library, folder),
    }
    return document("report", f"{title} · genretag report", data)


def _columns(library: Library, root: str) -> dict[str, Any]:
    """The tracks by column: texts that repeat are numbers into a list, which keeps a large page small."""
    folders, sets, errors = _Numbers(), _Numbers(), _Numbers()
    places = (lay_out(library.scores) * SCALE).round().astype(int).tolist()
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for track in library.tracks:
        x, y = (None, None) if track.row is None else places[track.row]
        row = {
            "folder": folders.of(os.path.relpath(track.path.absolute().parent, root)),
            "name": track.path.name,
            "hearing": HEARINGS.index(track.hearing),
            "heard": sets.of(track.heard),
            "guess": track.guess,
            "now": sets.of(track.genres),
            "before": None if track.before is None else sets.of(track.before),
            "score": None if track.confidence is None else round(track.confidence, 3),
            "seconds": None if track.duration is None else round(track.duration, 1),
            "x": x,
            "y": y,
            "error": None if track.error is None else errors.of((track.error.code, _reason(track))),
        }
        for name, value in row.items():
            columns[name].append(value)
    columns["rank"] = _ranks(library.tracks)
    return {
        "columns": columns,
        "folders": folders.texts,
        "sets": sets.texts,
        "mains": [main(genres) for genres in sets.texts],
        "errors": errors.texts,
    }


class _Numbers:
    """Numbers for values, the same for the same one."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def of(self, value: Any) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    @property
    def texts(self) -> list[Any]:
        return list(self._numbers)


def _ranks(tracks: Sequence[LibraryTrack]) -> list[int]:
    """The place of each track by name, numbers in names by their value: sorted here, not in the browser."""
    keys = [
        [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", track.path.name.casefold())]
        for track in tracks
    ]
    ranks = [0] * len(keys)
    for rank, number in enumerate(sorted(range(len(keys)), key=keys.__getitem__)):
        ranks[number] = rank
    return ranks


def _common_folder(paths: Sequence[Path]) -> str:
    """The folder that all tracks lie below; where there is none (other drives of Windows), one of theirs."""
    parents = {os.path.dirname(path.absolute()) for path in paths}
    try:
        return os.path.commonpath(parents)
    except ValueError:
        return min(parents, default=os.getcwd())


def _way(folder: str, out: Path) -> str:
    """The address of a folder from the page's own: both may be moved together."""
    try:
        way = os.path.relpath(os.path.realpath(folder), out.resolve().parent)
    except ValueError:  # another drive
        return Path(folder).as_uri() + "/"
    # Bytes, because a name need not be valid in any encoding.
    return "./" + quote(os.fsencode(way.replace(os.sep, "/"))) + "/"


def _reason(track: LibraryTrack) -> str:
    """Why it failed, without the path before it: the page may be shown to others, and the row names it."""
    message = track.error.message if track.error else ""
    short = message.removeprefix(f"{track.path}: ")
    # It may have failed under another name.
    return short if short != message else message.partition(": ")[2] or message
