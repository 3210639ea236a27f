"""Every track of a library as rows, for programs (JSON) and for spreadsheets (CSV)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, TextIO

from genretag.escapes import printable
from genretag.library.tracks import Library

COLUMNS = ("path", "hearing", "heard", "guess", "score", "genres", "before", "seconds", "album", "error")
# A spreadsheet takes a cell that begins with one of these for a formula and may run it.
_FORMULA = tuple("=+-@＝＋－＠\t\r\n")


def rows(library: Library) -> Iterator[dict[str, Any]]:
    """One JSON object per track.

    `hearing`: sure, unsure, unheard or failed; `heard` by the model, `guess` what an unsure one leans to,
    `score` of the best genre; `genres` in the file and `before`, null where genretag did not write it;
    `album` where the track is unlike it: {"name", "genre", "tracks", "called", "sounds"}.
    """
    strange = {stranger.track: stranger for stranger in library.strangers}
    for number, track in enumerate(library.tracks):
        album = None
        if found := strange.get(number):
            album = {
                "name": found.album,
                "genre": found.genre,
                "tracks": found.tracks,
                "called": found.called,
                "sounds": found.sounds,
            }
        yield {
            "path": str(track.path),
            "hearing": track.hearing,
            "heard": list(track.heard),
            "guess": track.guess,
            "score": None if track.confidence is None else round(track.confidence, 4),
            "genres": list(track.genres),
            "before": None if track.before is None else list(track.before),
            "seconds": None if track.duration is None else round(track.duration, 2),
            "album": album,
            "error": None
            if track.error is None
            else {"code": track.error.code, "message": track.error.message},
        }


def write_csv(library: Library, target: TextIO) -> None:
    """A table with a heading; several genres are joined by "; ". Names and tags cannot act as formulas.

    `before` is "(none)" where a file had no genre, and empty where genretag did not write it.
    """
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows(library):
        album, error = row["album"], row["error"]
        flat = row | {
            "before": row["before"] if row["before"] != [] else "(none)",
            "album": album and f"unlike {album['name']} ({album['genre']})",
            "error": error and error["code"],
        }
        writer.writerow([_cell(flat[column]) for column in COLUMNS])


def harmless(text: str) -> str:
    """Text that a spreadsheet only shows; control characters and stray bytes become visible escapes."""
    shown = printable(text)
    return f"'{shown}" if text.lstrip(" ").startswith(_FORMULA) else shown


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = "; ".join(value)
    return harmless(value) if isinstance(value, str) else value
