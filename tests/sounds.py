"""Small synthetic music in every format that can be encoded here, and fixtures for those that cannot."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile

FIXTURES = Path(__file__).resolve().parent / "fixtures"

DSD_RATE = 2_822_400  # 64 x 44.1 kHz, the rate of a "DSD64" file
DSD_BLOCK = 4096  # bytes per channel and block, fixed by the DSF specification


class Encoding(NamedTuple):
    """How PyAV makes one format; `rates` is empty where the codec takes any rate."""

    container: str
    codec: str
    sample_format: str
    rates: tuple[int, ...] = ()
    bit_rate: int | None = None


MPEG_RATES = (16000, 22050, 24000, 32000, 44100, 48000)
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
ENCODINGS = {
    ".mp3": Encoding("mp3", "libmp3lame", "s16p", MPEG_RATES, 96_000),
    ".flac": Encoding("flac", "flac", "s16"),
    ".opus": Encoding("opus", "libopus", "s16", OPUS_RATES, 64_000),
    ".oga": Encoding("ogg", "flac", "s16"),
    ".m4a": Encoding("ipod", "aac", "fltp", MPEG_RATES, 96_000),
    ".alac.m4a": Encoding("ipod", "alac", "s16p"),
    ".mp4": Encoding("mp4", "aac", "fltp", MPEG_RATES, 96_000),
    ".aac": Encoding("adts", "aac", "fltp", MPEG_RATES, 96_000),
    ".wma": Encoding("asf", "wmav2", "fltp", (22050, 32000, 44100), 96_000),
    ".wv": Encoding("wv", "wavpack", "s16p"),
    ".tta": Encoding("tta", "tta", "s16"),
    ".aiff": Encoding("aiff", "pcm_s16be", "s16"),
    ".wav": Encoding("wav", "pcm_s16le", "s16"),
    ".au": Encoding("au", "pcm_s16be", "s16"),
}

# What make_sound makes (".ogg" by libvorbis, ".dsf" by hand) and what exists only as a recorded fixture of
# about two seconds; fixtures/README.md says how those were made.
FORMATS: tuple[str, ...] = (*ENCODINGS, ".ogg", ".dsf")
RECORDED: tuple[str, ...] = tuple(
    sorted(path.name.removeprefix("two_seconds") for path in FIXTURES.glob("two_seconds.*"))
)


def suffix_of(path: Path) -> str:
    """The format of a file name: its suffix, with `.alac.m4a` as one."""
    return ".alac.m4a" if path.name.lower().endswith(".alac.m4a") else path.suffix.lower()


def make_sound(
    path: Path,
    seconds: float = 4.0,
    *,
    rate: int = 44100,
    channels: int = 2,
    seed: int = 0,
    level: float = 0.3,
) -> Path:
    """Write a synthetic piece of music in the format of the suffix and return `path`.

    `level` is the peak; 0 gives digital silence. A codec that does not take `rate` gets the next one that it
    takes. The same arguments give the same audio, encoded once per process.
    """
    path.write_bytes(encoded(suffix_of(path), seconds, rate, channels, seed, level))
    return path


def any_sound(path: Path) -> Path:
    """A sound in any of FORMATS or RECORDED; a recorded one has its own length and rate."""
    suffix = suffix_of(path)
    if suffix in RECORDED:
        path.write_bytes((FIXTURES / f"two_seconds{suffix}").read_bytes())
        return path
    return make_sound(path, 2.0)


def signal(seconds: float, rate: int, channels: int, seed: int, level: float) -> np.ndarray:
    """Four chords with a beat and some noise: float32 (samples, channels), peak `level`."""
    random = np.random.default_rng(seed)
    count = round(seconds * rate)
    time = np.arange(count) / rate
    root = 110.0 * 2 ** (random.integers(0, 12) / 12)
    chord = (time // 1.0).astype(int) % 4
    wave = np.zeros((count, channels))
    for ratio in (1.0, 5 / 4, 3 / 2, 2.0, 3.0):
        # A chord change moves the pitch, so the phase is summed to stay free of clicks.
        pitch = root * ratio * np.array([1.0, 4 / 3, 3 / 2, 9 / 8])[chord]
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        for channel in range(channels):
            wave[:, channel] += np.sin(phase + 0.3 * channel) / ratio
    beat = np.exp(-8.0 * (time % 0.5))
    wave += beat[:, None] * random.normal(0.0, 0.5, (count, channels))
    peak = float(np.abs(wave).max()) if count else 0.0
    return (wave * (level / peak if peak else 0.0)).astype(np.float32)


@lru_cache(maxsize=64)
def encoded(suffix: str, seconds: float, rate: int, channels: int, seed: int, level: float) -> bytes:
    """The bytes of one sound file; see make_sound."""
    if suffix == ".ogg":
        return _vorbis(signal(seconds, rate, channels, seed, level), rate)
    if suffix == ".dsf":
        return _dsf(signal(seconds, rate, channels, seed, level), rate)
    encoding = ENCODINGS[suffix]
    if encoding.rates and rate not in encoding.rates:
        rate = min((r for r in encoding.rates if r >= rate), default=encoding.rates[-1])
    return _with_av(encoding, signal(seconds, rate, channels, seed, level), rate)


def encode(suffix: str, wave: np.ndarray, rate: int, bit_rate: int | None = None) -> bytes:
    """Encode samples (samples, channels) by PyAV, at a rate that the codec takes."""
    encoding = ENCODINGS[suffix]
    return _with_av(encoding._replace(bit_rate=bit_rate or encoding.bit_rate), wave, rate)


def _with_av(encoding: Encoding, wave: np.ndarray, rate: int) -> bytes:
    layout = {1: "mono", 2: "stereo"}[wave.shape[1]]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=encoding.container) as container:
        stream = container.add_stream(encoding.codec, rate=rate, layout=layout)
        stream.codec_context.format = encoding.sample_format
        if encoding.bit_rate:
            stream.bit_rate = encoding.bit_rate
        samples = np.clip(np.rint(wave * 32767), -32768, 32767).astype(np.int16)
        resampler = av.AudioResampler(format=encoding.sample_format, layout=layout, rate=rate)
        for start in range(0, len(samples), rate):
            block = np.ascontiguousarray(samples[start : start + rate].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _vorbis(wave: np.ndarray, rate: int) -> bytes:
    """By libvorbis through soundfile: ffmpeg's own Vorbis encoder is experimental and knows stereo only."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, wave.shape[1], format="OGG", subtype="VORBIS") as out:
        # libsndfile's Vorbis encoder overflows its stack when it is handed a long signal at once.
        for start in range(0, len(wave), 4096):
            out.write(wave[start : start + 4096])
    return buffer.getvalue()


