"""The things in real music folders that break programs, each with the outcomes that are right for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import dress, sounds

Trap = tuple[Path, str, str]
"""Relative path, kind, allowed outcomes parted by "|"."""

_SONG = dress.Song("Nobody", "Trap", "Traps", 1, 1999)


def add(out: Path, source: Path, odd: Sequence[Path], longest: float) -> Iterator[Trap]:
    """Put every trap under the library `out`; `odd`: files that PyAV cannot open and soundfile can."""
    (out / "Traps").mkdir()
    samples = sounds.excerpt(source, 0, longest)
    yield from _bad_music(out, samples)
    yield from _good_music(out, samples, odd)
    yield from _no_music(out)
    yield from _special_files(out)


def _sound(out: Path, name: str, kind: str, samples: sounds.Samples) -> Path:
    place = Path("Traps", name + sounds.suffix(kind))
    sounds.encode(samples, out / place, kind)
    if kind not in {"au", "aac"}:
        dress.dress(out / place, _SONG)
    return place


def _bad_music(out: Path, samples: sounds.Samples) -> Iterator[Trap]:
    place = _sound(out, "read only", "mp3-cbr", samples[len(samples) // 4 :])
    os.chmod(out / place, 0o444)
    yield place, "read-only", "fail:read-only"

    place = Path("Traps/empty.mp3")
    (out / place).touch()
    yield place, "empty", "fail:empty"

    place = Path("Traps/a letter.mp3")
    (out / place).write_text("Dear listener,\nthis is no music at all.\n" * 200, encoding="utf-8")
    yield place, "text", "fail:not-audio"

    yield _sound(out, "0.3 seconds", "wav", samples[: round(0.3 * sounds.RATE)]), "0.3 s", "fail:too-short"
    silence = np.zeros((30 * sounds.RATE, 2), np.int16)
    yield _sound(out, "silence", "flac", silence), "silence", "fail:silent"
    yield _sound(out, "sun", "au", samples[: len(samples) // 4]), "au", "fail:not-taggable"
    yield _sound(out, "raw", "aac", samples[: len(samples) // 4]), "raw aac", "fail:not-taggable"

    # What macOS leaves beside every file on foreign disks: a hidden stub with the music's name (AppleDouble).
    place = Path("Traps/._01 Stub.mp3")
    (out / place).write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(4072))
    yield place, "AppleDouble", "ignore|fail:*"


def _good_music(out: Path, samples: sounds.Samples, odd: Sequence[Path]) -> Iterator[Trap]:
    place = _sound(out, "cut off", "mp3-cbr", samples)
    os.truncate(out / place, (out / place).stat().st_size // 4)
    yield place, "truncated", "tag"

    for name in ("twin a", "twin b"):
        yield _sound(out, name, "m4a-aac", samples[len(samples) // 2 :]), "twins", "tag"

    for n, path in enumerate(odd[:2]):
        place = Path("Traps", f"{n} {path.name}")
        shutil.copyfile(path, out / place)
        yield place, "odd ogg", "tag"


def _no_music(out: Path) -> Iterator[Trap]:
    for name, content in (
        ("cover.jpg", dress.cover(0)),
        ("album.cue", b'FILE "album.wav" WAVE\r\n  TRACK 01 AUDIO\r\n    INDEX 01 00:00:00\r\n'),
        ("notes.txt", b"nothing to hear\n"),
        ("list.m3u", b"cut off.mp3\n"),
    ):
        (out / "Traps" / name).write_bytes(content)
        yield Path("Traps", name), "no music", "ignore"


def _special_files(out: Path) -> Iterator[Trap]:
    for name, target in (("loop", ".."), ("gone.mp3", "nowhere/gone.mp3"), ("alias.mp3", "cut off.mp3")):
        (out / "Traps" / name).symlink_to(target)
        yield Path("Traps", name), "link", "ignore|fail:*"
    os.mkfifo(out / "Traps/pipe.mp3")
    yield Path("Traps/pipe.mp3"), "pipe", "ignore|fail:*"
