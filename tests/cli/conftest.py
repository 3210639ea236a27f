"""The command line in this process, and a small library of real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from command import Answer, Command
from genretag.__main__ import run
from sounds import make_sound


@pytest.fixture
def genretag(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command line; arguments are turned into text."""

    def command(*arguments: object) -> Answer:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return command


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Three good files in two folders and three that cannot be tagged."""
    folder = tmp_path / "music"
    for name in ("A", "B"):
        (folder / name).mkdir(parents=True)
    make_sound(folder / "A" / "one's song.mp3", seed=1)
    make_sound(folder / "A" / "zwei ü.flac", seed=2)
    make_sound(folder / "B" / "three.m4a", seed=3)
    make_sound(folder / "B" / "x raw.aac", seed=4)
    (folder / "B" / "y empty.mp3").touch()
    (folder / "B" / "z text.mp3").write_text("this is no music, it is a text that calls itself a song\n" * 40)
    return folder
