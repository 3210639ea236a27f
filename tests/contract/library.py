"""A small library of real files, and what the commands answer to it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mutagen
from mutagen.id3 import TCON

from tests.contract.program import Answer, Program
from tests.legacy_files import LEGACY

# A checkpoint of 29 kB with the labels Classical, Metal and Techno.
MODEL = ("--model", "models/mlp.safetensors")
DECIDE = (*MODEL, "--threshold", 0, "--top", 1, "--workers", 1)
# Removed and changed by another program before run 1 is undone.
GONE = "Music/Album/00.mp3"
CHANGED = "Music/Formats/song.flac"
# Files of Music/Bad by the code of the error that tag reports for them.
BAD = {
    "empty": "empty.mp3",
    "not-audio": "text.mp3",
    "decode-failed": "no sound.m4a",
    "silent": "silent.flac",
    "too-short": "short.flac",
    "not-taggable": "song.au",
    "bad-tags": "vendor.flac",
    "too-large": "huge genre.mp3",
    "incomplete": "half.wav",
    "not-a-file": "pipe.mp3",
}


@dataclass
class Library:
    """A program with a folder Music, and the answers of the commands that were run in turn."""

    program: Program
    answers: dict[str, Answer] = field(default_factory=dict)

    def run(self, name: str, *arguments: object) -> None:
        """Run a command, whatever its exit code, and keep its answer under a name."""
        self.answers[name] = self.program(*arguments, code=None)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query of the store."""
        with closing(sqlite3.connect(self.program.database)) as connection:
            return connection.execute(sql).fetchall()


def make_library(program: Program) -> Library:
    """Make the files, then run the commands of a user: look, plan, apply, tag, undo."""
    program.legacy("models", "clips")
    _make_formats(program)
    _make_bad(program)
    for number in (0, 1):
        song = (program.folder / f"clips/Techno/{number}.mp3").read_bytes()
        set_field(program.file(f"Music/Album/0{number}.mp3", song), "album", "Machines")
    library = Library(program)
    run, tag = library.run, ("tag", "--json", "--existing", "replace", *DECIDE)
    run("tag -n", *tag, "-n", "--by", "album", "Music")
    run("tag -n again", *tag, "-n", "Music")
    run("tag -n unsure", *tag, "-n", "--min-confidence", 1, "Music/Formats/song.wma")
    run("tag --plan", "tag", "--plan", "plan.jsonl", *DECIDE, "Music/Album", "Music/Formats")
    run("apply", "apply", "--json", "--provenance", "plan.jsonl")
    run("tag", *tag, "Music")
    run("history", "history", "--json")
    run("undo 2", "undo", "--json")
    (program.folder / GONE).unlink()
    set_field(program.folder / CHANGED, "genre", "By Hand")
    run("undo 1", "undo", "--json", 1)
    return library


def set_field(path: Path, name: str, value: str) -> None:
    """Write "genre" or "album" into a FLAC, Ogg or MP3 file as another program does."""
    file = mutagen.File(path, easy=True)
    file[name] = [value]
    file.save()


def genres(path: Path) -> list[str]:
    """Read the genres of a FLAC, Ogg or MP3 file as another program does."""
    return list((mutagen.File(path, easy=True).tags or {}).get("genre", []))


def _make_formats(program: Program) -> None:
    """Make a file for each kind of tag that the journal keeps."""
    folder = program.folder / "Music" / "Formats"
    shutil.copytree(LEGACY / "originals" / "Formats", folder)
    program.sound("Music/Formats/song.wma")
    program.sound("Music/Formats/song.wv")
    # An ID3v1 tag without text, of genre 17.
    song = (folder / "untagged.mp3").read_bytes()
    program.file("Music/Formats/id3v1.mp3", song + b"TAG" + bytes(124) + b"\x11")


def _make_bad(program: Program) -> None:
    for code in ("empty", "not-audio"):
        program.file(f"Music/Bad/{BAD[code]}", "no music\n" * 400 if code == "not-audio" else "")
    program.sound(f"Music/Bad/{BAD['silent']}", level=0)
    program.sound(f"Music/Bad/{BAD['too-short']}", 0.02)
    program.sound(f"Music/Bad/{BAD['not-taggable']}")
    song = program.sound(f"Music/Bad/{BAD['incomplete']}")
    os.truncate(song, song.stat().st_size // 2)
    # The position of the sound is far behind the end of the file.
    song = program.sound(f"Music/Bad/{BAD['decode-failed']}")
    content = bytearray(song.read_bytes())
    position = content.index(b"stco") + 12
    content[position : position + 4] = b"\xff\xff\xff\x00"
    song.write_bytes(content)
    # The stated length of the vendor's name exceeds the block.
    song = program.sound(f"Music/Bad/{BAD['bad-tags']}")
    content = bytearray(song.read_bytes())
    position = content.index(b"Lavf")
    content[position - 4 : position] = b"\xff\xff\xff\x0f"
    song.write_bytes(content)
    song = program.sound(f"Music/Bad/{BAD['too-large']}", seed=1)
    file = mutagen.File(song)
    file.tags.add(TCON(encoding=3, text=["x" * (1 << 21)]))
    file.save()
    os.mkfifo(program.folder / "Music" / "Bad" / BAD["not-a-file"])
