"""The same music at another level, with another offset, in other channels or among silence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genretag.audio.decode import Chunk, DecodeResult, decode, decode_whole
from genretag.audio.extract import Extractor
from genretag.audio.features import FeatureSpec
from genretag.audio.loudness import remove_offset, track_power
from genretag.audio.sources import AvSource
from genretag.errors import DecodeError, FeatureError
from genretag.models.presets import PRESETS
from sounds import make_sound, signal

FRONT = PRESETS["probe"].features
PLAIN = replace(FRONT, level=None, version=1)
RATE = 16000
COVERAGES = ("fast", "full", 1, 5, 40)


@lru_cache
def music(seconds: float = 30.0, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Float (samples, channels), peak 0.3, with a loud and a quiet half."""
    wave = signal(seconds, RATE, channels, seed, 0.3)
    wave[len(wave) // 2 :] *= 0.5
    return wave


def write(path: Path, wave: np.ndarray, rate: int = RATE) -> Path:
    """Float samples, so that nothing clips and quiet sounds keep their detail."""
    soundfile.write(path, wave, rate, subtype="FLOAT", format="WAV")
    return path


def silence(seconds: float, channels: int = 1) -> np.ndarray:
    return np.zeros((round(seconds * RATE), channels), np.float32)


def features(path: Path, coverage: str | int = "fast") -> torch.Tensor:
    return Extractor(FRONT)(torch.from_numpy(decode_whole(path, FRONT, coverage)[0].waves))


def close(found: np.ndarray, wanted: np.ndarray, atol: float) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=atol)


def rms(wave: np.ndarray) -> float:
    return 10 * float(np.log10(np.square(wave.astype(np.float64)).mean()))


