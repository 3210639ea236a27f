"""Files that end too early are recognised by their headers; whole ones never are, whoever wrote them."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.apev2 import APEv2

from foreign_tags import TAGGABLE, add_rich_fields, picture, strip, tag
from genretag.audio.completeness import missing_data
from genretag.errors import DecodeError
from genretag.tagging import tags
from hostile_files import _crc, lying, make
from mp4_layouts import LAYOUTS, atom, atoms, make_layout
from sounds import FORMATS, RECORDED, any_sound, encoded, make_sound

ALL = (*FORMATS, *RECORDED)
# Ogg, ADTS and Musepack files state no length.
STATED = tuple(s for s in ALL if s not in {".ogg", ".oga", ".opus", ".spx", ".aac", ".mpc"})
ID3V1 = b"TAG" + b"A title".ljust(124, b"\0") + b"\x11"


@pytest.mark.parametrize("suffix", ALL)
def test_whole_files_are_whole(tmp_path: Path, suffix: str) -> None:
    assert missing_data(any_sound(tmp_path / f"song{suffix}")) is None


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("seconds", [0.3, 3.0])
@pytest.mark.parametrize("suffix", FORMATS)
def test_whole_files_of_any_length_are_whole(
    tmp_path: Path, suffix: str, seconds: float, rate: int, channels: int
) -> None:
    path = make_sound(tmp_path / f"song{suffix}", seconds, rate=rate, channels=channels)
    assert missing_data(path) is None


@pytest.mark.parametrize("suffix", TAGGABLE)
def test_tags_of_any_program_change_nothing(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    state = tags.read(path)
    for genres in (["a"], ["b" * 3000], ["c"] * 2):
        tags.write(path, genres, provenance="model")
        assert missing_data(path) is None
    tags.restore(path, state.raw)
    assert missing_data(path) is None
    add_rich_fields(path)
    assert missing_data(path) is None
    tag(path, ["Jazz"], cover=picture(300_000))
    assert missing_data(path) is None
    tags.write(path, ["d" * 400])
    assert missing_data(path) is None
    strip(path)
    assert missing_data(path) is None


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", STATED)
def test_what_is_missing_is_stated(tmp_path: Path, suffix: str, keep: float) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * keep)])
    reason = missing_data(path)
    assert reason
    assert "\n" not in reason
    assert len(reason) < 80


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".wv", ".tta", ".ape"])
def test_what_is_missing_is_stated_if_tags_follow(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    content = path.read_bytes()
    for tail in (ID3V1, apev2(tmp_path), apev2(tmp_path) + ID3V1):
        path.write_bytes(content[: len(content) // 2] + tail)
        assert missing_data(path)


def apev2(tmp_path: Path) -> bytes:
    scratch = tmp_path / "ape"
    scratch.write_bytes(b"")
    items = APEv2()
    items["Genre"] = ["Rock", "Pop"]
    items.save(scratch)
    return scratch.read_bytes()


@pytest.mark.parametrize("suffix", [s for s in ALL if s not in STATED])
def test_formats_that_state_no_length_are_never_short(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    content = path.read_bytes()
    for keep in (0.3, 0.95):
        path.write_bytes(content[: round(len(content) * keep)])
        assert missing_data(path) is None


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".wv", ".tta", ".ape"])
def test_tags_and_padding_around_a_whole_stream_are_no_audio(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    sound = path.read_bytes()
    for tail in (ID3V1, apev2(tmp_path) + ID3V1, bytes(3000), bytes(3000) + ID3V1, b"\xff\xf8" * 900):
        path.write_bytes(sound + tail)
        assert missing_data(path) is None


# MP4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_mp4_is_understood(tmp_path: Path, layout: str) -> None:
    path = make_layout(tmp_path / "song.mp4", layout)
    assert missing_data(path) is None
    tags.write(path, ["x" * 9000])
    assert missing_data(path) is None
    content = path.read_bytes()
    for keep in (0.1, 0.3, 0.6, 0.95):
        path.write_bytes(content[: round(len(content) * keep)])
        assert missing_data(path)


def test_boxes_of_mp4_that_are_missing_or_open(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    start, moov, mdat = atom(b"ftyp", b"M4A "), atom(b"moov", bytes(80)), atom(b"mdat", bytes(9000))
    wide = struct.pack(">I4sQ", 1, b"mdat", 9016) + bytes(9000)
    fragment = atom(b"moof", bytes(50))
    whole = [
        start + moov + mdat,
        start + mdat + moov,
        start + wide + moov,
        start + moov + b"\0\0\0\0mdat" + bytes(500),
        start + moov + fragment + mdat + fragment + mdat,
        start + moov + mdat + ID3V1,
        start + moov + mdat + bytes(5),
        start + moov + mdat[:-100],  # a writer that counted wrongly
        start + moov + mdat + b"\x7f\xff\xff\xfffree" + bytes(9),
        start,
    ]
    short = [
        (start + moov, "mdat"),
        (start + moov[:50], "moov"),
        (start + mdat, "moov"),
        (start + wide[:5000], "mdat"),
        (start + moov + fragment, "fragment"),
        (start + moov + fragment + mdat + fragment[:20], "moof"),
        (start + moov + fragment + mdat + fragment + mdat[:7], "fragment"),
    ]
    for content in whole:
        path.write_bytes(content)
        assert missing_data(path) is None, content[:200]
    for content, word in short:
        path.write_bytes(content)
        assert word in (missing_data(path) or ""), content[:200]


def test_an_index_of_the_file_shows_that_whole_fragments_are_missing(tmp_path: Path) -> None:
    path = make_layout(tmp_path / "song.mp4", "index of the file")
    data = path.read_bytes()
    ends = [end for name, _, end in atoms(data) if name == b"mdat"]
    assert len(ends) > 2
    path.write_bytes(data[: ends[1]])
    assert "sidx" in (missing_data(path) or "")


# Sizes that are unknown or wrong


def chunk(name: bytes, form: str, size: int, body: bytes) -> bytes:
    return name + struct.pack(form, size) + body


@pytest.mark.parametrize(
    "stated", [0, 0x7F000000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFD8]
)
@pytest.mark.parametrize("form", ["wav", "aiff", "au"])
def test_sizes_of_streaming_programs_promise_nothing(tmp_path: Path, form: str, stated: int) -> None:
    path = tmp_path / "song"
    body = bytes(20_000)
    if form == "wav":
        fmt = chunk(b"fmt ", "<I", 16, struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
        path.write_bytes(chunk(b"RIFF", "<I", stated, b"WAVE" + fmt + chunk(b"data", "<I", stated, body)))
    elif form == "aiff":
        comm = chunk(b"COMM", ">I", 18, bytes(18))
        path.write_bytes(chunk(b"FORM", ">I", stated, b"AIFF" + comm + chunk(b"SSND", ">I", stated, body)))
    else:
        path.write_bytes(b".snd" + struct.pack(">5I", 24, stated, 3, 8000, 1) + body)
    assert missing_data(path) is None


@pytest.mark.parametrize(
    ("container", "suffix", "options"),
    [
        ("wav", ".wav", {}),
        ("wav", ".wav", {"rf64": "always"}),
        ("aiff", ".aiff", {}),
        ("au", ".au", {}),
        ("flac", ".flac", {}),
        ("mp3", ".mp3", {}),
        ("asf", ".wma", {}),
        ("asf_stream", ".wma", {}),
        ("wv", ".wv", {}),
        ("tta", ".tta", {}),
        ("mp4", ".m4a", {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}),
    ],
)
def test_what_ffmpeg_writes_to_a_pipe_is_whole(
    tmp_path: Path, container: str, suffix: str, options: dict[str, str]
) -> None:
    class Pipe(io.RawIOBase):
        """A file that cannot be sought in."""

        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.content += data
            return len(data)

    pipe = Pipe()
    source = io.BytesIO(encoded(suffix, 3.0, 44100, 2, 1, 0.3))
    with av.open(source) as old, av.open(pipe, "w", format=container, options=options) as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    path = tmp_path / "song"
    path.write_bytes(pipe.content)
    assert len(pipe.content) > 10_000
    assert missing_data(path) is None


def test_rf64_states_its_size_in_64_bits(tmp_path: Path) -> None:
    path = tmp_path / "song"
    fmt = chunk(b"fmt ", "<I", 16, struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
    for data, short in ((20_000, False), (0, False), ((1 << 64) - 1, False), (30_000, True), (5 << 32, True)):
        ds64 = chunk(b"ds64", "<I", 28, struct.pack("<QQQI", data + 80 & (1 << 64) - 1, data, 0, 0))
        path.write_bytes(b"RF64\xff\xff\xff\xffWAVE" + ds64 + fmt + b"data\xff\xff\xff\xff" + bytes(20_000))
        assert bool(missing_data(path)) == short


def test_dsdiff_states_its_size_in_64_bits(tmp_path: Path) -> None:
    path = tmp_path / "song"
    prop = chunk(b"PROP", ">Q", 4, b"SND ")
    content = chunk(
        b"FRM8", ">Q", 4 + 16 + 12 + 50_000, b"DSD " + prop + chunk(b"DSD ", ">Q", 50_000, bytes(50_000))
    )
    path.write_bytes(content)
    assert missing_data(path) is None
    for keep in (20, 40, 5000, 48_000):
        path.write_bytes(content[:keep])
        assert missing_data(path)


def test_a_tag_chunk_that_is_cut_off_is_noticed_but_a_wrong_outer_size_is_not(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.wav", 1.0)
    plain = path.read_bytes()
    path.write_bytes(plain[:4] + struct.pack("<I", len(plain) + 5000) + plain[8:])
    assert missing_data(path) is None
    tag(path, ["Jazz"], cover=picture(50_000))
    content = path.read_bytes()
    assert missing_data(path) is None
    path.write_bytes(content[:-20_000])
    assert missing_data(path)


def test_a_broadcast_states_no_size(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.wma", 2.0)
    content = bytearray(path.read_bytes()[:15_000])
    path.write_bytes(content)
    assert missing_data(path)
    content[content.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")) + 88] |= 1
    path.write_bytes(content)
    assert missing_data(path) is None


# Streams of frames


def flac_stream(count: int, total: int, *, variable: bool, extra: int = 0) -> bytes:
    """FLAC frames of one steady value, 1000 samples each (variable: 1000 and 500 in turn)."""
    sizes = [1000 if not variable or number % 2 == 0 else 500 for number in range(count)]
    info = struct.pack(">HH6xQ16x", min(sizes), 1000, 8000 << 44 | 15 << 36 | total)
    content, start = bytearray(b"fLaC\x80\0\0\x22" + info), 0
    for number, size in enumerate(sizes):
        coded = chr(start if variable else number).encode()
        head = (b"\xff\xf9" if variable else b"\xff\xf8") + b"\x74\x08" + coded + struct.pack(">H", size - 1)
        frame = head + bytes([_crc(head, 8, 0x07)]) + b"\0" + struct.pack(">h", 10_000)
        content += frame + struct.pack(">H", _crc(frame, 16, 0x8005))
        start += size
    return bytes(content)


@pytest.mark.parametrize("variable", [False, True])
def test_flac_with_blocks_of_one_or_several_sizes(tmp_path: Path, variable: bool) -> None:
    path = tmp_path / "song.flac"
    count = 40
    total = 30_000 if variable else 40_000
    whole = flac_stream(count, total, variable=variable)
    for stated, tail, short in (
        (total, b"", False),
        (total, ID3V1, False),
        (total, bytes(9000), False),
        (0, b"", False),
        (0, b"\xff\xf8\x74", False),
        (total + 5000, b"", False),  # the header is wrong: the audio ends with a whole frame
        (total + 5000, whole[42:50], True),
        (total + 5000, whole[42:50] + ID3V1, True),
    ):
        path.write_bytes(flac_stream(count, stated, variable=variable) + tail)
        assert bool(missing_data(path)) == short, (stated, tail)
    path.write_bytes(whole[:-3])  # within the last frame
    assert missing_data(path)
    assert f"of the {total:,} samples" in (missing_data(path) or "")


def test_flac_cut_off_in_its_metadata(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.flac", 1.0)
    tag(path, ["Jazz"], cover=picture(90_000))
    content = path.read_bytes()
    for keep in (20, 42, 3000, 60_000):
        path.write_bytes(content[:keep])
        assert missing_data(path)


def test_a_stream_that_an_editor_cut_at_a_frame_is_whole(tmp_path: Path) -> None:
    """The headers still state the length of the original."""
    flac = make_sound(tmp_path / "song.flac", 3.0)
    mp3 = make_sound(tmp_path / "song.mp3", 3.0)
    for path in (flac, mp3):
        content = path.read_bytes()
        with av.open(str(path)) as container:
            starts = [packet.pos for packet in container.demux(audio=0) if packet.size]
        for start in starts[4:-3:7]:
            assert start > 0
            path.write_bytes(content[:start])
            assert missing_data(path) is None
            path.write_bytes(content[: start + 60])
            assert missing_data(path)


def test_vbri_and_fields_that_are_not_there(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.mp3", 3.0)
    content = path.read_bytes()
    at = next(content.index(mark) for mark in (b"Xing", b"Info") if mark in content)
    length = struct.unpack_from(">I", content, at + 12)[0]
    vbri = b"VBRI" + struct.pack(">HHHII", 1, 0, 50, length, 100)
    fraunhofer = content[:at] + vbri + content[at + len(vbri) :]
    no_bytes = content[: at + 4] + struct.pack(">I", 1) + content[at + 8 :]
    unknown = content[: at + 12] + b"\xff\xff\xff\xff" + content[at + 16 :]
    for whole, stated in ((content, True), (fraunhofer, True), (no_bytes, False), (unknown, False)):
        path.write_bytes(whole)
        assert missing_data(path) is None
        path.write_bytes(whole[: len(whole) // 2])
        assert bool(missing_data(path)) == stated


def test_wavpack_of_many_channels_needs_the_blocks_of_all(tmp_path: Path) -> None:
    path = tmp_path / "song.wv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("wavpack", rate=8000, layout="5.1")
        stream.codec_context.format = "s16p"
        for number in range(8):
            frame = av.AudioFrame(format="s16p", layout="5.1", samples=4000)
            for plane in frame.planes:
                plane.update(picture(plane.buffer_size, number))
            frame.sample_rate, frame.pts = 8000, number * 4000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    assert missing_data(path) is None
    last = content.rindex(b"wvpk")
    assert content.count(b"wvpk") > 8
    path.write_bytes(content[:last])
    assert missing_data(path)


# Anything else


def test_files_with_wrong_numbers_do_not_fail(tmp_path: Path) -> None:
    make(tmp_path, lying())
    reasons = {path.name: missing_data(path) for path in tmp_path.iterdir()}
    assert reasons["tta samples.tta"]
    for name in (
        "flac total.flac",
        "flac no total.flac",
        "xing bytes.mp3",
        "xing frames.mp3",
        "wav data.wav",
    ):
        assert reasons[name] is None


MAGICS = (
    *(b"\0\0\0\x08ftyp\0\0\0\x09mdat", b"\0\0\0\x08ftyp\0\0\0\x20sidx\0\0\0\1", b"RIFF\xff\0\0\0WAVEdata"),
    *(
        b"RF64\0\0\0\0WAVEds64",
        b"FORM\0\0\0\0AIFFSSND",
        b"FRM8\0\0\0\0\0\0\0\0DSD PROP",
        b"DSD \x1c\0\0\0\0\0\0\0",
    ),
    *(
        b"fLaC\0\0\0\x22",
        b"fLaC\x80\0\0\x22",
        b"TTA1",
        b"wvpk",
        b"MAC \x96\x0f",
        b".snd",
        b"\xff\xfb\x90\0",
        b"",
    ),
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_garbage_does_not_fail(tmp_path_factory: pytest.TempPathFactory, magic: bytes, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage"
    path.write_bytes(magic + rest)
    assert missing_data(path) is None or "\n" not in str(missing_data(path))


@pytest.mark.parametrize("suffix", ALL)
def test_a_file_cut_off_anywhere_does_not_fail(tmp_path: Path, suffix: str) -> None:
    whole = any_sound(tmp_path / f"song{suffix}").read_bytes()
    path = tmp_path / "cut"
    for length in (*range(0, min(len(whole), 600), 5), len(whole) - 1):
        path.write_bytes(whole[:length])
        missing_data(path)


def test_nothing_but_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DecodeError):
        missing_data(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        missing_data(tmp_path / "nothing")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".m4a", ".wv"])
def test_little_of_a_large_file_is_read(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    with path.open("r+b") as file:
        file.truncate(1 << 30)
    tracemalloc.start()
    try:
        assert missing_data(path) is None
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_real_clips_are_whole(shared_data: Path) -> None:
    for path in sorted((shared_data / "gtzan" / "genres").rglob("*.mp3"))[:40]:
        assert missing_data(path) is None
