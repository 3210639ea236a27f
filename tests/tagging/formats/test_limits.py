"""What the tags of one file may cost, tried with files that would cost far more."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from genretag.errors import TagError
from genretag.tagging import tags
from genretag.tagging.formats.limits import (
    MOST_BYTES,
    MOST_FIELDS,
    MOST_READS,
    MOST_UNFOLDED,
    TagReader,
    require_few,
    require_small,
)
from hostile_files import atom, bomb, frame, id3, sound, sparse

APE_END = struct.pack("<8s4I8x", b"APETAGEX", 2000, 10 * 210_000 + 32, 210_000, 0)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(TagError) as caught:
        call()
    assert caught.value.code == "too-large"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_reader_reads_as_any_file_does(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(range(200)))
    with TagReader(io.FileIO(path), path) as limited, path.open("rb") as plain:
        for start, size in ((0, 10), (5, -1), (190, 100), (300, 5), (0, 0), (50, None)):
            limited.seek(start)
            plain.seek(start)
            assert limited.read(size) == plain.read(size)
            assert limited.tell() == plain.tell()


def test_bytes_are_counted_before_they_are_read(tmp_path: Path) -> None:
    sparse(1 << 40)(tmp_path / "a")  # more than any memory holds
    with TagReader(io.FileIO(tmp_path / "a"), tmp_path / "a") as file:
        assert len(file.read(1000)) == 1000
        refused(lambda: file.read(MOST_BYTES))
        refused(file.read)


def test_reads_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with TagReader(io.FileIO(tmp_path / "a"), tmp_path / "a") as file:
        for _ in range(MOST_READS):
            file.read(0)
        refused(lambda: file.read(0))


def test_fields_are_counted() -> None:
    require_few(MOST_FIELDS)
    refused(lambda: require_few(MOST_FIELDS + 1))


@pytest.mark.parametrize("before", [b"", b"gsize"])
@pytest.mark.parametrize("split", [False, True])
def test_what_compressed_frames_hold_is_measured_wherever_it_begins(before: bytes, split: bool) -> None:
    def written(data: bytes) -> bytes:
        return before + (data.replace(b"\xff", b"\xff\x00") if split else data)

    half = written(zlib.compress(bytes(MOST_UNFOLDED // 2)))
    require_small([half])
    require_small([written(zlib.compress(b"Rock")), b"no compressed data", b""])
    refused(lambda: require_small([half, half]))
    refused(lambda: require_small([written(bomb(1 << 30))]))


def test_a_picture_that_unfolds_to_gigabytes_stops_a_conversion_but_no_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    body = b"size" + bomb(2 << 30, b"\0image/png\0\3\0")
    path.write_bytes(id3(frame("APIC", body, 0x09)) + sound(".mp3"))
    assert tags.read(path).genres == ()
    before = path.read_bytes()
    refused(lambda: tags.write(path, ["Rock"], id3="2.3"))
    assert path.read_bytes() == before
    tags.write(path, ["Rock"])
    assert tags.read(path).genres == ("Rock",)


def test_an_honest_compressed_frame_is_read_and_converted(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    data = zlib.compress(b"\0Trip-Hop")
    genre = frame("TCON", b"\0\0\0\x09" + data, 0x09)
    path.write_bytes(id3(genre, frame("TIT2", b"\0Title")) + sound(".mp3"))
    assert tags.read(path).genres == ("Trip-Hop",)
    tags.write(path, ["Rock"], id3="2.3")
    assert tags.read(path).genres == ("Rock",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("frames.mp3", id3(frame("TIT2", b"") * 210_000)),
        ("22 frames.mp3", id3(b"TT2\0\0\0" * 210_000, version=2)),
        ("atoms.m4a", atom(b"ftyp", b"M4A \0\0\0\0") + atom(b"moov", atom(b"free") * 210_000)),
        ("comments.flac", b"fLaC\x84\xc8\0\0" + bytes(4) + b"\0\0\x32\0" + bytes(0xC7FFF8)),
        ("blocks.flac", b"fLaC" + b"\1\0\0\0" * 210_000),
        ("items.ape", b"MAC " + bytes(10) * 210_000 + APE_END),
    ],
)
def test_too_many_pieces_of_any_kind_end_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content + (sound(".mp3") if name.endswith("mp3") else b""))
    refused(lambda: tags.read(path))


def test_a_genre_is_no_book(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    for size in (1000, tags.MOST_GENRE):
        path.write_bytes(id3(frame("TCON", b"\0" + b"R" * size)) + sound(".mp3"))
        if size < tags.MOST_GENRE:
            assert tags.read(path).genres == ("R" * size,)
        else:
            refused(lambda: tags.read(path))
