"""Genres that another tagger sets between two runs or in the middle of one, restoring size and time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from command import Command
from foreign_tags import tag as tag_like_others
from genretag.tagging import tags
from genretag.tagging.plan import Record
from genretag.tagging.tag import Tagging
from sounds import make_sound

SURE = ("--model", "musicnn-msd", "--threshold", "0", "--top", "1")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    path = make_sound(folder / "song.flac", 3.0)
    # A tag with padding, in which a genre finds room without a change of size.
    tag_like_others(path, [], title="A title")
    return path


def set_genre(path: Path, *genres: str) -> None:
    before = path.stat()
    tags.write(path, genres)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_genre_set_between_two_runs_is_kept(genretag: Command, song: Path) -> None:
    (planned,) = genretag("tag", "-n", "--json", *SURE, song.parent).records
    assert planned["status"] == "planned"
    set_genre(song, "Polka")
    (record,) = genretag("tag", "--json", *SURE, song.parent).records
    assert (record["status"], record["previous"]) == ("kept", ["Polka"])
    assert tags.read(song).genres == ("Polka",)


def test_an_edit_that_only_the_change_time_shows_costs_no_analysis(genretag: Command, song: Path) -> None:
    (planned,) = genretag("tag", "-n", "--json", *SURE, song.parent).records
    assert planned["seconds"] > 0
    set_genre(song, "Polka")
    (record,) = genretag("tag", "-n", "--json", "--existing", "replace", *SURE, song.parent).records
    assert (record["status"], record["previous"], record["seconds"]) == ("planned", ["Polka"], 0)
    assert record["scores"] == planned["scores"]


@pytest.mark.parametrize("existing", ["keep", "add", "replace", "refresh"])
def test_a_genre_set_after_the_analysis_decides(
    genretag: Command, song: Path, monkeypatch: pytest.MonkeyPatch, existing: str
) -> None:
    """The decision is made on the genres that the file has right before it is written."""
    really_planned = Tagging._planned

    def meddle_first(tagging: Any, record: Record, known: Any, decided: Any) -> Record:
        monkeypatch.undo()
        answer: Record = really_planned(tagging, record, known, decided)
        set_genre(song, "Polka")
        return answer

    monkeypatch.setattr(Tagging, "_planned", meddle_first)
    (record,) = genretag("tag", "--json", "--existing", existing, *SURE, song.parent).records
    wrote = tags.read(song).genres
    if existing in ("keep", "refresh"):
        assert (record["status"], wrote) == ("kept", ("Polka",))
    elif existing == "add":
        assert record["status"] == "written"
        assert wrote[0] == "Polka"
        assert len(wrote) == 2
    else:
        assert record["status"] == "written"
        assert "Polka" not in wrote
    assert record["previous"] == ["Polka"]


def test_a_plan_is_not_applied_over_a_genre_set_since(genretag: Command, song: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.jsonl"
    assert genretag("tag", "--plan", plan, *SURE, song.parent).code == 0
    set_genre(song, "Polka")
    answer = genretag("apply", "--json", plan)
    assert answer.code == 1
    assert answer.records[0]["error"]["code"] == "changed"
    assert tags.read(song).genres == ("Polka",)


def test_a_mode_set_between_two_runs_is_kept_and_stops_nothing(genretag: Command, song: Path) -> None:
    genretag("tag", "-n", *SURE, song)
    song.chmod(0o640)
    (record,) = genretag("tag", "--json", *SURE, song).records
    assert (record["status"], record["seconds"]) == ("written", 0)
    assert song.stat().st_mode & 0o777 == 0o640
