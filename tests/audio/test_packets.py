"""The packets of two MP4 files: equal after a right edit, different after a wrong one, alike in damage."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from mutagen.mp4 import MP4, MP4Cover

from genretag.audio.packets import same_audio, same_packets
from genretag.audio.payload import same_payload
from genretag.tagging import tags
from mp4_layouts import LAYOUTS, make_layout
from sounds import make_sound


def pair(tmp_path: Path, layout: str) -> tuple[Path, Path, bytearray]:
    """Two equal files, and their content."""
    one = make_layout(tmp_path / "one.m4a", layout)
    two = tmp_path / "two"
    two.write_bytes(one.read_bytes())
    return one, two, bytearray(one.read_bytes())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equal_files_have_equal_packets(tmp_path: Path, layout: str) -> None:
    one, two, _ = pair(tmp_path, layout)
    assert same_packets(one, two)
    assert same_audio(one, two)
    other = make_layout(tmp_path / "other.m4a", layout, 2.0)
    assert not same_packets(one, other)


@pytest.mark.parametrize(
    ("layout", "mark", "offset", "form", "change"),
    [
        ("moov first", b"stco", 12, ">I", 1),  # another place in the file
        ("moov first", b"stts", 12, ">I", -1),  # a time
        ("moov first", b"stsz", 12, ">I", -1),  # the size of the first packet
        ("moov first", b"\5\x80\x80\x80", 5, ">B", -8),  # the description of the codec
        ("absolute", b"tfhd", 12, ">Q", 1),
        ("absolute", b"tfdt", 8, ">Q", 1024),
    ],
)
def test_a_wrong_edit_is_noticed_though_every_byte_of_audio_stays(
    tmp_path: Path, layout: str, mark: bytes, offset: int, form: str, change: int
) -> None:
    one, two, content = pair(tmp_path, layout)
    at = content.rindex(mark) + offset
    struct.pack_into(form, content, at, struct.unpack_from(form, content, at)[0] + change)
    two.write_bytes(content)
    assert same_payload(one, two)
    assert not same_packets(one, two)
    assert not same_audio(one, two)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("layout", ["moov last", "moov first", "absolute"])
def test_damaged_files_are_compared_up_to_the_damage(tmp_path: Path, layout: str, keep: float) -> None:
    one, two, content = pair(tmp_path, layout)
    whole = tmp_path / "whole"
    whole.write_bytes(content)
    for path in (one, two):
        path.write_bytes(content[: round(len(content) * keep)])
    assert same_packets(one, two)
    assert not same_packets(one, whole)
    assert not same_packets(whole, one)


def test_garbage_is_like_itself(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        path.write_bytes(b"\0\0\0\x08ftyp" + bytes(range(256)) * 9)
    assert same_packets(one, two)
    assert not same_packets(one, make_sound(tmp_path / "song.m4a", 1.0))


def test_tables_that_repeat_the_same_audio_end(tmp_path: Path) -> None:
    """A million chunks that are all the same one."""
    one = make_sound(tmp_path / "one.m4a", 1.0)
    data = one.read_bytes()
    assert data.index(b"mdat") < data.index(b"moov")
    at = data.index(b"stbl") - 4
    end = at + struct.unpack_from(">I", data, at)[0]
    count = 1_000_000

    def box(name: bytes, *numbers: int, tail: bytes = b"") -> bytes:
        body = bytes(4) + struct.pack(f">{len(numbers)}I", *numbers) + tail
        return struct.pack(">I4s", 8 + len(body), name) + body

    described = data[data.index(b"stsd") - 4 : data.index(b"stts") - 4]
    tables = (
        box(b"stts", 1, count, 1024),
        box(b"stsc", 1, 1, 1, 1),
        box(b"stsz", 5000, count),
        box(b"stco", count, tail=struct.pack(">I", data.index(b"mdat") + 4) * count),
    )
    new = described + b"".join(tables)
    content = bytearray(data[:at] + struct.pack(">I4s", 8 + len(new), b"stbl") + new + data[end:])
    for name in (b"moov", b"trak", b"mdia", b"minf"):
        place = content.index(name, data.index(b"moov")) - 4
        size = struct.unpack_from(">I", content, place)[0] + 8 + len(new) - (end - at)
        struct.pack_into(">I", content, place, size)
    one.write_bytes(content)
    assert same_packets(one, one)


def test_paths_of_open_files_are_compared(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system has no /proc")
    one, two, content = pair(tmp_path, "absolute")
    with one.open("rb") as first, two.open("r+b") as second:
        paths = [Path(f"/proc/self/fd/{file.fileno()}") for file in (first, second)]
        assert same_audio(*paths)
        at = content.rindex(b"tfhd") + 12
        second.seek(at)
        second.write(struct.pack(">Q", 5))
        second.flush()
        os.fsync(second.fileno())
        assert not same_audio(*paths)


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg", ".wav"])
def test_other_formats_are_compared_by_their_bytes(tmp_path: Path, suffix: str) -> None:
    one, two = make_sound(tmp_path / f"one{suffix}", 1.0), make_sound(tmp_path / f"two{suffix}", 1.0, seed=1)
    assert same_audio(one, one)
    assert not same_audio(one, two)


@pytest.mark.parametrize(
    "code", ["import genretag.tagging.write", "import genretag.__main__ as m; m.run(['--help'])"]
)
def test_the_demuxer_is_imported_when_it_is_needed(code: str) -> None:
    script = f"{code}; import sys; print('av' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_a_cover_is_a_stream_that_a_genre_leaves_alone(tmp_path: Path) -> None:
    one, two, _ = pair(tmp_path, "moov first")
    for path in (one, two):
        file = MP4(path)
        file["covr"] = [MP4Cover(bytes(range(256)) * 99, MP4Cover.FORMAT_PNG)]
        file.save()
    tags.write(two, ["genre"] * 3 + ["other"], provenance="model")
    assert two.read_bytes() != one.read_bytes()
    assert same_audio(one, two)
    file = MP4(two)
    file["covr"] = [MP4Cover(bytes(range(256)) * 98 + bytes(256), MP4Cover.FORMAT_PNG)]
    file.save()
    assert not same_audio(one, two)
