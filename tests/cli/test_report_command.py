"""`genretag report` as a person runs it: real files, a real run before it, every form of output."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from albums import MODEL, let_sound, make_songs, set_album
from command import Command, command_line
from genretag.tagging import tags

ROCK, UNSURE, JAZZ = {"rock": 0.8}, {"rock": 0.2}, {"jazz": 0.9}


@pytest.fixture
def music(genretag: Command, tmp_path: Path) -> Path:
    """An album of which one track is Jazz and one unsure; half of it written by genretag, one file broken."""
    folder = tmp_path / "music"
    songs = make_songs(folder / "Album", 5)
    for path in songs:
        set_album(path, "Album", "Ann")
    let_sound(genretag, dict(zip(songs, [ROCK, ROCK, JAZZ, ROCK, UNSURE], strict=True)))
    tags.write(songs[0], ("Pop",))
    assert genretag("tag", "-q", "--model", MODEL, "--existing", "replace", songs[0], songs[1]).code == 0
    (folder / "Broken").mkdir()
    (folder / "Broken" / "song.mp3").write_text("no music\n" * 99)
    return folder


def test_the_library_at_a_glance(genretag: Command, music: Path) -> None:
    answer = genretag("report", "--model", MODEL, music)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0].startswith("6 tracks  17 minutes heard by model musicnn-msd")
    assert lines[1] == "4 sure (67 %)  1 unsure  1 failed"
    assert lines[2] == "4 files without a genre, 5 before genretag wrote 2"
    assert re.search(r"^Rock +3 +0\.2 +0\.80 +2 +0$", answer.out, re.M)
    assert re.search(r"^Pop +0 +0\.0 +- +0 +1$", answer.out, re.M)
    assert "changed  Pop → Rock 1, none → Rock 1" in answer.out
    assert "failed  bad-tags 1" in answer.out
    assert "1 track unlike their album\n  03.mp3  Jazz among Rock · Album" in answer.out
    assert f"write genres into 2 files without one\n    genretag tag {music}" in answer.out
    assert f"genretag report --html library.html {music}" in answer.out


def test_one_json_document(genretag: Command, music: Path) -> None:
    document = json.loads(genretag("report", "--json", "--model", MODEL, music).out)
    assert (document["model"], document["tracks"], document["written"]) == (MODEL, 6, 2)
    assert document["hearing"] == {"sure": 4, "unsure": 1, "unheard": 0, "failed": 1}
    first = document["library"][0]
    assert (first["genres"], first["before"], first["heard"]) == (["Rock"], ["Pop"], ["Rock"])
    assert [row["album"] and row["album"]["name"] for row in document["library"]] == [
        *(None, None, "Album", None, None, None)
    ]


def test_without_paths_everything_that_is_known(genretag: Command, music: Path) -> None:
    (music / "Album" / "05.mp3").unlink()
    document = json.loads(genretag("report", "--json", "--model", MODEL).out)
    assert (document["tracks"], document["gone"]) == (4, 1)


def test_a_table_for_spreadsheets(genretag: Command, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "library.csv"
    answer = genretag("report", "-q", "--csv", out, "--model", MODEL, music)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == f"genretag: table written to {out}\n"
    with out.open(encoding="utf-8-sig", newline="") as file:
        written = list(csv.DictReader(file))
    assert len(written) == 6
    assert (written[2]["heard"], written[2]["album"]) == ("Jazz", "unlike Album (Rock)")
    printed = genretag("report", "--csv", "-", "--model", MODEL, music)
    assert list(csv.DictReader(printed.out.splitlines())) == written


def test_a_page(genretag: Command, music: Path, tmp_path: Path) -> None:
    out = tmp_path / "pages" / "library.html"
    answer = genretag("report", "--html", out, "--model", MODEL, music)
    assert answer.code == 0
    assert answer.err == f"genretag: page written to {out}; open it in a browser\n"
    assert "--html" not in answer.out
    data = re.search(r'id="data">(.*?)</script>', out.read_text(encoding="utf-8"), re.S)
    assert data is not None
    page = json.loads(data[1])
    assert page["base"] == "./../music/"
    assert page["columns"]["name"] == [*(f"0{number}.mp3" for number in range(1, 6)), "song.mp3"]
    # Where the library lies is nobody's affair.
    assert str(tmp_path) not in out.read_text(encoding="utf-8")


def test_what_was_not_heard_is_counted_and_heard_when_asked(genretag: Command, music: Path) -> None:
    before = (music / "Album" / "01.mp3").read_bytes()
    counted = genretag("report", music)
    assert "5 not heard yet  1 failed" in counted.out
    assert f"genretag report --analyse {music}" in counted.out
    heard = genretag("report", "--json", "--analyse", "--workers", "1", music)
    assert json.loads(heard.out)["hearing"]["unheard"] == 0
    assert json.loads(genretag("report", "--json", music).out)["hearing"]["unheard"] == 0
    assert (music / "Album" / "01.mp3").read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
@pytest.mark.parametrize("columns", [100, 60, 44])
def test_it_fits_terminals_and_has_no_colour_where_none_is_wanted(music: Path, columns: int) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    shown = on_terminal(columns, "report", "--model", MODEL, music, env=environment | {"NO_COLOR": "1"})
    lines = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
    assert not re.search(r"\x1b\[(?:[\d;]*;)?3[0-7]", shown)
    assert 20 < len(lines) <= 40
    assert all(len(line) <= columns for line in lines if not line.startswith("    genretag "))
    assert any(line.startswith("Rock ") for line in lines)


def on_terminal(columns: int, *arguments: object, env: dict[str, str]) -> str:
    """What the command line shows on a terminal of this width."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        command_line(*arguments), stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=env
    )
    os.close(theirs)
    shown = b""
    while block := _read(ours):
        shown += block
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux tells that nobody holds the other end
        return b""


def test_hostile_names_reach_no_terminal(genretag: Command, music: Path) -> None:
    (song,) = make_songs(music / "Odd\x1b[2J", 1, first_seed=9)
    tags.write(song, ("\x1b]0;Metal",))
    song.rename(song.with_name("\x1b[31m\u202e\udce9.mp3"))
    answer = genretag("report", music)
    assert answer.code == 0
    assert all(character.isprintable() for character in answer.out.replace("\n", ""))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no files are known yet; name a folder, as in: genretag report ~/Music"),
        (("--html", "song.mp3", "."), "--html song.mp3: give a name that ends in .html"),
        (("--csv", "song.mp3", "."), "--csv song.mp3: give a name that ends in .csv"),
        (("nowhere",), "nowhere: no such file or folder; check the spelling"),
    ],
)
def test_wrong_usage_is_one_line(genretag: Command, arguments: tuple[str, ...], said: str) -> None:
    answer = genretag("report", *arguments)
    assert answer.code == 2
    assert answer.err.startswith(f"genretag: {said}")
    assert answer.err.count("\n") == 1


def test_an_empty_folder_is_said(genretag: Command, tmp_path: Path) -> None:
    answer = genretag("report", tmp_path)
    assert (answer.code, answer.out) == (0, "No audio files there.\n")
