from __future__ import annotations

import os
import struct
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.apev2 import APEv2

from foreign_tags import TAGGABLE, picture, strip, tag
from genretag.audio.payload import identify, open_regular, payload_digest, same_payload
from genretag.errors import DecodeError
from sounds import FORMATS, RECORDED, any_sound, make_sound

ALL = (*FORMATS, *RECORDED)


def name(path: Path) -> tuple[str, bytes]:
    return identify(path), payload_digest(path)


@pytest.mark.parametrize("suffix", TAGGABLE)
def test_names_survive_every_kind_of_tag_write(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    plain = tmp_path / "plain"
    plain.write_bytes(path.read_bytes())
    before = name(path)
    for genres, cover in ((["Jazz"], b""), (["Jazz", "Rock"], picture(100_000)), (["Pop"], picture(1 << 20))):
        earlier = path.read_bytes()
        tag(path, genres, "A title" * len(genres), cover)
        assert path.read_bytes() != earlier
        assert name(path) == before
        assert same_payload(plain, path)
    strip(path)
    assert name(path) == before


@pytest.mark.parametrize("suffix", ALL)
def test_names_survive_a_move_and_a_change_of_suffix(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    before = name(path)
    (tmp_path / "folder").mkdir()
    assert name(path.rename(tmp_path / "folder" / "other")) == before


@pytest.mark.parametrize("suffix", FORMATS)
def test_other_music_has_another_name(tmp_path: Path, suffix: str) -> None:
    one = make_sound(tmp_path / f"one{suffix}", 2.0, seed=1)
    two = make_sound(tmp_path / f"two{suffix}", 2.0, seed=2)
    assert identify(one) != identify(two)
    assert payload_digest(one) != payload_digest(two)
    assert not same_payload(one, two)


@pytest.mark.parametrize("suffix", ALL)
def test_one_changed_byte_of_the_sound_is_noticed(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    before = payload_digest(path)
    plain = tmp_path / "plain"
    content = bytearray(path.read_bytes())
    plain.write_bytes(content)
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert payload_digest(path) != before
    assert not same_payload(plain, path)


def id3v2(text: str) -> bytes:
    frames = b"TIT2" + struct.pack(">IH", len(text) + 1, 0) + b"\x03" + text.encode()
    return b"ID3\x04\x00\x00" + synchsafe(len(frames)) + frames


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3v2_footer(text: str) -> bytes:
    tagged = id3v2(text)
    header = tagged[:5] + b"\x10" + tagged[6:10]
    return header + tagged[10:] + b"3DI" + header[3:]


def apev2(tmp_path: Path, header: bool = True) -> bytes:
    scratch = tmp_path / "ape"
    scratch.write_bytes(b"")
    tags = APEv2()
    tags["Genre"] = ["Rock", "Pop"]
    tags.save(scratch)
    return scratch.read_bytes()[0 if header else 32 :]


def lyrics3() -> bytes:
    body = b"LYRICSBEGININD0000200LYR00010[00:01]La la"
    return body + f"{len(body):06d}".encode() + b"LYRICS200"


ID3V1 = b"TAG" + b"A title".ljust(124, b"\0") + b"\x11"


def test_tags_around_a_stream_in_any_number_are_no_part_of_it(tmp_path: Path) -> None:
    plain = make_sound(tmp_path / "plain.mp3", 2.0)
    strip(plain)
    sound, before = plain.read_bytes(), name(plain)
    path = tmp_path / "song.mp3"
    heads = (id3v2("one"), id3v2("one") + id3v2("two"), id3v2_footer("three"), apev2(tmp_path))
    extended = b"TAG+" + bytes(223)
    tails = (
        *(ID3V1, ID3V1[:125], apev2(tmp_path), lyrics3(), id3v2_footer("end")),
        *(extended + ID3V1, apev2(tmp_path) + lyrics3() + ID3V1, ID3V1 + ID3V1),
        b"LYRICSBEGINla la laLYRICSEND" + ID3V1,
    )
    for head in (b"", *heads):
        for tail in (b"", *tails):
            path.write_bytes(head + sound + tail)
            assert name(path) == before, (head[:8], tail[:8])


def test_apev2_of_a_length_that_cannot_be_is_sound(tmp_path: Path) -> None:
    footer = b"APETAGEX" + struct.pack("<4I", 2000, 1 << 30, 1, 0) + bytes(8)
    plain = make_sound(tmp_path / "plain.mp3", 1.0)
    before = payload_digest(plain)
    with plain.open("ab") as file:
        file.write(footer)
    assert payload_digest(plain) != before


def test_flac_between_id3_tags_is_known_by_its_stream(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.flac", 1.0)
    before = name(path)
    path.write_bytes(id3v2("one") + path.read_bytes() + ID3V1)
    assert name(path) == before


def last_page_number(path: Path) -> int:
    content = path.read_bytes()
    return int.from_bytes(content[(at := content.rindex(b"OggS\0")) + 18 : at + 22], "little")


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".oga"])
def test_ogg_pages_may_be_renumbered(tmp_path: Path, suffix: str) -> None:
    path = make_sound(tmp_path / f"song{suffix}", 20.0)
    before, last_number = name(path), last_page_number(path)
    tag(path, ["Jazz"], cover=picture(300_000))
    assert last_page_number(path) > last_number
    assert name(path) == before


def test_chained_ogg_streams_keep_their_name(tmp_path: Path) -> None:
    one = make_sound(tmp_path / "one.ogg", 2.0, seed=1).read_bytes()
    path = tmp_path / "both.opus"
    path.write_bytes(make_sound(tmp_path / "two.opus", 2.0).read_bytes() + one)
    before = name(path)
    tag(path, ["Jazz"], cover=picture(100_000))
    assert name(path) == before


def test_the_64_bit_length_of_rf64_is_followed(tmp_path: Path) -> None:
    plain = make_sound(tmp_path / "plain.wav", 1.0).read_bytes()
    at = plain.index(b"data")
    fmt, data = plain[12:at], plain[at + 8 :]
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, 0, len(data), 0, 0)
    long = b"RF64\xff\xff\xff\xffWAVE" + ds64 + fmt + b"data\xff\xff\xff\xff" + data
    path = tmp_path / "song.wav"
    path.write_bytes(long)
    before = name(path)
    path.write_bytes(long + b"id3 " + struct.pack("<I", 20) + bytes(20))
    assert name(path) == before
    assert same_payload(path, tmp_path / "plain.wav")


@pytest.mark.parametrize(
    ("form", "kind", "sound", "length"),
    [
        (b"FORM", b"AIFC", (b"COMM", b"SSND"), ">I"),
        (b"FRM8", b"DSD ", (b"PROP", b"DSD "), ">Q"),
        (b"BW64", b"WAVE", (b"fmt ", b"data"), "<I"),
    ],
)
def test_chunks_that_are_no_sound_may_come_anywhere(
    tmp_path: Path, form: bytes, kind: bytes, sound: tuple[bytes, bytes], length: str
) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack(length, len(body)) + body + bytes(len(body) % 2)

    one, two = chunk(sound[0], b"odd"), chunk(sound[1], b"sound" * 999)
    tags = chunk(b"ID3 ", b"tag")
    names = set()
    for content in (one + two, tags + one + two, one + tags + two + tags + tags, one + two + tags[:-2]):
        path = tmp_path / "song"
        path.write_bytes(form + struct.pack(length, 4 + len(content)) + kind + content)
        names.add(name(path))
    assert len(names) == 1
    path.write_bytes(path.read_bytes().replace(b"sound" * 9, b"noise" * 9))
    assert name(path) not in names


def atom(kind: bytes, body: bytes, *, wide: bool = False) -> bytes:
    if wide:
        return struct.pack(">I4sQ", 1, kind, len(body) + 16) + body
    return struct.pack(">I4s", len(body) + 8, kind) + body


def test_every_mdat_counts_whatever_its_form(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    start, tail = atom(b"ftyp", b"M4A "), b"\0\0\0\0mdat" + b"third"
    path.write_bytes(start + atom(b"mdat", b"first") + atom(b"mdat", b"second", wide=True) + tail)
    before = name(path)
    path.write_bytes(
        start
        + atom(b"moov", b"tags")
        + atom(b"mdat", b"first")
        + atom(b"free", bytes(99))
        + atom(b"mdat", b"second", wide=True)
        + tail
    )
    assert name(path) == before
    for changed in (b"First", b"Second", b"Third"):
        other = path.read_bytes().replace(changed.lower(), changed)
        (tmp_path / "other").write_bytes(other)
        assert payload_digest(tmp_path / "other") != before[1]


MAGICS = (
    *(
        b"OggS\0\x02",
        b"ID3\x04\0\0\0\0\0\x01",
        b"fLaC\0\0\0\x22",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"RF64\0\0\0\0WAVEds64",
    ),
    *(
        b"FORM\0\0\0\0AIFFCOMM",
        b"FORM\0\0\0\0AIFCSSND",
        b"FRM8\0\0\0\0\0\0\0\0DSD PROP",
        b"DSD \x1c\0\0\0\0\0\0\0",
    ),
    *(
        b"\0\0\0\x08ftyp\0\0\0\x01mdat",
        b".snd",
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        b"APETAGEX",
        b"",
    ),
)
ENDS = (b"", ID3V1, b"000099LYRICS200", b"LYRICSEND", b"3DI\x04\0\0\0\0\0\x01", b"APETAGEX" + bytes(24))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(MAGICS), st.binary(max_size=300), st.sampled_from(ENDS), st.integers(0, 400))
def test_garbage_has_a_name_too(
    tmp_path_factory: pytest.TempPathFactory, magic: bytes, middle: bytes, end: bytes, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes((magic + middle + end)[:cut])
    assert len(identify(path)) == 32
    assert len(payload_digest(path)) == 32
    assert same_payload(path, path)


@pytest.mark.parametrize("suffix", ALL)
def test_a_file_cut_off_anywhere_has_a_name(tmp_path: Path, suffix: str) -> None:
    whole = any_sound(tmp_path / f"song{suffix}").read_bytes()
    path = tmp_path / "cut"
    names = set()
    lengths = (*range(0, min(len(whole), 400), 7), len(whole) // 2, len(whole) - 1)
    for length in lengths:
        path.write_bytes(whole[:length])
        payload_digest(path)
        names.add(identify(path))
    assert len(names) > 2


def test_nothing_but_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DecodeError) as caught:
        identify(tmp_path / "pipe")
    assert caught.value.code == "unreadable"
    with pytest.raises(FileNotFoundError):
        payload_digest(tmp_path / "nothing")


@pytest.mark.parametrize("magic", [b"", b"RIFF\0\0\0\0WAVEdata\xff\xff\xff\xff", b"OggS\0"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "long.mp3"
    with path.open("wb") as file:
        file.write(magic)
        file.truncate(200 << 20)
    tracemalloc.start()
    try:
        identify(path)
        payload_digest(path)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_name_that_changes_hands_keeps_nobody_waiting(tmp_path: Path) -> None:
    place, other = tmp_path / "a.mp3", tmp_path / "next"
    (tmp_path / "file").write_bytes(b"sound")
    os.mkfifo(tmp_path / "pipe")
    os.link(tmp_path / "file", place)
    outcomes = set()
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for name in ("pipe", "file"):
                os.link(tmp_path / name, other)
                os.replace(other, place)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        tries, start = 0, time.monotonic()
        # On a busy machine the other thread may rest for thousands of tries.
        while tries < 2000 or (len(outcomes) < 2 and time.monotonic() - start < 60):
            tries += 1
            try:
                with open_regular(place) as file:
                    outcomes.add(file.read())
            except DecodeError as error:
                outcomes.add(error.code)
    finally:
        done.set()
        swapper.join()
    assert outcomes == {b"sound", "unreadable"}


@pytest.mark.parametrize(
    "content",
    [
        b"ID3\4\0\0\0\0\0\0" * 210_000,
        (b"APETAGEX" + struct.pack("<4I8x", 1000, 32, 0, 0)) * 210_000,
        b"RIFF\0\0\0\0WAVE" + bytes(8) * 210_000,
        b"fLaC" + b"\1\0\0\0" * 210_000,
    ],
)
def test_tags_and_chunks_without_end_are_one_payload(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    name = identify(path)
    with path.open("r+b") as file:
        file.write(b"x")
    assert identify(path) != name
