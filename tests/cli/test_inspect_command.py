"""`genretag inspect`: what a person and a program get, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from command import Command
from genretag.predict.timeline import KEYS
from sounds import make_sound


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sound(tmp_path_factory.mktemp("song") / "one's ü song.flac", 9.0, rate=16000, channels=1)


def test_a_person_sees_the_decision_and_the_song_over_time(genretag: Command, song: Path) -> None:
    before = song.read_bytes()
    answer = genretag("inspect", song)
    assert answer.code == 0
    assert answer.err == ""
    lines = answer.out.splitlines()
    assert lines[0] == "one's ü song.flac"
    assert lines[1].startswith("0:09 · 3 windows of 3.0 s · model auto")
    assert max(map(len, lines)) <= 100
    assert any(line.startswith("genre ") for line in lines)
    assert song.read_bytes() == before


def test_a_program_gets_one_object(genretag: Command, song: Path) -> None:
    answer = genretag("inspect", "--json", "--coverage", "2", "--model", "musicnn-msd", song)
    (record,) = answer.records
    assert tuple(record) == KEYS
    assert (record["path"], record["model"], record["coverage"]) == (str(song), "musicnn-msd", 2)
    assert len(record["windows"]) == len(record["starts"]) == 2
    assert record["error"] is None


@pytest.mark.parametrize("audio", ["embed", "link", "none"])
def test_a_page_is_written_whole(genretag: Command, song: Path, tmp_path: Path, audio: str) -> None:
    out = tmp_path / "new folder" / "page.html"
    answer = genretag("inspect", "--html", out, "--audio", audio, song)
    assert answer.code == 0
    assert answer.err == f"genretag: page written to {out}; open it in a browser\n"
    text = out.read_text(encoding="utf-8")
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert (data["sound"]["content"] is not None) == (audio == "embed")
    assert (data["sound"]["address"] is not None) == (audio == "link")
    assert data["present"] == []
    assert list(out.parent.iterdir()) == [out]
    # A page is shown to others: it does not tell where the song lies, but by its name.
    assert data["path"] == song.name
    assert str(song.parent) not in text


def test_a_page_never_takes_the_place_of_a_song(genretag: Command, song: Path) -> None:
    before = song.read_bytes()
    answer = genretag("inspect", "--html", song, song)
    assert answer.code == 2
    assert "ends in .html" in answer.err
    assert song.read_bytes() == before


def test_a_page_that_cannot_be_written(genretag: Command, song: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    answer = genretag("inspect", "--audio", "none", "--html", tmp_path / "folder.html", song)
    assert answer.code == 2
    assert answer.err.startswith(f"genretag: --html {tmp_path}/folder.html: cannot be written (")
    assert answer.err.count("\n") == 1


def test_a_song_that_cannot_be_heard(genretag: Command, tmp_path: Path) -> None:
    silence = make_sound(tmp_path / "silence.wav", 2.0, level=0.0)
    answer = genretag("inspect", silence)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"genretag: [silent] {silence}: every part listened to is silent\n"
    answer = genretag("inspect", "--json", silence)
    assert answer.code == 1
    (record,) = answer.records
    assert tuple(record) == KEYS
    assert record["error"]["code"] == "silent"
    assert record["genres"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["."], "genretag: .: a folder; give one song\n"),
        (["none.mp3"], "genretag: none.mp3: no such file; check the spelling\n"),
        (["--audio", "loud", "x.mp3"], "genretag: --audio loud: give one of embed, link, none\n"),
        (["--coverage", "all", "x.mp3"], "genretag: coverage 'all': give fast, full or a number of windows"),
        (["--html", "x.mp3", "y.mp3"], "genretag: --html x.mp3: give a name that ends in .html"),
    ],
)
def test_wrong_usage_is_one_line(genretag: Command, arguments: list[str], message: str) -> None:
    answer = genretag("inspect", *arguments)
    assert answer.code == 2
    assert answer.err.startswith(message)
    assert answer.err.count("\n") == 1


def test_a_name_that_is_no_text(genretag: Command, song: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 \x1b[2J.flac")
    path.write_bytes(song.read_bytes())
    out = tmp_path / "page.html"
    answer = genretag("inspect", "--html", out, "--audio", "link", path)
    assert answer.code == 0
    assert answer.out.startswith("caf\\xe9 \\x1b[2J.flac\n")
    assert b"<title>caf\\xe9 \\x1b[2J.flac" in out.read_bytes()
