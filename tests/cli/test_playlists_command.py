"""`genretag playlists` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command import Command
from genretag.tagging import tags


def test_playlists_of_a_library(genretag: Command, library: Path, tmp_path: Path) -> None:
    tags.write(library / "A" / "one's song.mp3", ["Rock", "Folk"])
    tags.write(library / "B" / "three.m4a", ["Rock"])
    out = tmp_path / "lists"
    answer = genretag(
        "playlists", "--json", "--min-tracks", "2", out, library / "A", library / "B" / "three.m4a"
    )
    assert answer.code == 0
    assert json.loads(answer.out) == [{"genre": "Rock", "path": str(out / "Rock.m3u8"), "tracks": 2}]
    assert answer.err == f"3 files, 1 playlist in {out}\n"
    answer = genretag("playlists", out, library)
    assert answer.code == 1  # three files of the library cannot be read
    assert "Folk" in answer.out
    assert answer.err.endswith(f"6 files, 2 playlists in {out}\n")
    assert genretag("playlists", "-q", out, library / "A").err == ""


def test_a_library_without_genres_is_told_what_to_do(
    genretag: Command, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library / "A")
    answer = genretag("playlists", tmp_path / "lists")
    assert answer.code == 0
    assert "no file there has a genre; write some with: genretag tag" in answer.err
    assert not (tmp_path / "lists").exists()


def test_what_cannot_be_meant_is_refused(genretag: Command, tmp_path: Path) -> None:
    answer = genretag("playlists", "--min-tracks", "0", tmp_path, tmp_path)
    assert (answer.code, answer.err) == (2, "genretag: --min-tracks 0: give a whole number from 1 up\n")
