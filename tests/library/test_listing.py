"""Tracks as rows: whole for programs, harmless for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from genretag import checkpoint
from genretag.errors import FileError
from genretag.library.listing import COLUMNS, harmless, rows, write_csv
from genretag.library.tracks import Library, LibraryTrack, Stranger


@pytest.fixture
def library() -> Library:
    meta = checkpoint.read_meta(checkpoint.resolve("musicnn-msd"))
    tracks = (
        LibraryTrack(
            Path("=cmd|'/c calc'!A1.mp3"),
            ("+1", "Rock"),
            (),
            ("Rock",),
            confidence=0.51234,
            duration=61.0,
            row=0,
        ),
        LibraryTrack(Path("b\n\x1b[2J\udce9.mp3"), error=FileError("empty", "b: holds nothing")),
    )
    stranger = Stranger(0, '-"album', "Jazz", 9, called=True, sounds=False)
    return Library(tracks, np.zeros((1, len(meta.labels)), np.float32), meta, (stranger,))


def test_rows_are_exact(library: Library) -> None:
    first, second = json.loads(json.dumps(list(rows(library))))
    assert set(first) == set(second) == set(COLUMNS)
    assert first["path"] == "=cmd|'/c calc'!A1.mp3"
    assert (first["heard"], first["genres"], first["before"]) == (["Rock"], ["+1", "Rock"], [])
    assert (first["score"], first["seconds"]) == (0.5123, 61.0)
    assert first["album"] == {
        "name": '-"album',
        "genre": "Jazz",
        "tracks": 9,
        "called": True,
        "sounds": False,
    }
    assert second["path"] == "b\n\x1b[2J\udce9.mp3"
    assert second["error"] == {"code": "empty", "message": "b: holds nothing"}


def test_no_cell_is_a_formula_or_moves_a_terminal(library: Library) -> None:
    text = io.StringIO()
    write_csv(library, text)
    head, first, second = csv.reader(io.StringIO(text.getvalue()))
    assert tuple(head) == COLUMNS
    assert first[0] == "'=cmd|'/c calc'!A1.mp3"
    assert first[head.index("genres")] == "'+1; Rock"
    assert first[head.index("album")] == 'unlike -"album (Jazz)'
    assert (first[head.index("before")], second[head.index("before")]) == ("(none)", "")
    assert second[0] == "b\\n\\x1b[2J\\xe9.mp3"
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in (first, second) for cell in row)
    assert text.getvalue().replace("\n", "").isprintable()


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", " =1", "＝1", "\n@a"])
def test_what_a_spreadsheet_would_run_is_text(text: str) -> None:
    assert harmless(text).startswith("'")


@pytest.mark.parametrize("text", ["Rock", "a=b", "3-4", "Ünï - code", "", " Rock"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text
