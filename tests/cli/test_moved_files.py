"""Files, folders and libraries that were moved between a run and its undo."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from command import Command
from sounds import make_sound

SURE = ("--model", "musicnn-msd", "--threshold", "0", "--top", "1")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    album = tmp_path / "music" / "album"
    album.mkdir(parents=True)
    for number in range(2):
        make_sound(album / f"{number}.mp3", 2.0, seed=number)
    return tmp_path / "music"


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.rglob("*.mp3"))]


def move_file(music: Path) -> Path:
    (music / "album" / "1.mp3").rename(music / "album" / "2.mp3")
    return music


def move_folder(music: Path) -> Path:
    (music / "album").rename(music / "renamed")
    return music


def move_library(music: Path) -> Path:
    return music.rename(music.with_name("elsewhere"))


def see_by_tag(genretag: Command, music: Path) -> None:
    assert genretag("tag", "-n", *SURE, music).code == 0


def see_by_report(genretag: Command, music: Path) -> None:
    assert genretag("report", "--json", music).code == 0


def see_by_apply(genretag: Command, music: Path) -> None:
    plan = music.parent / "plan.jsonl"
    assert genretag("tag", "--plan", plan, "--existing", "replace", *SURE, music, "--no-cache").code == 0
    genretag("apply", plan)


@pytest.mark.parametrize("move", [move_file, move_folder, move_library])
@pytest.mark.parametrize("see", [see_by_tag, see_by_report, see_by_apply])
def test_what_was_moved_is_undone_where_it_was_seen(
    genretag: Command, music: Path, move: Callable[[Path], Path], see: Callable[[Command, Path], None]
) -> None:
    before = contents(music)
    assert genretag("tag", *SURE, music).code == 0
    assert contents(music) != before
    music = move(music)
    see(genretag, music)
    answer = genretag("undo", "--json")
    assert [record["status"] for record in answer.records] == ["undone", "undone"], answer.err
    assert contents(music) == before


def test_a_copy_is_not_undone_in_place_of_its_original(genretag: Command, music: Path) -> None:
    song, copy = music / "album" / "1.mp3", music / "copy of 1.mp3"
    before = song.read_bytes()
    genretag("tag", *SURE, music)
    shutil.copy2(song, copy)
    written = copy.read_bytes()
    see_by_tag(genretag, music)
    moved = song.rename(music / "moved.mp3")
    answer = genretag("undo", "--json")
    assert {record["status"] for record in answer.records} == {"undone", "skipped"}, "it was not seen yet"
    assert (copy.read_bytes(), moved.read_bytes()) == (written, written)
    see_by_tag(genretag, music)
    answer = genretag("undo", "--json")
    assert [(record["status"], record["path"]) for record in answer.records] == [("undone", str(moved))]
    assert (copy.read_bytes(), moved.read_bytes()) == (written, before)


def test_a_hard_link_is_no_reason_to_leave_the_recorded_path(genretag: Command, music: Path) -> None:
    song, link = music / "album" / "1.mp3", music / "link.mp3"
    before = song.read_bytes()
    genretag("tag", *SURE, music)
    os.link(song, link)
    see_by_tag(genretag, music)
    answer = genretag("undo", "--json")
    assert str(song) in [record["path"] for record in answer.records]
    assert song.read_bytes() == before
