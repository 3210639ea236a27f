"""Real files of every kind, whole and broken, to windows."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from genretag.audio.audiofile import AudioFile, DecodedState
from genretag.audio.decode import Chunk, DecodeResult, decode, decode_whole
from genretag.audio.features import FeatureSpec
from genretag.audio.payload import SAMPLE, identify
from genretag.audio.sources import AvSource, SourceError
from genretag.audio.windows import Coverage
from genretag.errors import DecodeError
from genretag.tagging import tags
from hostile_files import pictures, thin_flac
from sounds import FORMATS, RECORDED, any_sound, make_sound

HALF_SECONDS = FeatureSpec("waveform", 16000, 1, 1, frames=8000, step_frames=8000)
MUSICNN = FeatureSpec("musicnn-logmel", 16000, 512, 256, frames=187, step_frames=187, n_mels=96)

# Where a seek does not lead to the very same samples: AAC makes its noise up anew, WMA counts milliseconds.
LOOSE = {".m4a", ".mp4", ".aac", ".wma"}


def whole_signal(path: Path) -> np.ndarray:
    """The file in one pass, but for the last part of a second."""
    return decode_whole(path, HALF_SECONDS, "full")[0].waves.reshape(-1)


def write_tone(
    path: Path, *, rate: int, channels: int = 1, subtype: str = "PCM_16", seconds: float = 2
) -> None:
    """A 440 Hz tone whose amplitude is 0.1 times the channel's number."""
    time = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * 440 * time)[:, None] * (np.arange(channels) + 1) * 0.1
    soundfile.write(path, tone, rate, subtype=subtype, format="WAV" if path.suffix == ".wav" else None)


