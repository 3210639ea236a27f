"""MP4: items keep their bytes, sample positions follow, the old number of a genre gives way."""

from __future__ import annotations

import io
from pathlib import Path

import av
import pytest
from mutagen.mp4 import MP4, Atoms, MP4Cover

from genretag.errors import TagError
from genretag.tagging import tags
from sounds import make_sound


def atom(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


def data(kind: int, content: bytes, locale: int = 0) -> bytes:
    return atom(b"data", kind.to_bytes(4, "big") + locale.to_bytes(4, "big") + content)


ITEMS = [
    atom(b"\xa9nam", data(1, b"Title", locale=0x1234)),
    atom(b"tmpo", data(21, b"\x78")),  # one byte, which mutagen would make two
    atom(b"covr", data(13, bytes(3000)) + atom(b"name", b"front.jpg")),
    atom(
        b"----", atom(b"mean", bytes(4) + b"com.serato.dj") + atom(b"name", bytes(4) + b"m") + data(0, b"\1")
    ),
    atom(b"xyz ", b"\0\0\0\3odd"),
    atom(b"\xa9nam", data(1, b"Another")),
]


@pytest.fixture(params=["at the end", "at the start"])
def song(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An m4a whose moov atom stands behind the audio or before it."""
    path = make_sound(tmp_path / "song.m4a", 1.0)
    if request.param == "at the end":
        return path
    front = tmp_path / "front.m4a"
    with av.open(str(path)) as old, av.open(str(front), "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return front


def put_items(path: Path, items: list[bytes], free: int) -> None:
    """Give an MP4 file these items, raw, and a free atom with that many bytes in it."""
    MP4(path).delete()
    content = atom(b"ilst", b"".join(items)) + atom(b"free", bytes(free))
    file = MP4(path)
    file["\xa9nam"] = "x"
    file.save(padding=lambda _: len(content) - len(atom(b"ilst", atom(b"\xa9nam", data(1, b"x")))) - 8)
    with path.open("r+b") as out:
        out.seek(Atoms(out).path(b"moov", b"udta", b"meta", b"ilst")[-1].offset)
        out.write(content)


def items_of(path: Path) -> list[bytes]:
    content = path.read_bytes()
    found = Atoms(io.BytesIO(content)).path(b"moov", b"udta", b"meta", b"ilst")[-1].children
    return [content[each.offset : each.offset + each.length] for each in found]


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0)]


@pytest.mark.parametrize("free", [0, 500])
def test_items_stay_byte_by_byte(song: Path, free: int) -> None:
    old = [*ITEMS[:3], atom(b"gnre", data(0, b"\0\x12")), *ITEMS[3:], atom(b"\xa9gen", data(1, b"Own"))]
    put_items(song, old, free)
    before, state, audio = song.read_bytes(), tags.read(song), packets(song)
    assert state.genres == ("Own", "Rock")  # gnre counts from one
    assert items_of(song) == old

    tags.write(song, ["Jazz", "Żółć"])
    genre = atom(b"\xa9gen", data(1, b"Jazz") + data(1, "Żółć".encode()))
    assert items_of(song) == [*ITEMS[:3], genre, *ITEMS[3:]]
    assert MP4(song)["\xa9gen"] == ["Jazz", "Żółć"]
    assert packets(song) == audio
    if free:
        assert len(song.read_bytes()) == len(before)
    tags.restore(song, state.raw)
    assert song.read_bytes() == before


def test_samples_are_found_after_every_move(song: Path) -> None:
    audio, state = packets(song), tags.read(song)
    for genre in ("a" * 9000, "b", "c" * 90_000):
        tags.write(song, [genre], provenance="model")
        assert packets(song) == audio
        assert tags.read(song).genres == (genre,)
    tags.restore(song, state.raw)
    assert packets(song) == audio
    assert not {"\xa9gen", "----:com.apple.iTunes:GENRETAG"} & set(MP4(song))


def test_a_file_without_an_item_list_gets_one(song: Path) -> None:
    song.write_bytes(song.read_bytes().replace(b"udta", b"skip"))
    audio, state = packets(song), tags.read(song)
    assert state.genres == ()
    tags.write(song, ["Rock", "Pop"])
    assert MP4(song)["\xa9gen"] == ["Rock", "Pop"]
    assert packets(song) == audio
    tags.restore(song, state.raw)
    assert tags.read(song).genres == ()
    assert items_of(song) == []


@pytest.mark.parametrize(
    ("item", "genres"),
    [
        (atom(b"\xa9gen", data(2, "Żółć".encode("utf-16-be"))), ("Żółć",)),
        (atom(b"\xa9gen", data(0, b"Implicit")), ("Implicit",)),
        (atom(b"\xa9gen", data(1, b"")), ()),
        (atom(b"gnre", data(0, b"\xff\xff")), ()),
        (atom(b"\xa9gen", b"\0\0\0\0junk"), ()),
    ],
)
def test_how_stored_genres_are_read(tmp_path: Path, item: bytes, genres: tuple[str, ...]) -> None:
    path = make_sound(tmp_path / "song.m4a", 1.0)
    put_items(path, [item], 100)
    before, state = path.read_bytes(), tags.read(path)
    assert state.genres == genres
    tags.write(path, ["Other"])
    tags.restore(path, state.raw)
    assert path.read_bytes() == before


def test_a_cover_that_mutagen_wrote_is_still_one(song: Path) -> None:
    file = MP4(song)
    file["covr"] = [MP4Cover(bytes(5000), MP4Cover.FORMAT_PNG)]
    file.save()
    tags.write(song, ["Rock"])
    assert MP4(song)["covr"] == [MP4Cover(bytes(5000), MP4Cover.FORMAT_PNG)]


def test_a_file_without_moov_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    path.write_bytes(atom(b"ftyp", b"M4A \0\0\0\0") + atom(b"mdat", bytes(100)))
    with pytest.raises(TagError, match="moov"):
        tags.read(path)
