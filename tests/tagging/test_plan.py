"""Records and plans: the JSON line, the policies for existing genres, and plans from other hands."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from genretag.errors import FileError, PlanError
from genretag.tagging.plan import Existing, Record, find_path, merge, parse_record, plan_writer, read_plan

RECORD = Record(
    Path("/m/caf\udce9 'x'.mp3"),
    "failed",
    ("Hip-Hop",),
    ("Rock", "Jazz"),
    {"rock": 0.25},
    "musicnn-msd",
    1.5,
    FileError("silent", "nothing to hear"),
    "mp3-1",
)


def test_a_record_survives_its_json_line() -> None:
    line = RECORD.to_json()
    assert "\n" not in line
    assert parse_record(line, "here") == RECORD


def test_a_line_holds_nothing_that_a_terminal_obeys() -> None:
    genres = ("\x9b31m \ud83d", "\u202e\U000e0041")
    odd = Record(Path("\x1b[2J\n"), "planned", genres, (*genres, "日\u3000本"))
    line = odd.to_json()
    assert line.isprintable()
    assert "日" in line
    assert parse_record(line, "here") == odd


def test_the_keys_never_vanish() -> None:
    empty = json.loads(Record(Path("a"), "unsure").to_json())
    assert set(empty) == set(json.loads(RECORD.to_json()))
    assert {"path", "status", "genres", "previous", "scores", "model", "seconds", "error"} <= set(empty)


@pytest.mark.parametrize(
    ("existing", "previous", "ours", "expected"),
    [
        (Existing.KEEP, [], None, ("Rock", "Jazz")),
        (Existing.KEEP, ["Pop"], None, None),
        (Existing.ADD, ["Pop", "rock"], None, ("Pop", "rock", "Jazz")),
        (Existing.ADD, ["jazz", "ROCK"], None, None),
        (Existing.REPLACE, ["Pop"], None, ("Rock", "Jazz")),
        (Existing.REFRESH, ["Pop"], None, None),
        (Existing.REFRESH, ["Pop"], ("Pop",), ("Rock", "Jazz")),
        (Existing.REFRESH, ["Pop", "Mine"], ("Pop",), None),
        (Existing.REFRESH, [], None, ("Rock", "Jazz")),
    ],
)
def test_policies(
    existing: Existing, previous: list[str], ours: tuple[str, ...] | None, expected: tuple[str, ...] | None
) -> None:
    assert merge(existing, previous, ["Rock", "Jazz"], ours) == expected


@pytest.mark.parametrize(
    ("previous", "separator", "expected"),
    [
        (["Pop; rock"], None, ("Pop", "rock", "Jazz")),
        (["Pop;rock;JAZZ"], None, None),
        (["Rock / Jazz"], " / ", None),
        (["Rock / Jazz"], None, ("Rock / Jazz", "Rock", "Jazz")),
        (["AC/DC", "rock"], "; ", ("AC/DC", "rock", "Jazz")),
        (["jazz", "Pop", "Jazz", "ROCK"], None, None),
        ([";"], None, ("Rock", "Jazz")),
    ],
)
def test_adding_compares_single_genres(
    previous: list[str], separator: str | None, expected: tuple[str, ...] | None
) -> None:
    assert merge(Existing.ADD, previous, ["Rock", "Jazz"], None, separator) == expected


def test_adding_appends_each_missing_genre_once() -> None:
    decided = ["My genre", "my Genre", "Pop; Rock", "hip hop", "Hip-Hop"]
    assert merge(Existing.ADD, ["rock"], decided, None) == ("rock", "My genre", "Pop", "hip hop")


def test_a_hand_written_line_needs_a_path_only() -> None:
    assert parse_record('{"path": "a.mp3", "genres": ["Jazz"]}', "here") == Record(
        Path("a.mp3"), "planned", ("Jazz",)
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "not JSON"),
        (
            '{"path": "a", "genres": ["a\\u001b"], "previous": ["b"]}',
            "the genre 'a\\x1b' holds a control character",
        ),
        ("[]", 'not an object with a "path"'),
        ('{"path": 3}', 'not an object with a "path"'),
        ('{"path": "a\\u0000"}', "no file can have the path 'a\\x00'"),
        ('{"path": "a\\ud800"}', "no file can have the path 'a\\ud800'"),
        ('{"path": "a", "status": "done"}', "status must be one of written, "),
        ('{"path": "a", "status": ["planned"]}', "status must be one of written, "),
        ('{"path": "a", "genres": "Rock"}', "genres must be a list of genre names, not 'Rock'"),
        ('{"path": "a", "genres": [""]}', "genres must be a list"),
        ('{"path": "a", "genres": ["a\\u001b[2J"]}', "the genre 'a\\x1b[2J' holds a control character"),
        ('{"path": "a", "scores": {"rock": "high"}}', "scores must be an object of numbers"),
        ('{"path": "a", "seconds": "1"}', "seconds must be a number"),
        ('{"path": "a", "seconds": 1%s}' % ("0" * 400), "seconds must be a number"),
        ('{"path": "a", "scores": {"rock": 1%s}}' % ("0" * 400), "scores must be an object of numbers"),
        ('{"path": "a", "error": "bad"}', "error must be null or an object"),
        ('{"path": "a", "model": 1}', "model must be text"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_malformed_line_is_named(line: str, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        list(read_plan(["", '{"path": "good"}', line], "plan.jsonl"))
    assert str(caught.value).startswith("plan.jsonl:3: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    with plan_writer(path) as keep:
        assert keep(RECORD) is RECORD
        assert keep(replace(RECORD, previous=("half of a pair \ud800",)))
        assert not path.exists()
    with path.open(encoding="utf-8") as lines:
        assert next(read_plan(lines, "plan")) == RECORD


def test_an_interrupted_plan_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with plan_writer(tmp_path / "plan.jsonl") as keep:
            keep(RECORD)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


def test_a_plan_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be written"), plan_writer(tmp_path / "no" / "plan.jsonl"):
        pass


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses names that are not UTF-8")
def test_a_name_that_jq_has_mended_still_finds_its_file(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    song = folder / os.fsdecode(b"\xff song.mp3")
    song.touch()
    mended = Path(os.fsencode(song).decode("utf-8", "replace"))
    assert find_path(mended) == song
    assert find_path(song) == song
    (folder / os.fsdecode(b"\xfe song.mp3")).touch()
    assert find_path(mended) == mended