def mp3_frames(seconds: float, bit_rate: int, rate: int = 44100, frequency: float = 440) -> bytes:
    """MPEG frames without a Xing header, so that nothing tells the length of the stream."""
    tone = (
        np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate).astype(np.float32)[None] * 0.5
    )
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def bytes_read() -> int:
    """Of this process so far, from the page cache or not."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar:")).split()[1])


def frequency_of(signal: np.ndarray, rate: int = 16000) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(signal * np.hanning(len(signal))))) * rate / len(signal))


def failure(path: Path, coverage: str | int = "fast") -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode_whole(path, MUSICNN, coverage)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_sought_window_equals_the_cut_of_the_whole(tmp_path: Path, suffix: str) -> None:
    seconds = 5.0 if suffix == ".dsf" else 10.0
    path = make_sound(tmp_path / f"a{suffix}", seconds)
    whole = whole_signal(path)
    for coverage in (1, 2):
        windows, heard = decode_whole(path, HALF_SECONDS, coverage)
        assert heard.n_windows == len(windows.waves) == coverage
        assert heard.duration == pytest.approx(seconds, abs=0.3)
        for start, wave in zip(windows.starts, windows.waves, strict=True):
            place = round(start * 16000)
            if suffix in LOOSE:
                cuts = [whole[place + shift : place + shift + 8000] for shift in range(-24, 25)]
                assert max(np.corrcoef(cut, wave)[0, 1] for cut in cuts) > 0.99
            else:
                assert np.abs(whole[place : place + 8000] - wave).max() < 1e-4


@pytest.mark.parametrize("suffix", RECORDED)
def test_recorded_formats_decode(tmp_path: Path, suffix: str) -> None:
    windows, heard = decode_whole(any_sound(tmp_path / f"a{suffix}"), HALF_SECONDS, "full")
    assert heard.duration == pytest.approx(2.0, abs=0.2)
    assert np.abs(windows.waves).max() > 0.01


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44099, 48000, 96000, 192000])
def test_every_rate_keeps_pitch_level_and_place(tmp_path: Path, rate: int) -> None:
    write_tone(tmp_path / "a.wav", rate=rate, channels=3, seconds=8)
    windows, heard = decode_whole(tmp_path / "a.wav", HALF_SECONDS, 1)
    assert heard.duration == pytest.approx(8, abs=1e-3)
    start = round(windows.starts[0] * 16000)
    ideal = 0.2 * np.sin(2 * np.pi * 440 * (start + np.arange(8000)) / 16000)  # mean of 0.1, 0.2, 0.3
    assert windows.waves[0] == pytest.approx(ideal, abs=2e-4)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_every_sample_format_has_full_scale_one(tmp_path: Path, subtype: str, channels: int) -> None:
    write_tone(tmp_path / "a.wav", rate=16000, channels=channels, subtype=subtype)
    peak = np.abs(whole_signal(tmp_path / "a.wav")).max()
    assert peak == pytest.approx(0.1 * (channels + 1) / 2, abs=0.01)


def test_windows_carry_their_context_and_zeros_outside_the_track(tmp_path: Path) -> None:
    level = np.linspace(0.1, 0.6, 9 * 16000, dtype=np.float32)
    soundfile.write(tmp_path / "a.wav", level, 16000, subtype="FLOAT")
    windows, heard = decode_whole(tmp_path / "a.wav", MUSICNN, "full")
    padded = np.concatenate([np.zeros(256, np.float32), level, np.zeros(256, np.float32)])
    assert heard.n_windows == 3
    for number, wave in enumerate(windows.waves):
        start = number * 187 * 256
        assert np.array_equal(wave, padded[start : start + MUSICNN.window_samples])


def test_a_track_shorter_than_a_window_is_padded(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", rate=16000, seconds=1)
    for coverage in ("fast", "full", 3):
        windows, heard = decode_whole(tmp_path / "a.wav", MUSICNN, coverage)
        assert (heard.n_windows, heard.duration) == (1, 1.0)
        assert np.abs(windows.waves[0][256:16256]).max() == pytest.approx(0.1, abs=0.01)
        assert not windows.waves[0][16256:].any()


def test_full_coverage_comes_in_chunks(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", rate=22050, seconds=7.2)
    chunks: list[Chunk] = []
    beats: list[float] = []
    heard = decode(
        tmp_path / "a.wav",
        HALF_SECONDS,
        "full",
        chunks.append,
        chunk_windows=4,
        progress=lambda seconds: beats.append(seconds),
    )
    assert [len(chunk.waves) for chunk in chunks] == [4, 4, 4, 2]
    assert [chunk.first for chunk in chunks] == [0, 4, 8, 12]
    assert np.concatenate([chunk.starts for chunk in chunks]).tolist() == [k / 2 for k in range(14)]
    assert heard.n_windows == 14
    assert beats


def test_only_what_the_windows_need_is_decoded(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.mp3", 40)
    blocks: dict[object, int] = {"full": 0, 2: 0}

    def count(coverage: Coverage, seconds: float) -> None:
        blocks[coverage] += 1

    for coverage in blocks:
        decode(path, HALF_SECONDS, coverage, lambda chunk: None, progress=partial(count, coverage))
    assert blocks[2] < blocks["full"] / 5


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts what Linux says was read")
@pytest.mark.parametrize(("mode", "share"), [("CONSTANT", 0.4), ("VARIABLE", 1.1)])
def test_places_in_an_mp3_are_reckoned_where_that_is_exact(tmp_path: Path, mode: str, share: float) -> None:
    path, noise = tmp_path / "a.mp3", np.random.default_rng(0).uniform(-0.1, 0.1, 44100)
    loudness = np.repeat(np.linspace(0.01, 1, 120), 44100)
    soundfile.write(path, np.tile(noise, 120) * loudness, 44100, bitrate_mode=mode, compression_level=0.6)
    whole = whole_signal(path)
    before = bytes_read()
    windows, heard = decode_whole(path, HALF_SECONDS, 4)
    # Three samples are read for the identity.
    assert bytes_read() - before - 3 * SAMPLE < share * path.stat().st_size
    assert heard.n_windows == 4
    for start, wave in zip(windows.starts, windows.waves, strict=True):
        assert np.abs(whole[round(start * 16000) :][:8000] - wave).max() < 1e-4


@pytest.mark.parametrize("size", [1, 200, 417, 418, 10 * 418])
def test_rubbish_between_frames_leads_to_no_wrong_sound(tmp_path: Path, size: int) -> None:
    frames, path = mp3_frames(40, 128_000), tmp_path / "a.mp3"
    place = len(frames) // 3
    path.write_bytes(frames[:place] + b"\0" * size + frames[place:])
    windows, _ = decode_whole(path, HALF_SECONDS, 4)
    assert [frequency_of(wave) for wave in windows.waves] == pytest.approx([440] * 4, abs=2)


def test_as_many_windows_as_full_has_are_those_of_full(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.mp3", 6)
    full, heard = decode_whole(path, HALF_SECONDS, "full")
    for coverage in (heard.n_windows, 10**6):  # of a million windows none is held back
        same, again = decode_whole(path, HALF_SECONDS, coverage)
        assert again == heard
        assert np.array_equal(full.waves, same.waves)


def test_a_truncated_file_gives_what_is_there(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.mp3", 20)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    windows, heard = decode_whole(path, HALF_SECONDS, 4)
    assert heard.duration == pytest.approx(10, abs=0.5)
    assert heard.n_windows == 4
    assert windows.starts[-1] + 0.5 <= heard.duration
    assert (np.abs(windows.waves).max(axis=1) > 0.05).all()


@pytest.mark.parametrize("bit_rates", [(32_000, 192_000), (192_000, 32_000)])
def test_a_stream_whose_length_is_a_wrong_guess(tmp_path: Path, bit_rates: tuple[int, int]) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(b"".join(mp3_frames(8, bit_rate) for bit_rate in bit_rates))
    windows, heard = decode_whole(path, HALF_SECONDS, 4)
    assert heard.n_windows == 4
    assert heard.duration < 16.5
    assert [frequency_of(wave) for wave in windows.waves] == pytest.approx([440] * 4, abs=2)
    assert decode_whole(path, HALF_SECONDS, "full")[1].duration == pytest.approx(16, abs=0.2)


def test_windows_of_a_measured_track_are_as_many_as_asked_for(tmp_path: Path) -> None:
    # The context of the last of seven windows reaches beyond the end; the last of full coverage is earlier.
    spec = FeatureSpec("logmel", 16000, 4096, 256, frames=63, step_frames=63, n_mels=64)
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3_frames(5, 192_000) + mp3_frames(3.2, 32_000))
    for coverage in (6, 7, 8):
        windows, heard = decode_whole(path, spec, coverage)
        assert heard.duration == pytest.approx(8.2, abs=0.2)
        assert heard.n_windows == len(windows.waves) == coverage


def test_a_rate_that_changes_in_mid_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3_frames(4, 96_000) + mp3_frames(4, 64_000, rate=22050, frequency=1000))
    whole = whole_signal(path)
    assert len(whole) == pytest.approx(8 * 16000, abs=0.6 * 16000)
    assert frequency_of(whole[16000:48000]) == pytest.approx(440, abs=2)
    assert frequency_of(whole[80000:112000]) == pytest.approx(1000, abs=2)


def test_sound_is_found_beside_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as container:
        video = container.add_stream("mpeg4", rate=5, width=32, height=32, pix_fmt="yuv420p")
        audio = container.add_stream("flac", rate=16000, layout="mono")
        for number in range(20):
            picture = av.VideoFrame.from_ndarray(np.full((48, 32), number, np.uint8), format="yuv420p")
            container.mux(video.encode(picture))
        tone = (np.sin(2 * np.pi * 440 * np.arange(64000) / 16000) * 16000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
        container.mux(audio.encode(frame))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    windows, heard = decode_whole(path, HALF_SECONDS, 2)
    assert heard.duration == pytest.approx(4, abs=0.1)
    assert frequency_of(windows.waves[0]) == pytest.approx(440, abs=2)


def test_samples_that_are_no_numbers_become_silence(tmp_path: Path) -> None:
    tone = np.sin(np.arange(32000) / 10).astype(np.float32)
    tone[5000:5100] = np.nan
    tone[9000], tone[9001], tone[9002] = np.inf, -np.inf, 1e30
    soundfile.write(tmp_path / "a.wav", tone, 16000, subtype="FLOAT")
    whole = whole_signal(tmp_path / "a.wav")
    assert np.isfinite(whole).all()
    assert not whole[5000:5100].any()
    assert np.abs(whole).max() <= 8


def test_text_tags_in_no_known_encoding_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_tone(path, rate=16000)
    title = b"LIST" + struct.pack("<I", 16) + b"INFOINAM" + struct.pack("<I", 4) + b"\xe9\xff\xfe\0"
    riff = path.read_bytes() + title
    path.write_bytes(riff[:4] + struct.pack("<I", len(riff) - 8) + riff[8:])
    AvSource(path).close()  # libsndfile would read it anyway
    assert decode_whole(path, HALF_SECONDS, "full")[1].n_windows == 4


@pytest.mark.parametrize(
    "name", [b"line\nbreak.wav", b"caf\xe9.wav", b"concat:a.wav|b.wav", b"a%03d.wav", b"http:x.wav"]
)
def test_any_file_name_is_only_a_name(tmp_path: Path, name: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    write_tone(tmp_path / "plain.wav", rate=16000)
    (tmp_path / "plain.wav").rename(path)
    AvSource(path).close()  # libsndfile would read it anyway
    assert decode_whole(path, HALF_SECONDS, "full")[1].n_windows == 4
    path.write_bytes(b"nothing that is sound")
    assert failure(path).code == "not-audio"


def test_what_ffmpeg_cannot_open_is_tried_again(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", rate=44100, seconds=4)
    samples, rate = soundfile.read(tmp_path / "a.wav")
    path = tmp_path / "a.mat"
    soundfile.write(
        path, samples, rate, format="MAT5", subtype="PCM_16"
    )  # only libsndfile takes it for sound
    with pytest.raises(SourceError):
        AvSource(path)
    whole = whole_signal(path)
    assert np.array_equal(whole, whole_signal(tmp_path / "a.wav"))
    windows, heard = decode_whole(path, HALF_SECONDS, 1)
    start = round(windows.starts[0] * 16000)
    assert (heard.duration, heard.n_windows) == (4, 1)
    assert windows.waves[0] == pytest.approx(whole[start : start + 8000], abs=1e-5)


@pytest.mark.parametrize("coverage", ["fast", "full"])
def test_silence_is_no_music(tmp_path: Path, coverage: str) -> None:
    assert failure(make_sound(tmp_path / "a.flac", 5, level=0), coverage).code == "silent"


@pytest.mark.parametrize("coverage", ["fast", "full"])
def test_a_moment_of_sound_is_too_short(tmp_path: Path, coverage: str) -> None:
    write_tone(tmp_path / "a.wav", rate=16000, seconds=0.4)
    assert failure(tmp_path / "a.wav", coverage).code == "too-short"
    write_tone(tmp_path / "a.wav", rate=16000, seconds=0)
    assert failure(tmp_path / "a.wav", coverage).code in ("too-short", "decode-failed")


def test_what_is_not_sound(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(b"")
    assert failure(path).code == "empty"
    for content in (
        b"just some text\n" * 300,
        bytes(5000),
        b"#EXTM3U\nhttp://127.0.0.1:9/a.mp3\n",
        os.urandom(3),
    ):
        path.write_bytes(content)
        assert failure(path).code == "not-audio"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    assert failure(tmp_path / "none.mp3").code == "missing"
    assert failure(tmp_path).code == "unreadable"
    os.mkfifo(tmp_path / "pipe.mp3")
    assert failure(tmp_path / "pipe.mp3").code == "unreadable"
    assert failure(Path("/dev/zero")).code == "unreadable"
    write_tone(tmp_path / "a.wav", rate=16000)
    assert failure(tmp_path / "a.wav" / "b.wav").code == "missing"
    assert failure(tmp_path / ("x" * 300)).code == "unreadable"
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    assert failure(tmp_path / "loop.wav").code == "unreadable"


def test_what_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    write_tone(path, rate=16000)
    path.chmod(0)
    if os.geteuid() == 0:
        # Nothing is forbidden to root: try as somebody else, in a folder that they may enter.
        script = (
            "import os, sys; from pathlib import Path; from genretag.audio.audiofile import open_audio\n"
            "from genretag.errors import DecodeError\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "try: open_audio(Path(sys.argv[1])).__enter__()\n"
            "except DecodeError as error: print(error.code)"
        )
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
        answer = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True)
        assert answer.stdout == "unreadable\n", answer.stderr
    else:
        assert failure(path).code == "unreadable"


@pytest.mark.parametrize(("offset", "value"), [(22, 0), (24, 0), (24, 1), (24, 2**32 - 1), (34, 0), (34, 77)])
def test_nonsense_in_a_header(tmp_path: Path, offset: int, value: int) -> None:
    path = tmp_path / "a.wav"
    write_tone(path, rate=16000)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I" if offset == 24 else "<H", content, offset, value)
    path.write_bytes(content)
    assert failure(path).code in ("decode-failed", "not-audio", "too-short")


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wma", ".wv", ".dsf"])
def test_damage_ends_in_windows_or_in_one_line(tmp_path: Path, suffix: str) -> None:
    random = np.random.default_rng(7)
    content = np.frombuffer(any_sound(tmp_path / f"a{suffix}").read_bytes(), np.uint8)
    path = tmp_path / f"b{suffix}"
    lines: list[str] = []
    for strokes in (1, 3, 10, 30, 100, 300) * 3:
        damaged = content.copy()
        damaged[random.integers(0, len(damaged), strokes)] = random.integers(0, 256, strokes)
        path.write_bytes(damaged[: random.integers(len(damaged) // 2, len(damaged))].tobytes())
        try:
            windows, _ = decode_whole(path, HALF_SECONDS, "fast")
        except DecodeError as error:
            lines.append(str(error))
        else:
            assert np.isfinite(windows.waves).all()
    assert not any("\n" in line for line in lines)


def test_decoding_needs_neither_torch_nor_librosa() -> None:
    script = "import sys, genretag.audio.decode; print({'torch', 'librosa', 'soundfile'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"


def test_what_few_bytes_can_hold_bounds_what_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    for hours, most in ((1 / 12, 310), (1, 750), (8, 1650)):
        path.write_bytes(thin_flac(hours * 3600))
        heard: list[float] = []
        chunks: list[Chunk] = []
        end = decode(path, MUSICNN, "full", chunks.append, progress=heard.append)
        assert sum(heard) < most
        assert end.duration == pytest.approx(sum(heard), abs=0.1)
        assert sum(len(chunk.waves) for chunk in chunks) == end.n_windows
        if hours < 1:
            assert sum(heard) > hours * 3600


def test_a_length_that_cannot_be_is_no_reason_to_look_for_its_end(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.flac", 10)
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # STREAMINFO: the highest bits of the number of samples
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)
    windows, heard = decode_whole(path, HALF_SECONDS, 4)
    assert heard == DecodeResult(10.0, 4)
    assert windows.starts[-1] < 10


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_a_file_that_takes_too_much_memory_is_one_line(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from genretag.audio.decode import decode_whole; from genretag.audio.features import FeatureSpec\n"
        "from genretag.errors import DecodeError; from genretag.predict.heap import limit_memory\n"
        "spec = FeatureSpec('waveform', 16000, 1, 1, frames=8000, step_frames=8000)\n"
        "limit_memory(64 << 20)\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    try: print(decode_whole(path, spec, 'full')[1].n_windows)\n"
        "    except DecodeError as error: print(error.code)"
    )
    flac = make_sound(tmp_path / "a.flac", 2).read_bytes()
    pictures(flac, 6)(tmp_path / "b.flac")
    command = [sys.executable, "-c", script, tmp_path / "b.flac", tmp_path / "a.flac"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.stdout == "out-of-memory\n4\n", answer.stderr


def overwritten(path: Path, new: Path) -> None:
    path.write_bytes(new.read_bytes())


def overwritten_with_the_old_time(path: Path, new: Path) -> None:
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(new.read_bytes())
    os.utime(path, ns=times)


def appended(path: Path, new: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def removed(path: Path, new: Path) -> None:
    path.unlink()


def made_a_pipe(path: Path, new: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def renamed_over(path: Path, new: Path) -> None:
    os.replace(new, path)


def in_mid_decode(path: Path, meddle: Callable[[], object]) -> tuple[DecodeResult, AudioFile]:
    """Decode all of a file, with something done when the first block has been read."""
    opened: list[AudioFile] = []
    todo = [meddle]

    def progress(seconds: float) -> None:
        while todo:
            todo.pop()()

    heard = decode(path, HALF_SECONDS, "full", lambda chunk: None, progress=progress, opened=opened.append)
    return heard, opened[0]


@pytest.mark.parametrize(
    "meddle",
    [overwritten, overwritten_with_the_old_time, appended, removed, made_a_pipe, renamed_over],
)
def test_a_file_that_changes_while_it_is_decoded_gives_nothing(
    tmp_path: Path, meddle: Callable[[Path, Path], None]
) -> None:
    path, new = tmp_path / "a.wav", tmp_path / "b.wav"
    draw = np.random.default_rng(0)
    for one in (path, new):
        soundfile.write(one, draw.uniform(-0.5, 0.5, 30 * 44100), 44100)
    with pytest.raises(DecodeError) as caught:
        in_mid_decode(path, lambda: meddle(path, new))
    assert (caught.value.code, "\n" in str(caught.value)) == ("changed", False)


def test_a_file_that_keeps_its_recording_while_it_is_decoded_is_whole(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.flac", 20)
    whole, state = decode_whole(path, HALF_SECONDS, "full")[1], path.stat()
    copy = tmp_path / "copy.flac"
    copy.write_bytes(path.read_bytes())
    tags.write(copy, ("Polka",))
    for meddle in (
        lambda: path.chmod(0o600),
        lambda: os.link(path, tmp_path / "l"),
        lambda: copy.replace(path),
    ):
        heard, audio = in_mid_decode(path, meddle)
        assert heard == whole
        assert audio.state == DecodedState(state.st_size, state.st_mtime_ns, identify(path))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds the open file in /proc")
def test_a_file_that_can_be_read_no_further_is_not_taken_for_a_short_one(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.flac", 30)

    def cut_off() -> None:
        (descriptor,) = (int(link.name) for link in Path("/proc/self/fd").iterdir() if _leads_to(link, path))
        with path.open("ab") as unreadable:
            os.dup2(unreadable.fileno(), descriptor)

    with pytest.raises(DecodeError) as caught:
        in_mid_decode(path, cut_off)
    assert caught.value.code == "unreadable"


def _leads_to(link: Path, path: Path) -> bool:
    try:
        return os.readlink(link) == str(path)
    except OSError:  # the descriptor of the listing itself
        return False


SWAP = """
import os, sys
from pathlib import Path
from genretag.audio.decode import decode_whole
from genretag.audio.features import FeatureSpec
from genretag.audio.sources import AvSource, SoundfileSource, SourceError
from genretag.errors import DecodeError

path = sys.argv[1]
spec = FeatureSpec("waveform", 16000, 1, 1, frames=8000, step_frames=8000)

def swap(event, arguments):
    # Called before the system is: after every look at the file, and before it is opened.
    if event == "open" and os.fsdecode(arguments[0]) == path and os.path.isfile(path):
        os.rename(path, path + ".away")
        os.mkfifo(path)

sys.addaudithook(swap)
for use in (lambda one: decode_whole(one, spec, "fast"), AvSource, SoundfileSource):
    try:
        use(Path(path))
    except (DecodeError, SourceError) as error:
        print(type(error).__name__, "regular file" in str(error))
    os.replace(path + ".away", path)
"""


def test_a_pipe_that_takes_the_name_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.mp3", 2)
    answer = subprocess.run(
        [sys.executable, "-c", SWAP, path], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout == "DecodeError True\nSourceError True\nSourceError True\n"


def test_a_name_need_not_be_text(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.mp3", 2)
    odd = tmp_path / os.fsdecode(b"\xff\xfe:%d \n.mp3")
    path.rename(odd)
    assert decode_whole(odd, HALF_SECONDS, "full")[1].n_windows == 4
