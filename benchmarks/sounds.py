"""Real and made sounds, and the encoders that turn them into files of every kind."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from genretag.audio._pyav import open_input

RATE = 44_100
"""Sample rate in Hz of every excerpt before it is encoded."""

Samples = npt.NDArray[np.int16]

# FFmpeg's FF_QP2LAMBDA: what `-q:a 1` multiplies by to fill global_quality.
_LAMBDA = 118


@dataclass(frozen=True)
class Encoding:
    """One kind of file: container, codec and settings, in FFmpeg's names."""

    suffix: str
    container: str
    codec: str
    sample_format: str
    rate: int = RATE
    layout: str = "stereo"
    bit_rate: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    muxer: Mapping[str, str] = field(default_factory=dict)


_NO_ID3 = {"id3v2_version": "0"}


def _mp3(
    layout: str = "stereo", rate: int = RATE, bit_rate: int | None = None, *, xing: bool = True
) -> Encoding:
    options = {} if bit_rate else {"flags": "+qscale", "global_quality": str(4 * _LAMBDA)}
    muxer = _NO_ID3 | {"write_xing": str(int(xing))}
    return Encoding(".mp3", "mp3", "libmp3lame", "s16p", rate, layout, bit_rate, options, muxer)


ENCODINGS: Mapping[str, Encoding] = {
    "mp3-cbr": _mp3(bit_rate=192_000),
    "mp3-vbr": _mp3(),
    "mp3-noxing": _mp3(xing=False),
    "mp3-mono": _mp3("mono", 22_050, 64_000),
    "flac": Encoding(".flac", "flac", "flac", "s16"),
    "flac-24": Encoding(".flac", "flac", "flac", "s32", 48_000),
    "oga": Encoding(".oga", "ogg", "flac", "s16"),
    "ogg": Encoding(".ogg", "ogg", "vorbis", "fltp", bit_rate=128_000, options={"strict": "experimental"}),
    "opus": Encoding(".opus", "opus", "libopus", "s16", 48_000, bit_rate=96_000),
    "opus-low": Encoding(".opus", "ogg", "libopus", "s16", 48_000, bit_rate=32_000),
    "m4a-aac": Encoding(".m4a", "ipod", "aac", "fltp", bit_rate=128_000, muxer={"movflags": "+faststart"}),
    "m4a-alac": Encoding(".m4a", "ipod", "alac", "s16p"),
    "wma": Encoding(".wma", "asf", "wmav2", "fltp", bit_rate=128_000),
    "wv": Encoding(".wv", "wv", "wavpack", "s16p"),
    "tta": Encoding(".tta", "tta", "tta", "s16"),
    "aiff": Encoding(".aiff", "aiff", "pcm_s16be", "s16"),
    "wav": Encoding(".wav", "wav", "pcm_s16le", "s16"),
    "au": Encoding(".au", "au", "pcm_s16be", "s16"),
    "aac": Encoding(".aac", "adts", "aac", "fltp", bit_rate=96_000),
}


