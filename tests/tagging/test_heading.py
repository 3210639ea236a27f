"""What files say of themselves: every format, and nothing from what is no music."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from mutagen import File

from albums import set_album
from genretag.tagging.heading import Heading, read_heading
from sounds import FORMATS, make_sound


@pytest.mark.parametrize("suffix", sorted(set(FORMATS) - {".aac", ".au"}))
def test_headings_of_every_format(tmp_path: Path, suffix: str) -> None:
    path = make_sound(tmp_path / f"a{suffix}", 2)
    bare = read_heading(path)
    assert bare == Heading(seconds=pytest.approx(2, abs=0.2))
    set_album(path, "Kind of Blue", "Miles Davis", "Miles Davis Sextet")
    set_title(path, "So  What")
    said = read_heading(path)
    assert said == Heading("Miles Davis Sextet", "So What", bare.seconds, "Kind of Blue", "Miles Davis")


def set_title(path: Path, title: str) -> None:
    file = File(path)
    if "ID3" in type(file.tags).__name__:
        from mutagen.id3 import TIT2

        file.tags.add(TIT2(3, [title]))
    else:
        name = {"MP4Tags": "\xa9nam", "ASFTags": "Title"}.get(type(file.tags).__name__, "TITLE")
        file.tags[name] = [title]
    file.save()


def test_no_heading_in_what_is_no_music(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"ID3" + bytes(range(256)))
    (tmp_path / "a.txt").write_text("no music")
    for name in ("a.mp3", "a.txt", "none.mp3"):
        assert read_heading(tmp_path / name) == Heading()


def test_a_frame_that_unfolds_to_more_than_fits_is_not_unfolded(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.mp3", 1)
    set_album(path, "Kind of Blue")
    body = zlib.compress(bytes(100 << 20), 9)
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\x00\x80" + (100 << 20).to_bytes(4, "big") + body
    size = len(frame)
    digits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\x00\x00" + digits + frame + path.read_bytes())
    assert read_heading(path) == Heading()