def _dsf(wave: np.ndarray, rate: int) -> bytes:
    """A DSD64 file by hand (Sony, "DSF File Format Specification" 1.01): DSD, fmt and data chunks, no tag.

    The one-bit stream is first-order sigma-delta: a bit is set where the running sum of the signal passes a
    whole number.
    """
    count = round(len(wave) / rate * DSD_RATE)
    at = np.arange(count) * (rate / DSD_RATE)
    channels = []
    for column in wave.T:
        total = np.cumsum((np.interp(at, np.arange(len(column)), column).astype(np.float64) + 1) / 2)
        packed = np.packbits(np.diff(np.floor(total), prepend=0.0).astype(bool), bitorder="little").tobytes()
        channels.append(packed + bytes(-len(packed) % DSD_BLOCK))
    blocks = range(0, len(channels[0]), DSD_BLOCK)
    data = b"".join(channel[start : start + DSD_BLOCK] for start in blocks for channel in channels)
    # Chunk size, version 1, format 0 (raw DSD), channel type, channels, rate, bits, samples, block, reserved.
    fmt = struct.pack(
        "<4sQIIIIIIQII", b"fmt ", 52, 1, 0, len(channels), len(channels), DSD_RATE, 1, count, DSD_BLOCK, 0
    )
    head = struct.pack("<4sQQQ", b"DSD ", 28, 28 + len(fmt) + 12 + len(data), 0)
    return head + fmt + struct.pack("<4sQ", b"data", 12 + len(data)) + data