def windows_with_gain(path: Path, coverage: str | int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of the front end that count, and the same ones as they are decoded."""
    found = decode_whole(path, FRONT, coverage)[0]
    plain = decode_whole(path, PLAIN, coverage)[0]
    kept = np.isin(plain.starts, found.starts)
    assert np.array_equal(plain.starts[kept], found.starts)
    return found.waves, plain.waves[kept]


# One gain


@given(decibels=st.floats(-20, 20), seed=st.integers(0, 3))
@settings(max_examples=8, deadline=None)
def test_features_do_not_depend_on_the_level(
    decibels: float, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("level")
    wave = music(12.0, seed=seed)
    wanted = features(write(folder / "a.wav", wave))
    found = features(write(folder / "b.wav", wave * np.float32(10 ** (decibels / 20))))
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)


@pytest.mark.parametrize("level", [0.3, 0.02, 3.0])
def test_the_loud_parts_of_a_track_are_brought_to_the_level(tmp_path: Path, level: float) -> None:
    path = write(tmp_path / "a.wav", signal(30.0, RATE, 1, 0, level))
    assert rms(decode_whole(path, FRONT, "full")[0].waves) == pytest.approx(-20, abs=1.0)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg", ".m4a", ".opus"])
@pytest.mark.parametrize("seconds", [2.0, 30.0, 300.0])
def test_the_gain_is_one_for_all_windows_and_coverages(tmp_path: Path, suffix: str, seconds: float) -> None:
    if seconds > 100 and suffix not in (".flac", ".mp3"):
        pytest.skip("long files of two kinds are enough, one with and one without an index")
    path = make_sound(tmp_path / f"a{suffix}", seconds, rate=48000 if suffix == ".opus" else 22050)
    gains = []
    for coverage in COVERAGES if seconds < 100 else ("full", "fast", 3):
        found, plain = windows_with_gain(path, coverage)
        gains.extend((found * plain).sum(axis=1) / np.square(plain).sum(axis=1))
        if suffix != ".m4a":  # AAC makes up its noise anew at every decode
            assert np.abs(found - gains[0] * plain).max() < 1e-3
    assert np.array(gains) == pytest.approx(gains[0], rel=2e-3)


def test_the_gain_is_limited(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", music() * np.float32(3e-3))  # about -70 dB
    found, plain = windows_with_gain(path, "fast")
    close(found, 100 * plain, 1e-3)
    # Noise of one bit in 16 is not music.
    noise = np.random.default_rng(0).integers(-1, 2, 30 * RATE).astype(np.int16)
    soundfile.write(tmp_path / "b.wav", noise, RATE, subtype="PCM_16")
    with pytest.raises(DecodeError) as caught:
        decode_whole(tmp_path / "b.wav", FRONT, "fast")
    assert caught.value.code == "silent"


def test_short_loud_or_quiet_stretches_do_not_set_the_gain() -> None:
    block = np.ones(round(0.4 * RATE), np.float32)
    even = np.concatenate([0.1 * block] * 50)
    assert track_power([even], RATE) == pytest.approx(0.01, rel=1e-3)
    faded = np.concatenate([even, 0.01 * even, 0.0 * even])
    assert track_power([faded], RATE) == pytest.approx(0.01, rel=1e-3)
    assert track_power([0.0 * even], RATE) is None
    assert track_power([], RATE) is None


def test_version_1_takes_samples_as_they_are(tmp_path: Path) -> None:
    wave = music(20.0) + np.float32(0.05)
    path = write(tmp_path / "a.wav", np.concatenate([silence(20), wave]))
    found = decode_whole(path, PLAIN, "full")[0].waves
    lead, step = PLAIN.lead_samples, PLAIN.step_samples
    padded = np.concatenate([np.zeros(lead), silence(20)[:, 0], wave[:, 0]]).astype(np.float32)
    assert len(found) == 1 + (len(padded) + lead - PLAIN.window_samples) // step
    assert np.array_equal(found[3], padded[3 * step : 3 * step + PLAIN.window_samples])
    assert np.array_equal(found[-3], padded[(len(found) - 3) * step :][: PLAIN.window_samples])


# DC offset


@pytest.mark.parametrize("offset", [0.1, -0.4])
def test_an_offset_does_not_matter(tmp_path: Path, offset: float) -> None:
    wave = music()
    wanted = features(write(tmp_path / "a.wav", wave), "full")
    found = features(write(tmp_path / "b.wav", wave + np.float32(offset)), "full")
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)


def test_zeros_around_a_track_stay_zeros() -> None:
    wave = music()[:, 0] - music().mean()
    close(remove_offset(wave), wave, 1e-6)
    padded = np.concatenate([silence(0.5)[:, 0], wave + np.float32(0.2), silence(1)[:, 0]])
    found = remove_offset(padded)
    assert np.array_equal(found == 0.0, padded == 0.0)
    close(found[RATE // 2 : -RATE], wave, 1e-6)
    assert not remove_offset(silence(1)[:, 0]).any()


def test_a_constant_is_silence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", silence(30) + np.float32(0.3))
    with pytest.raises(DecodeError) as caught:
        decode_whole(path, FRONT, "fast")
    assert caught.value.code == "silent"


# Channels


def mixed(path: Path, spec: FeatureSpec, coverage: str | int = "fast") -> np.ndarray:
    return decode_whole(path, spec, coverage)[0].waves


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mat"])
@pytest.mark.parametrize("coverage", ["fast", "full", 3])
@pytest.mark.parametrize("spec", [FRONT, PLAIN], ids=["normalised", "plain"])
def test_channels_that_cancel_give_the_louder_one(
    tmp_path: Path, suffix: str, coverage: str | int, spec: FeatureSpec
) -> None:
    left, form = music(40.0)[:, 0], "MAT5" if suffix == ".mat" else None
    for name, channels in {
        "mono": [left],
        "inverted": [left, -left],
        "quieter": [-0.8 * left, left],
        "offset": [left + 0.2, -left + 0.2],
        "six": [left, -left, 0 * left, 0 * left, 0.1 * left, -0.1 * left],
    }.items():
        soundfile.write(
            tmp_path / f"{name}{suffix}", np.stack(channels, 1), RATE, subtype="PCM_16", format=form
        )
    wanted = mixed(tmp_path / f"mono{suffix}", spec, coverage)
    for name in ("inverted", "quieter", "six"):
        close(mixed(tmp_path / f"{name}{suffix}", spec, coverage), wanted, 1e-3)
    if spec is FRONT:
        close(mixed(tmp_path / f"offset{suffix}", spec, coverage), wanted, 1e-3)


@pytest.mark.parametrize("suffix", [".m4a", ".mp3", ".opus"])
def test_codec_noise_is_not_taken_for_the_music(tmp_path: Path, suffix: str) -> None:
    left = signal(30.0, 48000, 1, 0, 0.3)[:, 0]
    encode(tmp_path / f"mono{suffix}", np.stack([left, left], axis=1), suffix)
    encode(tmp_path / f"inverted{suffix}", np.stack([left, -left], axis=1), suffix)
    same, other = (mixed(tmp_path / f"{name}{suffix}", FRONT) for name in ("mono", "inverted"))
    assert all(np.corrcoef(a, b)[0, 1] > 0.98 for a, b in zip(same, other, strict=True))
    assert rms(other) == pytest.approx(rms(same), abs=0.3)


def encode(path: Path, wave: np.ndarray, suffix: str) -> None:
    """Stereo at 48 kHz through PyAV."""
    codec = {".m4a": "aac", ".mp3": "libmp3lame", ".opus": "libopus"}[suffix]
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=48000, layout="stereo", bit_rate=96_000)
        samples = np.ascontiguousarray(np.rint(wave * 32767).astype(np.int16).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48000, 0
        wanted = stream.codec_context
        wanted.open()
        resampler = av.AudioResampler(wanted.format, "stereo", 48000, wanted.frame_size or None)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


UNCHANGED: dict[str, Callable[[np.ndarray, np.ndarray], list[np.ndarray]]] = {
    "different channels": lambda a, b: [a, b],
    "one channel only": lambda a, b: [a, 0 * b],
    "wide": lambda a, b: [a, -0.5 * a + b],
    "one of eight": lambda a, b: [a, *[0 * b] * 7],
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_other_stereo_is_the_mean_of_its_channels(tmp_path: Path, name: str) -> None:
    channels = UNCHANGED[name](music(30.0, seed=1)[:, 0], music(30.0, seed=2)[:, 0])
    wave = np.stack(channels, axis=1).astype(np.float32)
    path = write(tmp_path / "a.wav", wave)
    mean = np.concatenate([block for _, block in AvSource(path).blocks()])
    padded = np.concatenate([np.zeros(PLAIN.lead_samples, np.float32), mean])
    close(mean, wave.mean(axis=1), 1e-6)
    assert np.array_equal(mixed(path, PLAIN, "full")[0], padded[: PLAIN.window_samples])


# Silence


@given(seconds=st.floats(0.1, 400))
@example(seconds=350.921875)  # the last window reaches 1 ms into the music
@settings(max_examples=6, deadline=None)
def test_silence_before_the_music_does_not_matter(
    seconds: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("silence") / "a.wav"
    write(path, np.concatenate([silence(seconds), music(), silence(seconds / 3)]))
    for coverage in ("fast", "full", 1, 12):
        found, heard = decode_whole(path, FRONT, coverage)
        assert heard.n_windows == len(found.waves) >= (4 if coverage != 1 else 1)
        assert (found.starts + FRONT.window_seconds > seconds).all()
        # A window that reaches into silence may be as quiet as 30 dB below the level of the track.
        assert all(-50.1 < rms(wave) < -15 for wave in found.waves)


@pytest.mark.parametrize("coverage", ["fast", 3])
@pytest.mark.parametrize(("before", "after"), [(20.0, 0.0), (0.0, 20.0), (70.0, 40.0)])
def test_windows_are_the_same_with_silence_around_the_music(
    tmp_path: Path, before: float, after: float, coverage: str | int
) -> None:
    wave = music(100.0)
    plain = decode_whole(write(tmp_path / "a.wav", wave), FRONT, coverage)[0]
    path = write(tmp_path / "b.wav", np.concatenate([silence(before), wave, silence(after)]))
    found = decode_whole(path, FRONT, coverage)[0]
    assert len(found.starts) == len(plain.starts)
    np.testing.assert_allclose(found.starts - before, plain.starts, atol=0.05)


@pytest.mark.parametrize("coverage", COVERAGES)
@pytest.mark.parametrize("spec", [FRONT, PLAIN], ids=["normalised", "plain"])
@pytest.mark.parametrize(("before", "sound", "after"), [(700.0, 4.0, 500.0), (1500.0, 0.8, 40.0)])
def test_a_track_with_music_anywhere_is_not_silent(
    tmp_path: Path, before: float, sound: float, after: float, spec: FeatureSpec, coverage: str | int
) -> None:
    path = tmp_path / "a.flac"
    wave = np.concatenate([silence(before), music(sound), silence(after)])
    soundfile.write(path, wave, RATE)
    found, heard = decode_whole(path, spec, coverage)
    assert heard.duration == pytest.approx(before + sound + after, abs=0.1)
    assert np.abs(found.waves).max() > 0.05


def test_the_hidden_track_is_found_by_probing(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.concatenate([music(28.0), silence(900), music(20.0, seed=1)]), RATE)
    decoded: list[float] = []
    chunks: list[Chunk] = []
    heard = decode(path, FRONT, "fast", chunks.append, progress=decoded.append)
    starts = np.concatenate([chunk.starts for chunk in chunks])
    assert heard.n_windows == len(starts) >= 6
    assert ((starts < 28) | (starts > 920)).all()
    assert (starts < 28).any()
    assert (starts > 920).any()
    assert sum(decoded) < 400
    again = decode_whole(path, FRONT, "fast")[0]
    assert np.array_equal(again.starts, starts)


def test_full_coverage_leaves_silence_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.concatenate([music(), silence(60), music(seed=1)]))
    found, heard = decode_whole(path, FRONT, "full")
    assert heard.duration == 120
    assert ((found.starts < 30) | (found.starts + FRONT.window_seconds > 90)).all()
    whole = decode_whole(path, PLAIN, "full")[0]
    assert len(found.starts) < len(whole.starts) - 50
    # The windows that are left are those of the whole track.
    assert np.isin(found.starts, whole.starts).all()


def test_quiet_passages_of_music_count(tmp_path: Path) -> None:
    wave = music().copy()
    wave[len(wave) // 2 :] *= 0.2  # 20 dB below the first half
    assert (
        decode_whole(write(tmp_path / "a.wav", wave), FRONT, "full")[0].waves.shape[0]
        == (decode_whole(tmp_path / "a.wav", PLAIN, "full")[0].waves.shape[0])
    )


# Cost


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
@pytest.mark.parametrize("coverage", ["fast", "full", "5"])
def test_memory_does_not_grow_with_the_length(tmp_path: Path, coverage: str) -> None:
    script = (
        "import sys; from pathlib import Path; from genretag.audio.decode import decode\n"
        "from genretag.audio.windows import parse_coverage\n"
        "from genretag.models.presets import PRESETS; from genretag.predict.heap import limit_memory\n"
        "limit_memory(96 << 20)\n"
        "spec, coverage = PRESETS['probe'].features, parse_coverage(sys.argv[2])\n"
        "print(decode(Path(sys.argv[1]), spec, coverage, lambda chunk: None).n_windows)"
    )
    path = tmp_path / "a.flac"  # 2 hours; half of them, 230 MB as float samples, silent
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as file:
        for number in range(120):
            file.write(music(60.0) if number % 2 else silence(60))
    command = [sys.executable, "-c", script, str(path), coverage]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) >= (1000 if coverage == "full" else 3)


def test_little_more_is_decoded_than_before(tmp_path: Path) -> None:
    def decoded(spec: FeatureSpec, coverage: str | int) -> float:
        seconds: list[float] = []
        decode(path, spec, coverage, lambda chunk: None, progress=seconds.append)
        return sum(seconds)

    path = make_sound(tmp_path / "a.mp3", 120.0, rate=16000)
    for coverage in ("fast", "full"):
        assert decoded(FRONT, coverage) == pytest.approx(decoded(PLAIN, coverage), rel=0.01)
    path = make_sound(tmp_path / "b.mp3", 300.0, rate=16000)
    assert decoded(FRONT, "fast") == pytest.approx(decoded(PLAIN, "fast"), rel=0.01)
    # The gain must be known before the first window of a file that does not fit into memory.
    assert decoded(FRONT, "full") < 1.2 * decoded(PLAIN, "full")


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(FeatureError, match="front end version 3 is unknown; update genretag"):
        replace(FRONT, version=3)
    with pytest.raises(FeatureError, match="needs a level"):
        replace(FRONT, level=None)


def test_the_end_of_a_truncated_file_is_noticed(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.mp3", 60, rate=22050)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for coverage in COVERAGES:
        found, heard = decode_whole(path, FRONT, coverage)
        assert isinstance(heard, DecodeResult)
        assert heard.duration == pytest.approx(30, abs=0.5)
        assert found.starts[-1] < 30
