"""WAV, AIFF, DSDIFF and DSF: the tag is one chunk among others, and every size is right afterwards."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import mutagen
import pytest
import soundfile
from mutagen.dsdiff import DSDIFF
from mutagen.id3 import TIT2

from genretag.errors import TagError
from genretag.tagging import tags
from sounds import make_sound


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


FMT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8))
DATA = chunk(b"data", bytes(range(1, 256)))  # odd: it has a pad byte
INFO = [chunk(b"INAM", b"Title\0"), chunk(b"IART", b"odd"), chunk(b"ISFT", b"Lavf\0\0")]
CUE = chunk(b"cue ", bytes(28))


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return tmp_path / "song.wav"


def test_a_wav_is_whole_after_each_step(song: Path) -> None:
    before = riff(FMT, DATA, CUE)
    song.write_bytes(before)
    state = tags.read(song)
    tags.write(song, ["Rock", "Pop"])
    written = song.read_bytes()
    assert written.startswith(before[:4])
    assert struct.unpack("<I", written[4:8])[0] == len(written) - 8
    assert written[8 : len(before)] == before[8:]
    assert written[len(before) :].startswith(b"id3 ")
    assert mutagen.File(song)["TCON"].text == ["Rock", "Pop"]
    assert soundfile.info(song).frames == 255
    tags.restore(song, state.raw)
    assert song.read_bytes() == before


def test_a_tag_before_other_chunks_grows_and_shrinks(song: Path) -> None:
    song.write_bytes(riff(FMT, DATA))
    file = mutagen.File(song)
    file.add_tags()
    file.tags.add(TIT2(encoding=0, text="Title"))
    file.save(padding=lambda _: 3)
    id3 = song.read_bytes()[len(riff(FMT, DATA)) :].replace(b"id3 ", b"ID3 ", 1)
    before = riff(FMT, id3, DATA, CUE)
    song.write_bytes(before)
    state = tags.read(song)
    tags.write(song, ["g" * 5000])
    written = song.read_bytes()
    assert written.endswith(DATA + CUE)
    assert written.count(b"ID3 ") == 1
    assert struct.unpack("<I", written[4:8])[0] == len(written) - 8
    assert soundfile.info(song).frames == 255
    assert mutagen.File(song)["TIT2"].text == ["Title"]
    tags.restore(song, state.raw)
    assert song.read_bytes() == before


def test_the_genre_of_an_info_list_is_read_and_brought_along(song: Path) -> None:
    info = [*INFO[:2], chunk(b"IGNR", "Zouk Bém\0".encode("cp1252")), INFO[2]]
    before = riff(FMT, chunk(b"LIST", b"INFO" + b"".join(info)), DATA)
    song.write_bytes(before)
    state = tags.read(song)
    assert state.genres == ("Zouk Bém",)
    tags.write(song, ["Rock", "Żółć"], provenance="model")
    new = [*INFO[:2], chunk(b"IGNR", "Rock; Żółć\0".encode()), INFO[2]]
    assert chunk(b"LIST", b"INFO" + b"".join(new)) in song.read_bytes()
    assert tags.read(song).genres == ("Rock", "Żółć")
    assert mutagen.File(song)["TCON"].text == ["Rock", "Żółć"]
    with av.open(str(song)) as container:
        assert container.metadata["title"] == "Title"
    tags.restore(song, state.raw)
    assert song.read_bytes() == before


def test_an_info_list_without_a_genre_is_left_alone(song: Path) -> None:
    listed = chunk(b"LIST", b"INFO" + b"".join(INFO))
    song.write_bytes(riff(FMT, DATA, listed))
    tags.write(song, ["Rock"])
    assert song.read_bytes()[8:].startswith(riff(FMT, DATA, listed)[8:])


def test_a_missing_pad_byte_is_put_in(song: Path) -> None:
    song.write_bytes(riff(FMT, DATA[:-1]))
    state = tags.read(song)
    tags.write(song, ["Rock"])
    assert mutagen.File(song)["TCON"].text == ["Rock"]
    tags.restore(song, state.raw)
    assert song.read_bytes() == riff(FMT, DATA)


@pytest.mark.parametrize(
    "content",
    [
        riff(
            FMT, DATA[:4] + b"\xff\xff\xff\xff" + DATA[8:], size=0xFFFFFFFF
        ),  # streamed: the end is not known
        riff(FMT, DATA, size=0),
        riff(FMT, DATA)[:-50],
        riff(FMT),
    ],
)
def test_audio_without_a_known_end_is_not_taggable(song: Path, content: bytes) -> None:
    song.write_bytes(content)
    state = tags.read(song)
    assert (state.format, state.taggable) == ("wav", False)
    with pytest.raises(TagError) as caught:
        tags.write(song, ["Rock"])
    assert caught.value.code == "not-taggable"
    assert song.read_bytes() == content


def test_dsdiff(tmp_path: Path) -> None:
    def big(name: bytes, data: bytes) -> bytes:
        return name + struct.pack(">Q", len(data)) + data + bytes(len(data) % 2)

    properties = b"SND " + big(b"FS  ", struct.pack(">I", 2822400)) + big(b"CHNL", b"\0\1C000")
    properties += big(b"CMPR", b"DSD \x0enot compressed\0")
    body = b"DSD " + big(b"FVER", b"\1\5\0\0") + big(b"PROP", properties) + big(b"DSD ", b"\x69" * 4097)
    path = tmp_path / "song.dff"
    before = big(b"FRM8", body)
    path.write_bytes(before)
    state = tags.read(path)
    assert (state.format, state.genres) == ("dsdiff", ())
    tags.write(path, ["Rock", "Pop"])
    assert DSDIFF(path)["TCON"].text == ["Rock", "Pop"]
    assert struct.unpack(">Q", path.read_bytes()[4:12])[0] == len(path.read_bytes()) - 12
    tags.restore(path, state.raw)
    assert path.read_bytes() == before


def test_bytes_after_the_tag_of_a_dsf_stay(tmp_path: Path) -> None:
    path, appended = make_sound(tmp_path / "song.dsf", 0.1), bytes(range(256))
    before = tags.read(path)
    tags.write(path, ["Rock"])
    with path.open("ab") as file:
        file.write(appended)
    state = tags.read(path)
    assert state.genres == ("Rock",)
    tags.write(path, ["A longer genre"])
    assert path.read_bytes().endswith(appended)
    assert mutagen.File(path).tags["TCON"].text == ["A longer genre"]
    tags.restore(path, state.raw)
    assert tags.read(path).genres == ("Rock",)
    assert path.read_bytes().endswith(appended)
    tags.restore(path, before.raw)
    assert path.read_bytes().endswith(appended)
    assert tags.read(path).genres == ()


def test_the_header_of_a_dsf_follows_its_tag(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.dsf", 0.1)
    size = path.stat().st_size
    state = tags.read(path)
    tags.write(path, ["Rock"])
    assert struct.unpack("<QQ", path.read_bytes()[12:28]) == (path.stat().st_size, size)
    tags.write(path, ["g" * 5000])
    assert struct.unpack("<QQ", path.read_bytes()[12:28]) == (path.stat().st_size, size)
    tags.restore(path, state.raw)
    assert struct.unpack("<QQ", path.read_bytes()[12:28]) == (size, 0)
    path.write_bytes(path.read_bytes()[:20] + struct.pack("<Q", size + 1) + path.read_bytes()[28:])
    assert not tags.read(path).taggable