def duration(path: Path) -> float | None:
    """Seconds that the file claims; None when PyAV cannot open it or it holds no sound."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio or container.duration is None:
                return None
            return float(container.duration / av.time_base)
    except av.FFmpegError:
        return None


def excerpt(path: Path, start: float, seconds: float) -> Samples:
    """Decode `seconds` of a file from `start`: (samples, 2) at RATE; shorter where the file ends."""
    resampler = av.AudioResampler(format="s16", layout="stereo", rate=RATE)
    wanted = round(seconds * RATE)
    blocks: list[Samples] = []
    held = 0
    with open_input(str(path)) as container:
        if start > 0:
            container.seek(round(start * av.time_base))
        for frame in container.decode(audio=0):
            for block in resampler.resample(frame):
                blocks.append(block.to_ndarray().reshape(-1, 2))
                held += len(blocks[-1])
            if held >= wanted:
                break
    return np.concatenate(blocks)[:wanted] if blocks else np.zeros((0, 2), np.int16)


def tune(seed: int, seconds: float) -> Samples:
    """A made sound, different for every seed: decaying notes with overtones and some noise, (samples, 2)."""
    rng = np.random.default_rng(seed)
    length = round(seconds * RATE)
    time = np.arange(length) / RATE
    sound = rng.normal(0, 0.01, (length, 2))
    for beat in np.arange(0, seconds, 0.25):
        first = round(beat * RATE)
        pitch = 110 * 2 ** (rng.integers(0, 36) / 12)
        note = np.exp(-5 * time[: length - first])
        wave = sum(np.sin(2 * np.pi * pitch * k * time[: length - first]) / k for k in (1, 2, 3))
        sound[first:] += 0.1 * (note * wave)[:, None] * rng.uniform(0.5, 1, 2)
    return np.asarray(np.clip(sound, -1, 1) * 32_767, np.int16)


def encode(samples: Samples, path: Path, kind: str, metadata: Mapping[str, str] | None = None) -> None:
    """Write (samples, 2) at RATE as one of the ENCODINGS, "dsf" or "spx"; `path` must be plain UTF-8."""
    if kind == "dsf":
        _write_dsf(samples, path)
    elif kind == "spx":
        _write_speex(samples, path)
    else:
        _encode(samples, path, ENCODINGS[kind], metadata or {})


def suffix(kind: str) -> str:
    """File name suffix of a kind, dot included."""
    return ENCODINGS[kind].suffix if kind in ENCODINGS else f".{kind}"


def has_speex() -> bool:
    """Whether an `ffmpeg` program with the Speex encoder is installed (PyAV brings none)."""
    program = shutil.which("ffmpeg")
    if program is None:
        return False
    command = [program, "-hide_banner", "-h", "encoder=libspeex"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return "Encoder libspeex" in answer.stdout


def _encode(samples: Samples, path: Path, encoding: Encoding, metadata: Mapping[str, str]) -> None:
    with av.open(str(path), "w", format=encoding.container, options=dict(encoding.muxer)) as container:
        container.metadata.update(metadata)
        stream = container.add_stream(
            encoding.codec,
            rate=encoding.rate,
            layout=encoding.layout,
            format=encoding.sample_format,
            options=dict(encoding.options),
        )
        if encoding.bit_rate:
            stream.bit_rate = encoding.bit_rate
        stream.codec_context.open()
        resampler = av.AudioResampler(
            encoding.sample_format, encoding.layout, encoding.rate, stream.codec_context.frame_size or 4096
        )
        for frame in [*_frames(samples), None]:
            for block in resampler.resample(frame):
                container.mux(stream.encode(block))
        container.mux(stream.encode(None))


def _frames(samples: Samples) -> Iterator[av.AudioFrame]:
    for first in range(0, len(samples), RATE):
        block = np.ascontiguousarray(samples[first : first + RATE]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="stereo")
        frame.sample_rate = RATE
        frame.pts = first
        yield frame


def _write_speex(samples: Samples, path: Path) -> None:
    raw = ["-f", "s16le", "-ar", str(RATE), "-ac", "2", "-i", "pipe:0"]
    command = ["ffmpeg", "-v", "error", *raw, "-ar", "32000", "-c:a", "libspeex", "-f", "spx", str(path)]
    subprocess.run(command, input=samples.tobytes(), check=True, timeout=300)


def _write_dsf(samples: Samples, path: Path) -> None:
    """One-bit sound at 64 x 44.1 kHz, mono, by first-order noise shaping.

    Layout: Sony, "DSF File Format Specification" 1.01.
    """
    mono = samples.mean(axis=1) / 65_536 + 0.5  # 0..1, the share of set bits
    bits = []
    carry = 0.0
    for first in range(0, len(mono), RATE):
        level = carry + np.cumsum(np.repeat(mono[first : first + RATE], 64))
        bits.append(np.diff(np.floor(level), prepend=np.floor(carry)).astype(np.uint8))
        carry = level[-1] - np.floor(level[-1])
    count = 64 * len(mono)
    data = np.packbits(np.concatenate(bits), bitorder="little").tobytes()
    data += bytes([0x69]) * (-len(data) % 4096)  # 0x69: the pattern of silence
    size = 28 + 52 + 12 + len(data)
    with path.open("wb") as file:
        file.write(struct.pack("<4sQQQ", b"DSD ", 28, size, 0))
        file.write(struct.pack("<4sQIIIIIIQII", b"fmt ", 52, 1, 0, 1, 1, 64 * RATE, 1, count, 4096, 0))
        file.write(struct.pack("<4sQ", b"data", 12 + len(data)) + data)
