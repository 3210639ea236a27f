"""Small real music files of every format that genretag writes, in the states that libraries hold them in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mutagen

from benchmarks import dress, sounds
from genretag.tagging import tags

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures"

KINDS = (
    *("mp3-vbr", "flac", "oga", "ogg", "opus", "m4a-aac", "m4a-alac", "wma", "wv", "tta", "aiff", "wav"),
    "dsf",
)
"""What can be encoded here; "bare" as the encoder left it, "dressed" with tags, a genre and a picture."""

RECORDED = (".ape", ".mpc", ".spx")
"""What no encoder here makes."""

SIDE = 120
"""Pixels of a picture's side: enough for tags that span pages and sectors."""


def make(folder: Path, seconds: float = 1.0) -> dict[str, bytes]:
    """The specimens by file name; `folder` is used to make them in and is empty afterwards."""
    made = {}
    for path in _made(folder, seconds):
        made[path.name] = path.read_bytes()
        path.unlink()
    return made


def format_of(name: str) -> str:
    """The format of a specimen, told by its name."""
    return name.split()[0]


def _made(folder: Path, seconds: float) -> Iterator[Path]:
    samples = sounds.tune(7, seconds)
    song = dress.Song("An Artist", "A Title", "An Album", 3, 1999, ("Jazz", "Blues"), dress.cover(1, SIDE))
    for kind in KINDS:
        for state in ("bare", "dressed", "tight"):
            path = folder / f"{kind} {state}{sounds.suffix(kind)}"
            sounds.encode(samples, path, kind)
            if state != "bare":
                dress.dress(path, song)
            if state == "tight":
                _drop_padding(path)
            yield path
    for id3_kind in dress.ID3_KINDS:
        path = folder / f"mp3-cbr {id3_kind}.mp3"
        sounds.encode(samples, path, "mp3-cbr")
        dress.dress(path, song, id3_kind)
        yield path
    for suffix in RECORDED:
        content = (FIXTURES / f"two_seconds{suffix}").read_bytes()
        for state in ("bare", "dressed"):
            path = folder / f"{suffix[1:]} {state}{suffix}"
            path.write_bytes(content)
            if state == "dressed":
                tags.write(path, ("Jazz", "Blues"))
            yield path


def _drop_padding(path: Path) -> None:
    mutagen.File(path).save(padding=lambda _: 0) if path.suffix not in {".wv"} else None
