"""Vorbis comments: entries keep their bytes, order and spelling; padding is used before a file grows."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import mutagen
import pytest
from mutagen.flac import FLAC, Picture
from mutagen.id3 import ID3, TCON, TIT2
from mutagen.ogg import OggPage

from genretag.errors import TagError
from genretag.tagging import tags
from genretag.tagging.formats.comments import FlacComments, OggComments
from sounds import any_sound, make_sound

OGG = (".ogg", ".opus", ".oga", ".spx")
OTHERS = [
    b"TITLE=Title",
    b"not UTF-8=\xff\xfe",
    b"no equals sign",
    "ключ=value".encode(),
    b"=",
    b"Title=again",
]


def comments(entries: Sequence[bytes], vendor: bytes = b"a vendor") -> bytes:
    counted = (struct.pack("<I", len(text)) + text for text in entries)
    return struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", len(entries)) + b"".join(counted)


def block(kind: int, data: bytes, last: bool = False) -> bytes:
    return bytes((kind | 0x80 * last,)) + len(data).to_bytes(3, "big") + data


@pytest.fixture
def parts(tmp_path: Path) -> tuple[bytes, bytes]:
    """The stream info and the audio frames of a FLAC file."""
    path = make_sound(tmp_path / "bare.flac", 0.5)
    content = path.read_bytes()
    with path.open("rb") as file:
        length = FlacComments(file)._length
    return content[4:42], content[4 + length :]


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return tmp_path / "song.flac"


def test_entries_of_a_flac_stay_byte_by_byte(song: Path, parts: tuple[bytes, bytes]) -> None:
    info, audio = parts
    picture, application = block(6, Picture().write()), block(2, b"test" + bytes(20))
    old = [*OTHERS[:2], b"Genre=Rock", OTHERS[2], b"genre=Pop", *OTHERS[3:]]

    def file(entries: Sequence[bytes], padding: int) -> bytes:
        head = b"fLaC" + info + application + block(4, comments(entries))
        return head + picture + block(1, bytes(padding), last=True) + audio

    before = file(old, 200)
    song.write_bytes(before)
    state = tags.read(song)
    assert state.genres == ("Rock", "Pop")
    tags.write(song, ["Jazz", "Żółć", "AC/DC"])
    new = [*OTHERS[:2], b"Genre=Jazz", "Genre=Żółć".encode(), b"Genre=AC/DC", *OTHERS[2:]]
    assert song.read_bytes() == file(new, 200 + len(comments(old)) - len(comments(new)))
    assert FLAC(song)["genre"] == ["Jazz", "Żółć", "AC/DC"]
    tags.restore(song, state.raw)
    assert song.read_bytes() == before


def test_a_flac_without_comments_gets_them_and_loses_them(song: Path, parts: tuple[bytes, bytes]) -> None:
    info, audio = parts
    before = b"fLaC" + b"\x80" + info[1:] + audio
    song.write_bytes(before)
    state = tags.read(song)
    assert state.genres == ()
    tags.write(song, ["Rock"])
    assert FLAC(song)["genre"] == ["Rock"]
    tags.restore(song, state.raw)
    assert song.read_bytes() == before


@pytest.mark.parametrize("spare", range(8))
def test_padding_of_any_size_is_used_up(song: Path, parts: tuple[bytes, bytes], spare: int) -> None:
    info, audio = parts
    growth = len(comments([b"GENRE=Rock"])) - len(comments([]))
    padding = block(1, bytes(max(0, growth + spare - 4)), last=True)
    before = b"fLaC" + info + block(4, comments([])) + padding + audio
    song.write_bytes(before)
    state = tags.read(song)
    tags.write(song, ["Rock"])
    assert FLAC(song)["genre"] == ["Rock"]
    assert song.read_bytes().endswith(audio)
    assert 0 <= len(before) - len(song.read_bytes()) < 4
    tags.restore(song, state.raw)
    assert song.read_bytes() == before


def test_a_leading_id3_tag_only_follows_where_it_names_a_genre(song: Path) -> None:
    make_sound(song, 0.5)
    flac = song.read_bytes()
    for frame, expected in (
        (TIT2(encoding=0, text="Title"), None),
        (TCON(encoding=0, text="Old"), ["Rock", "Pop"]),
    ):
        song.write_bytes(flac)
        found = ID3()
        found.add(frame)
        found.save(song)
        before, state = song.read_bytes(), tags.read(song)
        assert state.genres == (("Old",) if expected else ())
        tags.write(song, ["Rock", "Pop"])
        assert FLAC(song)["genre"] == ["Rock", "Pop"]
        assert tags.read(song).genres == ("Rock", "Pop")
        if expected:
            assert ID3(song)["TCON"].text == expected
        else:
            assert song.read_bytes().startswith(before[: found.size])
        tags.restore(song, state.raw)
        assert song.read_bytes() == before


def test_metadata_that_is_cut_off_is_said_so(song: Path, parts: tuple[bytes, bytes]) -> None:
    info, audio = parts
    for content in (info[:20], info, info + block(4, comments(OTHERS)[:-3], last=True) + audio):
        song.write_bytes(b"fLaC" + content)
        with pytest.raises(TagError, match="cut off") as caught:
            tags.read(song)
        assert caught.value.code == "bad-tags"


def test_a_genre_that_no_block_can_hold_changes_nothing(song: Path) -> None:
    content = make_sound(song, 0.5).read_bytes()
    with pytest.raises(TagError, match="too large"):
        tags.write(song, ["x" * (1 << 24)])
    assert song.read_bytes() == content


def put_entries(path: Path, entries: Sequence[bytes], behind: bytes = b"") -> None:
    """Give an Ogg file these entries, raw, with `behind` after them."""
    with path.open("r+b") as file:
        carrier = OggComments(file)
        body = comments(entries)
        if path.suffix == ".oga":
            packet = b"\x04" + len(body).to_bytes(3, "big") + body
        else:
            packet = carrier._prefix + body + (b"\1" if path.suffix == ".ogg" else b"") + behind
        packets = OggPage.to_packets(carrier._pages, strict=False)
        pages = OggPage.from_packets([packet, *packets[1:]], carrier._pages[0].sequence)
        OggPage.replace(file, carrier._pages, pages)


@pytest.mark.parametrize("suffix", OGG)
def test_entries_of_an_ogg_stay_byte_by_byte(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    # Over several pages, as with an embedded picture.
    old = [
        *OTHERS[:2],
        b"Genre=Rock",
        OTHERS[2],
        b"genre=Pop",
        *OTHERS[3:],
        b"METADATA_BLOCK_PICTURE=" + b"A" * 70_000,
    ]
    put_entries(path, old)
    before, state = path.read_bytes(), tags.read(path)
    assert state.genres == ("Rock", "Pop")
    for genres in (["Jazz", "Żółć"], ["x" * 100_000], ["y"]):
        tags.write(path, genres)
        assert mutagen.File(path)["genre"] == genres
        with path.open("rb") as file:
            entries = OggComments(file)._comments.entries
        new = [b"Genre=" + genre.encode() for genre in genres]
        assert list(entries) == [*OTHERS[:2], *new, *OTHERS[2:], old[-1]]
    tags.restore(path, state.raw)
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".spx"])
def test_padding_in_an_ogg_is_used_in_place(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    put_entries(path, OTHERS, behind=bytes(1000))
    before, state = path.read_bytes(), tags.read(path)
    tags.write(path, ["Rock", "Pop"])
    written = path.read_bytes()
    assert len(written) == len(before)
    assert written[6000:] == before[6000:]
    assert mutagen.File(path)["genre"] == ["Rock", "Pop"]
    tags.restore(path, state.raw)
    assert path.read_bytes() == before


def test_data_behind_opus_comments_is_kept(tmp_path: Path) -> None:
    path = any_sound(tmp_path / "song.opus")
    put_entries(path, OTHERS, behind=b"\1secret\0\0\0")
    before, state = path.read_bytes(), tags.read(path)
    tags.write(path, ["Rock"])
    with path.open("rb") as file:
        assert OggComments(file)._comments.rest == b"\1secret\0\0\0"
    tags.restore(path, state.raw)
    assert path.read_bytes() == before


def test_an_ogg_with_unknown_streams_has_no_place_for_a_genre(tmp_path: Path) -> None:
    path = tmp_path / "song.ogg"
    first, second = OggPage(), OggPage()
    first.first, first.packets = True, [b"fishead\0"]
    second.sequence, second.packets = 1, [b"more"]
    path.write_bytes(first.write() + second.write())
    state = tags.read(path)
    assert (state.format, state.taggable) == ("ogg-other", False)


def test_an_ogg_without_comments_is_said_so(tmp_path: Path) -> None:
    path = any_sound(tmp_path / "song.ogg")
    path.write_bytes(path.read_bytes().replace(b"\x03vorbis", b"\x03wrong!"))
    with pytest.raises(TagError) as caught:
        tags.read(path)
    assert caught.value.code == "bad-tags"
