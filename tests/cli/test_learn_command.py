"""`genretag learn` from the command line: learn, tag with what was learnt, and take it back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from command import Command
from genretag.cli import settings
from genretag.tagging import tags
from small_lessons import GENRES, make_lesson, make_lessons


def hashes(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.flac"))}


def test_learn_then_tag_then_undo(genretag: Command, tmp_path: Path) -> None:
    lessons = make_lessons(tmp_path / "lessons", 8)
    (lessons / "Hiss" / "broken.mp3").write_bytes(b"no music at all" * 100)
    taught = hashes(lessons)
    answer = genretag("learn", lessons)
    assert answer.code == 1
    assert hashes(lessons) == taught
    assert "left out: [not-audio]" in answer.err
    assert "broken.mp3" in answer.err
    assert all(genre in answer.out for genre in GENRES)
    assert "5 folds by file, may be too good: songs of one artist may be on both sides" in answer.out
    assert "go back with: genretag config unset tag.model" in answer.err
    # A second time everything is known already, and the answer is the same.
    again = genretag("learn", "--json", "--quiet", lessons)
    document = json.loads(again.out)
    assert document["model"] == "mine"
    assert document["files"] == dict.fromkeys(GENRES, 8)
    assert document["held_back"] == {"folds": 5, "by": "file", "may_be_too_good": True}
    assert document["accuracy"] > document["chance"] == pytest.approx(1 / 3)

    music = tmp_path / "music"
    for genre in GENRES:
        make_lesson(music, genre, 2, first=50)
    before = hashes(music)
    written = genretag("tag", "--json", music)
    for record in written.records:
        assert record["model"] == "mine"
        assert record["genres"] in ([], [Path(record["path"]).name.split()[0]])
    assert sum(record["status"] == "written" for record in written.records) >= 4
    assert genretag("undo").code == 0
    assert hashes(music) == before

    assert genretag("config", "unset", "tag.model").code == 0
    assert {record["model"] for record in genretag("tag", "-n", "--json", music).records} == {"auto"}


def test_the_model_is_listed_with_what_it_was_learnt_from(genretag: Command, tmp_path: Path) -> None:
    lessons = make_lessons(tmp_path / "lessons", 4, GENRES[:2])
    answer = genretag("learn", "--min-files", "4", "--name", "two", "--no-default", lessons)
    assert answer.code == 0
    assert settings.read() is None
    assert "genretag tag -n --model two" in answer.err
    row = json.loads(genretag("models", "--json").out)[0]
    assert (row["name"], row["kind"]) == ("two", "weights")
    assert row["trained_on"] == "8 files of lessons (Drone, Hiss)"
    assert json.loads(genretag("models", "--json", "two").out)["extra"]["files"] == {"Drone": 4, "Hiss": 4}
    assert "two" in genretag("models").out


def test_several_genres_a_file_come_from_its_tags(genretag: Command, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    for genre in GENRES:
        for number, path in enumerate(make_lesson(folder / genre, genre, 6)):
            # Spelt in two ways, and all but the drones are loud.
            names = [genre if number % 2 else genre.lower()]
            tags.write(path, names if genre == "Drone" else [*names, "Loud"])
    answer = genretag("learn", "--multi", "--from-tags", "--json", folder)
    assert answer.code == 0
    document = json.loads(answer.out)
    assert (document["source"], document["task"]) == ("tags", "multi")
    assert document["files"] == {"Drone": 6, "Hiss": 6, "Knocks": 6, "Loud": 12}
    found = {}
    for record in genretag("tag", "-n", "--json", "--existing", "replace", folder).records:
        found[Path(record["path"]).name.split()[0]] = set(record["genres"])
    assert found["Hiss"] >= {"Hiss", "Loud"}
    assert "Loud" not in found["Drone"]


def test_what_cannot_be_told_apart_is_not_made_the_default(genretag: Command, tmp_path: Path) -> None:
    for number, genre in enumerate(("Left", "Right")):
        make_lesson(tmp_path / genre, "Hiss", 8, first=10 * number)
    answer = genretag("learn", tmp_path)
    assert answer.code == 0
    assert "it is not better than chance as far as can be told" in answer.err
    assert settings.read() is None
    assert json.loads(genretag("models", "--json", "mine").out)["task"] == "multi"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "auto"], "--name auto: genretag has a model of that name; give another one"),
        (["--name", "../x"], "--name ../x: give a word of letters, digits, - and _, such as mine"),
        (["--min-files", "2"], "--min-files 2: 3 at least, for some files of each genre are held back to"),
        (["--from-tags"], "to learn, two genres need 5 files each; its tags have Drone 2, Hiss 2; add files"),
        (["--from-folders"], "to learn, two genres need 5 files each; its folders have Drone 2, Hiss 2; add"),
    ],
)
def test_what_cannot_be_learnt_is_one_line(
    genretag: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    for genre in GENRES[:2]:
        for path in make_lesson(tmp_path / genre, genre, 2):
            tags.write(path, [genre])
    answer = genretag("learn", *arguments, tmp_path)
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert message in answer.err


def test_a_missing_folder_is_one_line(genretag: Command, tmp_path: Path) -> None:
    answer = genretag("learn", tmp_path / "nowhere")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "no such folder" in answer.err
