"""APE tags: items keep their bytes and order, and what stands behind the tag stays there."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3

from genretag.audio.payload import payload_digest
from genretag.errors import TagError
from genretag.tagging import tags
from sounds import any_sound, make_sound


def item(key: str, value: bytes, flags: int = 0) -> bytes:
    return struct.pack("<2I", len(value), flags) + key.encode() + b"\0" + value


def ape(items: Sequence[bytes], tail: bytes = b"", *, version: int = 2000, header: bool = True) -> bytes:
    body = b"".join(items) + tail
    ends = (version, len(body) + 32, len(items))
    flags = 1 << 31 if header else 0
    head = struct.pack("<8s4I8x", b"APETAGEX", *ends, flags | 1 << 29) if header else b""
    return head + body + struct.pack("<8s4I8x", b"APETAGEX", *ends, flags)


V1 = b"TAG" + b"Title".ljust(30, b"\0") + bytes(94) + b"\x11"
LYRICS = b"LYRICSBEGIN" + b"IND00002" + b"10" + b"000021LYRICS200"
OTHERS = [
    item("Title", b"Long title that sorts last"),
    item("Cover Art (Front)", b"a.jpg\0" + bytes(range(256)), 2),
    item("Artist", "One\0Ümlaut".encode(), 1),
    item("Old", b"\xff not UTF-8"),
]


@pytest.fixture
def audio(tmp_path: Path) -> bytes:
    content = any_sound(tmp_path / "bare.ape").read_bytes()
    assert b"APETAGEX" not in content
    return content


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return tmp_path / "song.ape"


@pytest.mark.parametrize("behind", [b"", V1, LYRICS + V1])
@pytest.mark.parametrize("header", [True, False])
def test_items_and_what_follows_the_tag_stay(song: Path, audio: bytes, behind: bytes, header: bool) -> None:
    old = item("GENRE", b"Rock\0Pop")
    before = audio + ape([*OTHERS[:2], old, *OTHERS[2:]], header=header) + behind
    song.write_bytes(before)
    state = tags.read(song)
    assert state.genres == ("Rock", "Pop")
    tags.write(song, ["Żółć", "Jazz"], provenance="model")
    new = [item("Genre", "Żółć\0Jazz".encode()), item("GENRETAG", b"model")]
    end = behind[:-1] + b"\x08" if behind else b""
    assert song.read_bytes() == audio + ape([*OTHERS[:2], *new, *OTHERS[2:]], header=header) + end
    tags.restore(song, state.raw)
    assert song.read_bytes() == before


def test_a_new_tag_takes_over_the_fields_of_id3v1(song: Path, audio: bytes) -> None:
    song.write_bytes(audio + LYRICS + V1)
    state = tags.read(song)
    assert state.genres == ("Rock",)
    tags.write(song, ["Jazz"])
    expected = ape([item("Title", b"Title"), item("Genre", b"Jazz")])
    assert song.read_bytes() == audio + expected + LYRICS + V1[:-1] + b"\x08"
    assert dict(APEv2(song)) == {"Title": "Title", "Genre": "Jazz"}
    tags.restore(song, state.raw)
    assert song.read_bytes() == audio + LYRICS + V1


def test_items_that_make_no_sense_are_kept(song: Path, audio: bytes) -> None:
    junk = struct.pack("<2I", 10_000, 0) + b"Broken\0..."
    song.write_bytes(audio + ape(OTHERS[:1], junk))
    state = tags.read(song)
    tags.write(song, ["Rock"])
    assert song.read_bytes() == audio + ape([*OTHERS[:1], item("Genre", b"Rock")], junk)
    tags.restore(song, state.raw)
    assert song.read_bytes() == audio + ape(OTHERS[:1], junk)


def test_a_binary_genre_is_no_genre(song: Path, audio: bytes) -> None:
    song.write_bytes(audio + ape([item("Genre", b"\1\2", 2)]))
    assert tags.read(song).genres == ()


def test_an_impossible_size_is_said_so(song: Path, audio: bytes) -> None:
    song.write_bytes(
        audio + ape(OTHERS).replace(struct.pack("<I", len(ape(OTHERS)) - 32), b"\xff\xff\xff\x7f")
    )
    with pytest.raises(TagError, match="impossible size"):
        tags.read(song)


@pytest.fixture
def mp3(tmp_path: Path) -> Path:
    path = make_sound(tmp_path / "song.mp3", 1.0)
    ID3().delete(path)
    return path


def test_beside_id3_a_genre_is_brought_along_and_nothing_else(mp3: Path) -> None:
    audio = mp3.read_bytes()
    mp3.write_bytes(audio + ape([*OTHERS, item("Genre", b"Rock")]))
    ID3().save(mp3)
    state, before = tags.read(mp3), mp3.read_bytes()
    assert state.genres == ("Rock",)
    tags.write(mp3, ["Jazz", "Pop"], provenance="model")
    assert ID3(mp3)["TCON"].text == ["Jazz", "Pop"]
    assert mp3.read_bytes().endswith(audio + ape([*OTHERS, item("Genre", b"Jazz\0Pop")]))
    tags.restore(mp3, state.raw)
    assert mp3.read_bytes() == before


def test_beside_id3_a_tag_without_a_genre_is_left_alone(mp3: Path) -> None:
    replaygain = ape([item("REPLAYGAIN_TRACK_GAIN", b"-3 dB")])
    mp3.write_bytes(mp3.read_bytes() + replaygain)
    ID3().save(mp3)
    tags.write(mp3, ["Jazz"])
    assert ID3(mp3)["TCON"].text == ["Jazz"]
    assert mp3.read_bytes().endswith(replaygain)


def test_an_mp3_with_an_ape_tag_only_keeps_to_it(mp3: Path) -> None:
    audio = mp3.read_bytes()
    mp3.write_bytes(audio + ape(OTHERS[:1]))
    tags.write(mp3, ["Jazz"])
    assert mp3.read_bytes() == audio + ape([OTHERS[0], item("Genre", b"Jazz")])
    assert tags.read(mp3).genres == ("Jazz",)


@pytest.mark.parametrize("suffix", [".ape", ".wv", ".tta", ".mp3"])
def test_tag_in_a_genre_is_no_id3v1_wherever_it_stands(tmp_path: Path, suffix: str) -> None:
    """Nor is the one in the mark of a header: whatever the length of the tag, the sound is the same."""
    path = any_sound(tmp_path / f"song{suffix}")
    ID3().delete(path)
    APEv2().delete(path)
    bare = path.read_bytes()
    sound = payload_digest(path)
    for length in range(1, 140):
        path.write_bytes(bare + ape([item("Artist", b"Somebody"), item("Genre", b"Old")]))
        state, before = tags.read(path), path.read_bytes()
        genres = ("TAG" + "x" * length, "y" * (length % 7) + "TAG")
        tags.write(path, genres)
        assert tags.read(path).genres == genres
        assert payload_digest(path) == sound
        tags.restore(path, state.raw)
        assert path.read_bytes() == before
