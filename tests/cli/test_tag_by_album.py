"""`genretag tag --by album`: real files with real album tags, whose scores the store already knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from albums import BY_HIGHEST_SCORE, let_sound, make_songs, set_album
from command import Command
from genretag.tagging import tags

ROCK = {"rock": 0.8}
UNSURE = {"rock": 0.2}
METAL = {"metal": 0.9}
JAZZ = {"jazz": 0.9}


@pytest.fixture
def music(genretag: Command, tmp_path: Path) -> Path:
    """An album on two discs with an unsure and a very different track, and a folder of single tracks."""
    folder = tmp_path / "music"
    discs = make_songs(folder / "Album" / "CD1", 3) + make_songs(folder / "Album" / "CD2", 2, first_seed=3)
    for path in discs:
        set_album(path, "Album", "Ann")
    singles = make_songs(folder / "Singles", 2, first_seed=5)
    for path in singles:
        set_album(path, f"Single {path.stem}", "Bob")
    let_sound(
        genretag, dict(zip([*discs, *singles], [ROCK, UNSURE, ROCK, ROCK, JAZZ, METAL, JAZZ], strict=True))
    )
    return folder


def test_an_album_gets_one_genre_and_singles_their_own(genretag: Command, music: Path) -> None:
    alone = genretag("tag", "-n", "--json", *BY_HIGHEST_SCORE, music)
    assert [record["genres"] for record in alone.records] == [
        *(["Rock"], [], ["Rock"], ["Rock"], ["Jazz"], ["Metal"], ["Jazz"])
    ]
    assert all(record["album"] is None for record in alone.records)
    assert "differs" not in alone.err

    together = genretag("tag", "-n", "--json", "--by", "album", *BY_HIGHEST_SCORE, music)
    assert [record["path"] for record in together.records] == [record["path"] for record in alone.records]
    assert [record["genres"] for record in together.records] == [*[["Rock"]] * 5, ["Metal"], ["Jazz"]]
    odd = together.records[4]["album"]
    assert odd == {
        "name": "Album",
        "folder": str(music / "Album"),
        "tracks": 5,
        "genres": ["Rock"],
        "by": "sound",
        "own": ["Jazz"],
        "outlier": True,
    }
    assert not any(record["album"]["outlier"] for record in together.records[:4])
    assert together.records[5]["album"] is None
    (line,) = [line for line in together.err.splitlines() if "differs" in line]
    assert line.endswith("CD2/02.mp3: differs from its album: Jazz by itself, Rock with the others")


def test_it_writes_and_plans_the_same(genretag: Command, music: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.jsonl"
    assert genretag("tag", "--plan", plan, "--by", "album", *BY_HIGHEST_SCORE, music).code == 0
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    assert [line["status"] for line in lines] == ["planned"] * 7
    written = genretag("apply", "--json", plan).records
    assert [tuple(line["genres"]) for line in lines] == [tags.read(Path(r["path"])).genres for r in written]
    assert [record["album"] for record in written] == [line["album"] for line in lines]
    again = genretag("tag", "--json", "--by", "album", "--existing", "replace", *BY_HIGHEST_SCORE, music)
    assert {record["status"] for record in again.records} == {"unchanged"}


def test_genres_that_most_tracks_keep_go_to_the_rest(genretag: Command, music: Path) -> None:
    for path in sorted((music / "Album").rglob("*.mp3"))[:3]:
        tags.write(path, ["Krautrock"])
    answer = genretag("tag", "-n", "--json", "--by", "album", *BY_HIGHEST_SCORE, music / "Album")
    assert [record["status"] for record in answer.records] == ["kept"] * 3 + ["planned"] * 2
    assert [record["genres"] for record in answer.records[3:]] == [["Krautrock"]] * 2
    assert {record["album"]["by"] for record in answer.records} == {"tags"}
    replaced = genretag(
        *("tag", "-n", "--json", "--by", "album", "--existing", "replace"), *BY_HIGHEST_SCORE, music / "Album"
    )
    assert [record["genres"] for record in replaced.records] == [["Rock"]] * 5


def test_by_something_else_is_refused(genretag: Command, music: Path) -> None:
    answer = genretag("tag", "-n", "--by", "artist", music)
    assert answer.code == 2
    assert answer.err == "genretag: --by artist: give one of track, album\n"
