"""ID3: frames are spliced byte by byte, versions and the habits of other programs are kept."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import mutagen
import pytest
from mutagen.id3 import ID3, PRIV, RVA2, TDRC, TIPL, TPE1, TSOP, TXXX

from genretag.errors import TagError
from genretag.tagging import tags
from genretag.tagging.formats.id3 import AtStart, tag_length
from sounds import make_sound


def synchsafe(value: int) -> bytes:
    return bytes(value >> shift & 0x7F for shift in (21, 14, 7, 0))


def frame(name: str, body: bytes, version: int = 3, flags: bytes = b"\0\0") -> bytes:
    if version == 2:
        return name.encode() + len(body).to_bytes(3, "big") + body
    size = synchsafe(len(body)) if version == 4 else len(body).to_bytes(4, "big")
    return name.encode() + size + flags + body


def tag(version: int, frames: Sequence[bytes], padding: int = 0, flags: int = 0) -> bytes:
    body = b"".join(frames) + bytes(padding)
    return b"ID3" + bytes((version, 0, flags)) + synchsafe(len(body)) + body


PICTURE = b"\0image/jpeg\0\3cover\0" + bytes(range(256)) * 20
OTHERS_23 = [
    frame("TIT2", b"\1\xfe\xff\0T\0i\0t\0l\0e"),  # big-endian UTF-16, which mutagen would turn round
    frame("TYER", b"\x001999\0"),
    frame("TDAT", b"\x003112"),
    frame("TIME", b"\x002359"),
    frame("TPE1", b"\0AC/DC", flags=b"\xe0\0"),
    frame("PRIV", b"TRAKTOR4\0" + bytes(range(200))),
    frame("APIC", PICTURE),
    frame("GEOB", b"\0application/octet-stream\0\0Serato Markers2\0\1\1"),
    frame("XYZW", b"an unknown frame"),
    frame("TCOP", b""),
    frame("TXXX", b"\0GENRETAGS\0not ours"),
    frame("TXXX", b"\0replaygain_track_gain\0-3.2 dB"),
    frame("RVAD", b"\0\0\0\0"),
]


@pytest.fixture
def audio(tmp_path: Path) -> bytes:
    """The bytes of an mp3 without any tag."""
    path = make_sound(tmp_path / "bare.mp3", 1.0)
    with path.open("rb") as file:
        file.seek(tag_length(file, 0))
        return file.read()


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return tmp_path / "song.mp3"


def utf16(*values: str) -> bytes:
    return b"\1" + b"\0\0".join(b"\xff\xfe" + value.encode("utf-16-le") for value in values)


def test_a_23_tag_stays_23_and_nothing_else_changes(song: Path, audio: bytes) -> None:
    old = frame("TCON", b"\0(17)(80)Fancy Folk")
    before = tag(3, [*OTHERS_23[:4], old, *OTHERS_23[4:]], padding=100)
    song.write_bytes(before + audio)
    state = tags.read(song)
    assert state.genres == ("Rock", "Folk", "Fancy Folk")

    tags.write(song, ["AC/DC-ish Rock/Pop", "Żółć"])
    new = frame("TCON", utf16("AC/DC-ish Rock/Pop", "Żółć"))
    expected = tag(3, [*OTHERS_23[:4], new, *OTHERS_23[4:]], padding=100 + len(old) - len(new))
    assert song.read_bytes() == expected + audio
    assert tags.read(song).genres == ("AC/DC-ish Rock/Pop", "Żółć")
    assert ID3(song, translate=False)["TCON"].text == ["AC/DC-ish Rock/Pop", "Żółć"]

    tags.restore(song, state.raw)
    assert song.read_bytes() == before + audio


@pytest.mark.parametrize(
    ("values", "body"),
    [
        (["Rock", "Pop"], b"\0Rock\0Pop"),
        (["Zouk Bém"], "\0Zouk Bém".encode("latin-1")),
        (["(Sub)Urban"], b"\0((Sub)Urban"),
        (["(17)", "((x"], b"\0((17)\0(((x"),
        (["17", "RX", "2000"], b"\x0017 \0RX \x002000"),
        (["日本"], utf16("日本")),
    ],
)
def test_how_23_spells_genres(song: Path, audio: bytes, values: list[str], body: bytes) -> None:
    song.write_bytes(tag(3, OTHERS_23) + audio)
    tags.write(song, values)
    assert song.read_bytes() == tag(3, [*OTHERS_23, frame("TCON", body)]) + audio
    assert (
        list(tags.read(song).genres)
        == values
        == [name.strip() for name in ID3(song, translate=False)["TCON"].genres]
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("(Sub)Urban", "(Sub)Urban"),
        ("(17)x", "((17)x"),
        ("((x", "(((x"),
        ("(2000)", "((2000)"),
        ("CR", "CR "),
        ("0017", "0017 "),
    ],
)
def test_how_24_spells_names_that_look_like_references(
    song: Path, audio: bytes, name: str, value: str
) -> None:
    song.write_bytes(tag(4, [frame("TIT2", b"\0T", 4)]) + audio)
    tags.write(song, [name])
    assert frame("TCON", b"\0" + value.encode(), 4) in song.read_bytes()
    assert tags.read(song).genres == (name,)
    assert [seen.strip() for seen in ID3(song, translate=False)["TCON"].genres] == [name]


@pytest.mark.parametrize(
    ("version", "body", "genres"),
    [
        (3, b"\0(17)", ("Rock",)),
        (3, b"\x0017", ("Rock",)),
        (4, b"\x0317\x008\0Own", ("Rock", "Jazz", "Own")),
        (3, b"\0(17)Rock", ("Rock",)),
        (3, b"\0(RX)(CR)", ("Remix", "Cover")),
        (3, b"\0(255)", ()),
        (3, b"\x00255", ()),
        (3, b"\x002000", ("2000",)),
        (3, b"\x000017", ("Rock",)),
        (4, "\3²\0a\nb".encode(), ("²", "a\nb")),
        (4, b"\3((17)\0(x)", ("(17)", "(x)")),
        (3, b"\0Unknown", ("Unknown",)),
        (3, b"\0Rock; Pop", ("Rock; Pop",)),
        (3, b"\0Rock/Pop", ("Rock/Pop",)),
        (3, b"\0Rock\0\0\0", ("Rock",)),
        (4, b"\3 Rock \0\0Rock", ("Rock",)),
        (3, b"", ()),
        (4, b"\2\0R", ("R",)),
    ],
)
def test_how_stored_genres_are_read(
    song: Path, audio: bytes, version: int, body: bytes, genres: tuple[str, ...]
) -> None:
    song.write_bytes(tag(version, [frame("TCON", body, version)]) + audio)
    state = tags.read(song)
    assert state.genres == genres
    before = song.read_bytes()
    tags.write(song, ["Other one"])
    assert tags.read(song).genres == ("Other one",)
    tags.restore(song, state.raw)
    assert song.read_bytes() == before


def test_frames_of_24_keep_their_flags_and_unsynchronisation(song: Path, audio: bytes) -> None:
    data = b"\0\0\0\x09\0Title\xff\x00\xe0"
    others = [
        frame("TIT2", data, 4, b"\x40\x03"),  # read-only, unsynchronised, with a data length
        frame("APIC", PICTURE, 4),
        frame("TSOP", b"\3sorted", 4),
        frame("TCON", b"\0\0\0\5\xff\x01Rock", 4, b"\0\x05"),  # said to be encrypted: not readable
    ]
    song.write_bytes(tag(4, others, padding=20, flags=0x80) + audio)
    state = tags.read(song)
    assert state.genres == ()
    tags.write(song, ["Ÿ Rock"])
    new = frame("TCON", "\3Ÿ Rock".encode(), 4)
    assert song.read_bytes() == tag(4, [*others[:3], new], 20 + len(others[3]) - len(new), 0x80) + audio
    tags.restore(song, state.raw)
    assert song.read_bytes() == tag(4, others, padding=20, flags=0x80) + audio


def test_a_23_tag_that_is_unsynchronised_stays_so(song: Path, audio: bytes) -> None:
    plain = [frame("TIT2", b"\1\xff\xfeT\0"), frame("PRIV", b"x\0\xff\xe0\xff\x00\xff")]
    body = b"".join(plain).replace(b"\xff", b"\xff\x00")
    before = b"ID3\3\0\x80" + synchsafe(len(body) + 50) + body + bytes(50) + audio
    song.write_bytes(before)
    state = tags.read(song)
    tags.write(song, ["日本"])
    assert song.read_bytes()[5] == 0x80
    assert song.read_bytes()[10:].startswith(body[:-1] + b"TCON")  # only the last 0xFF needs no zero any more
    found = ID3(song)
    assert found["TCON"].text == ["日本"]
    assert found["PRIV:x:\xff\xe0\xff\x00\xff"].data == b"\xff\xe0\xff\x00\xff"
    tags.restore(song, state.raw)
    assert song.read_bytes() == before


def test_22_stays_22(song: Path, audio: bytes) -> None:
    others = [frame("TT2", b"\0Title\0", 2), frame("PIC", b"\0PNG\3\0" + PICTURE, 2)]
    old = frame("TCO", b"\0(17)\0", 2)
    before = tag(2, [others[0], old, others[1]], padding=60) + audio
    song.write_bytes(before)
    state = tags.read(song)
    assert state.genres == ("Rock",)
    tags.write(song, ["Jazz", "Pop"], provenance="model")
    new = [frame("TCO", b"\0Jazz\0Pop", 2), frame("TXX", b"\0GENRETAG\0model", 2)]
    padding = 60 + len(old) - len(b"".join(new))
    assert song.read_bytes() == tag(2, [others[0], *new, others[1]], padding) + audio
    assert ID3(song, translate=False)["TCON"].genres == ["Jazz", "Pop"]
    tags.restore(song, state.raw)
    assert song.read_bytes() == before

    tags.write(song, ["Jazz"], id3="2.4")
    assert ID3(song).version == (2, 4, 0)
    tags.restore(song, state.raw)  # there is no way back to 2.2, but there is to the genre
    assert tags.read(song).genres == ("Rock",)
    assert ID3(song)["TIT2"].text == ["Title"]


def test_plain_sizes_in_24_as_itunes_wrote_them(song: Path, audio: bytes) -> None:
    others = [frame("TIT2", b"\3" + b"t" * 300, 3), frame("TPE1", b"\3" + b"a" * 200, 3)]
    song.write_bytes(tag(4, others) + audio)
    tags.write(song, ["g" * 400])
    assert song.read_bytes() == tag(4, [*others, frame("TCON", b"\0" + b"g" * 400, 3)]) + audio
    assert tags.read(song).genres == ("g" * 400,) == tuple(ID3(song)["TCON"].text)


@pytest.mark.parametrize(
    ("version", "extended"),
    [(3, struct.pack(">IHI", 6, 0, 0)), (4, b"\0\0\0\x0c\1\x20\5\0\0\0\0\0")],
)
def test_an_extended_header_is_left_out(song: Path, audio: bytes, version: int, extended: bytes) -> None:
    others = [frame("TIT2", b"\0Title", version)]
    song.write_bytes(tag(version, [extended, *others], flags=0x40) + audio)
    tags.write(song, ["Rock"])
    assert song.read_bytes() == tag(version, [*others, frame("TCON", b"\0Rock", version)]) + audio


def test_flags_that_lie_cost_no_frame(song: Path, audio: bytes) -> None:
    others = [frame("PRIV", b"x\0\xff\xfb\xff\x00"), OTHERS_23[0]]
    song.write_bytes(tag(3, others, flags=0xC0) + audio)
    tags.write(song, ["Rock"])
    assert song.read_bytes() == tag(3, [*others, frame("TCON", b"\0Rock")]) + audio


@pytest.mark.parametrize(("version", "size"), [(3, b"\0\0\xff\0"), (4, b"\0\0\0\x80"), (4, b"\0\0\0\1")])
def test_an_extended_header_without_sense_is_said_so(
    song: Path, audio: bytes, version: int, size: bytes
) -> None:
    song.write_bytes(tag(version, [size, *OTHERS_23], flags=0x40) + audio)
    with pytest.raises(TagError, match="extended header"):
        tags.write(song, ["Rock"])


def test_a_footer_is_left_out(song: Path, audio: bytes) -> None:
    others = [frame("TIT2", b"\0Title", 4)]
    whole = tag(4, others, flags=0x10)
    song.write_bytes(whole + b"3DI" + whole[3:10] + audio)
    tags.write(song, ["Rock"])
    assert song.read_bytes() == tag(4, [*others, frame("TCON", b"\0Rock", 4)]) + audio


def test_what_cannot_be_cut_into_frames_is_kept(song: Path, audio: bytes) -> None:
    junk = b"TIT2\x7f\xff\xff\xff\0\0too long"
    song.write_bytes(tag(3, [OTHERS_23[0], junk]) + audio)
    tags.write(song, ["Rock"])
    assert song.read_bytes() == tag(3, [OTHERS_23[0], frame("TCON", b"\0Rock"), junk]) + audio


def test_23_becomes_24_when_asked_and_back_when_undone(song: Path, audio: bytes) -> None:
    song.write_bytes(tag(3, [*OTHERS_23, frame("TCON", b"\0Old")], padding=400) + audio)
    state = tags.read(song)
    before = {key: repr(value) for key, value in ID3(song, translate=False).items()}
    tags.write(song, ["Rock", "Pop"], id3="2.4")
    found = ID3(song, translate=False)
    assert found.version == (2, 4, 0)
    assert found["TCON"].text == ["Rock", "Pop"]
    assert str(found["TDRC"]) == "1999-12-31 23:59:00"
    assert "TYER" not in found
    assert found["PRIV:TRAKTOR4:" + bytes(range(200)).decode("latin-1")].data == bytes(range(200))
    assert [raw[10:] for raw in found.unknown_frames if raw[:4] == b"XYZW"] == [b"an unknown frame"]
    tags.restore(song, state.raw)
    found = ID3(song, translate=False)
    assert found.version == (2, 3, 0)
    assert found["TCON"].text == ["Old"]
    assert {key: repr(value) for key, value in found.items() if key != "TIT2"} == {
        key: value for key, value in before.items() if key != "TIT2"
    }
    assert found["TIT2"].text == ["Title"]
    assert song.read_bytes().endswith(audio)


def test_24_becomes_23_when_asked(song: Path, audio: bytes) -> None:
    file = ID3()
    for each in (
        TDRC(encoding=3, text="1999-12-31"),
        TPE1(encoding=3, text=["AC/DC", "Żółć"]),
        TSOP(encoding=3, text="Ż"),
        TIPL(encoding=3, people=[["producer", "Ż"]]),
        RVA2(desc="track", channel=1, gain=-3, peak=1),
        PRIV(owner="x", data=b"y" * 200),
        TXXX(encoding=3, desc="Ż", text="Ż"),
    ):
        file.add(each)
    out = io.BytesIO()
    file.save(out)
    unknown = frame("XYZW", b"?" * 200, 4, b"\x40\0")
    body = out.getvalue()[10:].rstrip(b"\0")
    song.write_bytes(tag(4, [body, unknown]) + audio)
    tags.write(song, ["Żółć", "Rock/Pop"], id3="2.3")
    found = ID3(song, translate=False)
    assert found.version == (2, 3, 0)
    assert found["TCON"].text == ["Żółć", "Rock/Pop"]
    assert (str(found["TYER"]), str(found["TDAT"])) == ("1999", "3112")
    assert found["TPE1"].text == ["AC/DC", "Żółć"]
    assert {"TSOP", "IPLS", "RVA2:track", "TXXX:Ż"} <= set(found)
    assert all(value.encoding in (0, 1) for value in found.values() if hasattr(value, "encoding"))
    assert found.unknown_frames == [frame("XYZW", b"?" * 200, 3, b"\x80\0")]


@pytest.mark.parametrize(("asked", "version"), [("keep", 4), ("2.4", 4), ("2.3", 3)])
def test_a_new_tag_has_the_version_asked_for(song: Path, audio: bytes, asked: str, version: int) -> None:
    song.write_bytes(audio)
    state = tags.read(song)
    tags.write(song, ["Rock"], id3=asked)  # type: ignore[arg-type] - parametrised
    assert song.read_bytes() == tag(version, [frame("TCON", b"\0Rock", version)]) + audio
    tags.restore(song, state.raw)
    assert song.read_bytes() == audio


def v1(
    title: str = "", artist: str = "", year: str = "", comment: str = "", track: int = 0, genre: int = 255
) -> bytes:
    texts = ((title, 30), (artist, 30), ("", 30), (year, 4), (comment, 28))
    data = b"".join(text.encode("latin-1").ljust(length, b"\0") for text, length in texts)
    return b"TAG" + data + bytes((0, track, genre))


def test_an_mp3_with_id3v1_only(song: Path, audio: bytes) -> None:
    old = v1("Title", "Ärtist", "1999", "so so", 7, genre=17)
    song.write_bytes(audio + old)
    state = tags.read(song)
    assert state.genres == ("Rock",)

    tags.write(song, ["Unheard of", "Jazz"])
    assert song.read_bytes().endswith(audio + old[:127] + b"\x08")
    found = ID3(song, load_v1=False)
    assert found["TCON"].text == ["Unheard of", "Jazz"]
    assert [str(found[key]) for key in ("TIT2", "TPE1", "TDRC", "TRCK")] == ["Title", "Ärtist", "1999", "7"]
    assert str(found["COMM::eng"]) == "so so"
    assert tags.read(song).genres == ("Unheard of", "Jazz")

    tags.restore(song, state.raw)
    assert song.read_bytes() == audio + old
    tags.write(song, ["Unheard of"], id3="2.3")
    assert song.read_bytes()[-1] == 255
    assert ID3(song, translate=False, load_v1=False)["TYER"].text == ["1999"]
    tags.restore(song, state.raw)
    assert song.read_bytes() == audio + old


def test_fields_that_were_added_later_survive_the_undoing(song: Path, audio: bytes) -> None:
    song.write_bytes(audio)
    state = tags.read(song)
    tags.write(song, ["Rock"])
    found = ID3(song)
    found.add(TPE1(encoding=3, text=["added"]))
    found.save()
    tags.restore(song, state.raw)
    assert sorted(ID3(song)) == ["TPE1"]


def test_the_default_of_id3v1_is_not_believed_beside_a_newer_tag(song: Path, audio: bytes) -> None:
    song.write_bytes(tag(4, [frame("TIT2", b"\0Title", 4)]) + audio + v1("Title", genre=0))
    assert tags.read(song).genres == ()
    tags.write(song, ["Rock"])
    assert song.read_bytes()[-1] == 17


def test_a_tag_that_is_cut_off_is_said_so(song: Path, audio: bytes) -> None:
    song.write_bytes(tag(4, [frame("APIC", PICTURE, 4)])[:-10])
    with pytest.raises(TagError, match="cut off") as caught:
        tags.read(song)
    assert caught.value.code == "bad-tags"
    song.write_bytes(tag(2, [frame("TT2", b"\0Title", 2)], flags=0x40) + audio)
    with pytest.raises(TagError, match="compressed"):
        tags.read(song)


def test_a_second_tag_behind_the_first_stays(song: Path, audio: bytes) -> None:
    second = tag(3, [frame("TCON", b"\0Second")])
    song.write_bytes(tag(4, [frame("TCON", b"\0First", 4)]) + second + audio)
    tags.write(song, ["A longer one"])
    assert song.read_bytes() == tag(4, [frame("TCON", b"\0A longer one", 4)]) + second + audio


def test_the_slot_removes_and_puts_a_tag(song: Path, audio: bytes) -> None:
    song.write_bytes(audio)
    with song.open("r+b") as file:
        AtStart(file).put(tag(4, OTHERS_23))
        assert AtStart(file).get() == tag(4, OTHERS_23)
        AtStart(file).put(None)
        assert AtStart(file).get() is None
    assert song.read_bytes() == audio
    assert mutagen.File(song).tags is None
