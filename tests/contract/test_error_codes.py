"""`error.code` of JSON records, as far as a file or a plan can cause it on any machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.library import BAD, CHANGED, DECIDE, GONE, Library

# These follow from the bytes of a file and are remembered; others are tried at every run.
REMEMBERED = {
    "empty",
    "not-audio",
    "decode-failed",
    "silent",
    "too-short",
    "not-taggable",
    "bad-tags",
    "too-large",
}
# Lines of a plan, with the code that apply reports for them.
PLANNED: list[tuple[str, Mapping[str, Any]]] = [
    ("plan", {"path": "Music/Album/01.mp3", "genres": ["a\x01b"], "previous": ["a\x01b"]}),
    ("outside", {"path": sys.executable, "genres": ["Rock"]}),
    ("missing", {"path": "Music/gone.mp3", "genres": ["Rock"]}),
    ("changed", {"path": "Music/Album/01.mp3", "genres": ["Rock"], "audio": "another recording"}),
    ("bad-tags", {"path": "Music/Bad/text.mp3", "genres": ["Rock"]}),
    ("not-taggable", {"path": "Music/Bad/song.au", "genres": ["Rock"]}),
    ("unreadable", {"path": "Music/Bad", "genres": ["Rock"]}),
]


def codes(records: list[dict[str, Any]]) -> dict[str, str | None]:
    """Return the error code of each record by the name of its file."""
    return {Path(record["path"]).name: record["error"] and record["error"]["code"] for record in records}


@pytest.mark.parametrize("code", sorted(set(BAD) - {"not-a-file"}))
def test_codes_of_files_that_cannot_be_tagged(library: Library, code: str) -> None:
    for name, known in (("tag -n", False), ("tag -n again", code in REMEMBERED)):
        (record,) = [
            record for record in library.answers[name].records if record["path"] == f"Music/Bad/{BAD[code]}"
        ]
        assert record["status"] == "failed"
        assert (record["error"]["code"], record["error"]["known"]) == (code, known)
        assert record["path"] in record["error"]["message"]


def test_codes_of_paths_that_are_no_files(library: Library) -> None:
    program = library.program
    loop = program.folder / "loop.mp3"
    loop.symlink_to(loop)
    answer = program(
        "tag",
        "-n",
        "--json",
        *DECIDE,
        "Music/gone.mp3",
        f"Music/Bad/{BAD['not-a-file']}",
        loop,
        "Music/Album/01.mp3",
        code=1,
    )
    assert codes(answer.records) == {
        "gone.mp3": "missing",
        BAD["not-a-file"]: "not-a-file",
        "loop.mp3": "unreadable",
        "01.mp3": None,
    }


def test_codes_of_lines_of_a_plan(library: Library) -> None:
    lines = "".join(json.dumps(line) + "\n" for _, line in PLANNED)
    answer = library.program("apply", "--json", "-", text=lines, code=1)
    assert [record["error"]["code"] for record in answer.records] == [code for code, _ in PLANNED]
    assert {record["error"]["known"] for record in answer.records} == {False}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports who has a file open")
def test_the_code_of_a_file_that_is_open_for_writing(library: Library) -> None:
    song = library.program.folder / "Music" / "Album" / "01.mp3"
    line = json.dumps({"path": "Music/Album/01.mp3", "genres": ["Rock"]})
    with song.open("ab"):
        answer = library.program("apply", "--json", "-", text=line, code=1)
    assert codes(answer.records) == {"01.mp3": "in-use"}


def test_codes_of_files_that_are_not_undone(library: Library) -> None:
    found = codes(library.answers["undo 1"].records)
    assert (found.pop(Path(GONE).name), found.pop(Path(CHANGED).name)) == ("missing", "changed")
    assert set(found.values()) == {None}


def test_codes_are_printed_without_json(library: Library) -> None:
    answer = library.program("tag", "-n", "-q", *DECIDE, "Music/Bad/empty.mp3", code=1)
    assert answer.err.startswith("genretag: [empty] Music/Bad/empty.mp3: ")
