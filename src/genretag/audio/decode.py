"""A sound file in, windows of mono samples out; of a long file only what its windows need is decoded.

Imports neither torch nor librosa: decode workers start in a moment and stay small.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genretag.audio.audiofile import AudioFile, one_line, open_audio
from genretag.audio.features import FeatureSpec
from genretag.audio.selection import SILENCE, Window, selected_windows
from genretag.audio.sources import AvSource, Samples, SoundfileSource, Source, SourceError
from genretag.audio.window_reader import SHORTEST, TooShortError, WindowReader
from genretag.audio.windows import Coverage
from genretag.errors import DecodeError

# What lies beyond is not heard, so that no file takes for ever: sound is seldom longer than a day, and no
# codec holds music in 50 bytes a second (Opus in its pauses: 100, the least that MP3 knows: 1,000).
LONGEST = 24 * 3600.0  # seconds
THINNEST = 50  # bytes of a file for a second of sound
ALWAYS_HEARD = 600.0  # seconds, of however few bytes


@dataclass(frozen=True)
class Chunk:
    """Consecutive windows of a track: `first` is the number of the first one, `starts` are in seconds.

    `waves`: float32 (windows, window_samples), mono, at the model's rate.
    """

    first: int
    starts: NDArray[np.float64]
    waves: Samples


@dataclass(frozen=True)
class DecodeResult:
    """What a decode found: length of the track in seconds and how many windows were cut from it."""

    duration: float
    n_windows: int


def decode(
    path: Path,
    spec: FeatureSpec,
    coverage: Coverage,
    sink: Callable[[Chunk], None],
    *,
    chunk_windows: int = 8,
    progress: Callable[[float], None] = lambda seconds: None,
    opened: Callable[[AudioFile], None] = lambda audio: None,
) -> DecodeResult:
    """Decode the windows of one file and pass them to `sink`, at most `chunk_windows` at a time.

    The windows are those that the front end of `spec` takes, see `selection`. Memory does not grow with the
    length of the file. `progress` is called for every block decoded, with its seconds of sound; `opened` with
    the open file, whose state is final at the end. DecodeError, in one line: `missing`, `unreadable`,
    `empty`, `not-audio`, `decode-failed`, `too-short`, `out-of-memory`, or, after the last chunk, `silent` or
    `changed`.
    """
    try:
        with open_audio(path) as audio:
            opened(audio)
            return _decoded(audio, spec, coverage, sink, chunk_windows, progress)
    except MemoryError:
        reason = "left out, decoding it takes more memory than one file may have"
        raise DecodeError(f"{one_line(path)}: {reason}", code="out-of-memory") from None


def _decoded(
    audio: AudioFile,
    spec: FeatureSpec,
    coverage: Coverage,
    sink: Callable[[Chunk], None],
    chunk_windows: int,
    progress: Callable[[float], None],
) -> DecodeResult:
    """Decode an open file; parameters and errors as in `decode`."""
    path, size = audio.path, audio.state.size
    if size == 0:
        raise DecodeError(f"{one_line(path)}: an empty file", code="empty")
    longest = min(LONGEST, ALWAYS_HEARD + size / THINNEST)
    peak, cut = 0.0, 0
    try:
        with contextlib.closing(_open(audio)) as source:
            reader = WindowReader(source, spec, longest, progress)
            for chunk in _in_chunks(selected_windows(reader, coverage), spec, chunk_windows):
                peak = max(peak, float(np.abs(chunk.waves).max()))
                cut += len(chunk.waves)
                sink(chunk)
    except TooShortError as error:
        length = f"{error.seconds:.2f} s of sound, at least {SHORTEST:g} s are needed"
        raise DecodeError(f"{one_line(path)}: {length}", code="too-short") from None
    if peak <= SILENCE:
        raise DecodeError(f"{one_line(path)}: every part listened to is silent", code="silent")
    return DecodeResult(reader.samples / spec.sample_rate, cut)


def _in_chunks(windows: Iterator[Window], spec: FeatureSpec, most: int) -> Iterator[Chunk]:
    """Consecutive windows together, at most so many."""
    first = 0
    while part := list(itertools.islice(windows, most)):
        starts = np.array([start for start, _ in part]) / spec.sample_rate
        yield Chunk(first, starts, np.stack([wave for _, wave in part]))
        first += len(part)


def decode_whole(path: Path, spec: FeatureSpec, coverage: Coverage) -> tuple[Chunk, DecodeResult]:
    """All windows of one file at once; errors as in `decode`."""
    chunks: list[Chunk] = []
    heard = decode(path, spec, coverage, chunks.append)
    starts = np.concatenate([chunk.starts for chunk in chunks])
    return Chunk(0, starts, np.concatenate([chunk.waves for chunk in chunks])), heard


def _open(audio: AudioFile) -> Source:
    """The first decoder that can make something of the file."""
    path, recognised = audio.path, False
    for decoder in (AvSource, SoundfileSource):
        try:
            return decoder(audio.source)
        except SourceError as error:
            recognised = recognised or error.recognised
            if audio.source.failure is not None:
                break
    if recognised:
        raise DecodeError(f"{one_line(path)}: damaged, nothing in it can be decoded", code="decode-failed")
    raise DecodeError(f"{one_line(path)}: holds no sound of a known format", code="not-audio")
