"""A sound file in, windows of mono samples out; of a long file only what its windows need is decoded.

Imports neither torch nor librosa: decode workers start in a moment and stay small.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from genretag.audio.audiofile import AudioFile, one_line, open_audio
from genretag.audio.features import FeatureSpec
from genretag.audio.sources import AvSource, Samples, SoundfileSource, Source, SourceError
from genretag.audio.windows import Coverage, full_count, window_starts, windows_wanted
from genretag.errors import DecodeError

SHORTEST = 0.5  # seconds of sound that are worth a score
# What lies beyond is not heard, so that no file takes for ever: sound is seldom longer than a day, and no
# codec holds music in 50 bytes a second (Opus in its pauses: 100, the least that MP3 knows: 1,000).
LONGEST = 24 * 3600.0  # seconds
THINNEST = 50  # bytes of a file for a second of sound
ALWAYS_HEARD = 600.0  # seconds, of however few bytes
SILENCE = 1e-4  # peak (-80 dB) up to which a track counts as silent
SHORTFALL = 0.1  # seconds that may be missing at the end of a window before the file's length is doubted
SKIP = 2.0  # seconds that are decoded and dropped rather than sought over
MARGIN = 256  # samples at the model's rate around a window, in which soxr's filter settles to 1e-6
GATHERED_BYTES = 256 << 20  # of windows held back until the file's length is known; more are streamed
QUALITY = "HQ"  # of soxr: scores move by up to 0.02 between resamplers, so there is one for everything


@dataclass(frozen=True)
class Chunk:
    """Consecutive windows of a track: `first` is the number of the first one, `starts` are in seconds.

    `waves`: float32 (windows, window_samples), mono, at the model's rate.
    """

    first: int
    starts: NDArray[np.float64]
    waves: Samples


@dataclass(frozen=True)
class Heard:
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
) -> Heard:
    """Decode the windows of one file and pass them to `sink`, at most `chunk_windows` at a time.

    Memory does not grow with the length of the file. `progress` is called for every block decoded, with its
    seconds of sound; `opened` with the open file, whose state is final at the end. DecodeError, in one line:
    `missing`, `unreadable`, `empty`, `not-audio`, `decode-failed`, `too-short`, `out-of-memory`, or, after
    the last chunk, `silent` or `changed`.
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
) -> Heard:
    """Decode an open file; parameters and errors as in `decode`."""
    path, size = audio.path, audio.state.size
    if size == 0:
        raise DecodeError(f"{one_line(path)}: an empty file", code="empty")
    longest = min(LONGEST, ALWAYS_HEARD + size / THINNEST)
    peak = 0.0
    try:
        with contextlib.closing(_open(audio)) as source:
            track = _Track(source, spec, chunk_windows, longest, progress)
            for chunk in track.chunks(coverage):
                peak = max(peak, float(np.abs(chunk.waves).max()))
                sink(chunk)
    except _TooShortError as error:
        length = f"{error.seconds:.2f} s of sound, at least {SHORTEST:g} s are needed"
        raise DecodeError(f"{one_line(path)}: {length}", code="too-short") from None
    if peak <= SILENCE:
        raise DecodeError(f"{one_line(path)}: every part listened to is silent", code="silent")
    return Heard(track.samples / spec.sample_rate, track.cut)


def decode_whole(path: Path, spec: FeatureSpec, coverage: Coverage) -> tuple[Chunk, Heard]:
    """All windows of one file at once; errors as in `decode`."""
    chunks: list[Chunk] = []
    heard = decode(path, spec, coverage, chunks.append)
    starts = np.concatenate([chunk.starts for chunk in chunks])
    return Chunk(0, starts, np.concatenate([chunk.waves for chunk in chunks])), heard


class _TooShortError(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class _AstrayError(Exception):
    """A seek did not lead to sound: the file is shorter than it claims, or cannot be sought in."""


class _Run:
    """Consecutive samples of a track, appended at `end` and forgotten at the other side."""

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self._parts: deque[Samples] = deque()  # joining them at every block would copy a long window often

    def append(self, samples: Samples) -> None:
        self._parts.append(samples)
        self.end += len(samples)

    def drop_before(self, index: int) -> None:
        """Forget what lies before `index`, in whole parts."""
        while self._parts and self.start + len(self._parts[0]) <= index:
            self.start += len(self._parts.popleft())

    def take(self, first: int, count: int) -> Samples:
        """`count` samples from index `first`; zeros where there are none."""
        taken = np.zeros(count, np.float32)
        place = self.start - first
        for part in self._parts:
            low, high = max(place, 0), min(place + len(part), count)
            if low < high:
                taken[low:high] = part[low - place : high - place]
            place += len(part)
        return taken


class _Track:
    """One open file on its way to windows; afterwards `samples` is its length at the model's rate."""

    def __init__(
        self,
        source: Source,
        spec: FeatureSpec,
        chunk_windows: int,
        longest: float,
        progress: Callable[[float], None],
    ) -> None:
        self.source, self.spec, self.progress = source, spec, progress
        self.limit = round(longest * source.rate)
        self.chunk_windows = chunk_windows
        self.samples = 0
        self.cut = 0
        # The shortest stretch that is whole in samples on both sides of the resampler.
        common = math.gcd(source.rate, spec.sample_rate)
        self.native_step, self.model_step = source.rate // common, spec.sample_rate // common

    def chunks(self, coverage: Coverage) -> Iterator[Chunk]:
        wanted = windows_wanted(coverage)
        if wanted is None:
            yield from self._in_chunks(self._through(None))
        elif (windows := self._trusting(wanted)) is not None:
            yield from self._in_chunks(iter(windows))
        else:
            length = self._at_model_rate(self._measure())
            starts = window_starts(length, self.spec, wanted)
            yield from self._in_chunks(self._through(starts.tolist()))

    def _trusting(self, wanted: int) -> list[tuple[int, Samples]] | None:
        """The windows, if the length that the file claims is true: none leaves before the last one stands.

        None where the claim proves wrong, or where so many windows cannot be held back.
        """
        claimed = self._at_model_rate(self._claimed)
        if wanted * self.spec.window_samples * 4 > GATHERED_BYTES:
            return None
        if full_count(claimed, self.spec) <= wanted:
            windows = list(itertools.islice(self._through(None), wanted + 1))
            return windows if len(windows) <= wanted else None
        try:
            windows = list(self._apart(window_starts(claimed, self.spec, wanted)))
        except _AstrayError:
            return None
        self.samples = claimed
        return windows

    def _in_chunks(self, windows: Iterator[tuple[int, Samples]]) -> Iterator[Chunk]:
        while part := list(itertools.islice(windows, self.chunk_windows)):
            starts = np.array([start for start, _ in part]) / self.spec.sample_rate
            yield Chunk(self.cut, starts, np.stack([wave for _, wave in part]))
            self.cut += len(part)

    def _at_model_rate(self, native_samples: int) -> int:
        return math.ceil(native_samples * self.spec.sample_rate / self.source.rate)

    @property
    def _claimed(self) -> int:
        """The length that the file claims, as far as it is heard, in samples of the file."""
        return min(self.source.claimed or 0, self.limit)

    def _blocks(self, start: int = 0) -> Iterator[tuple[int, Samples]]:
        """The source's blocks, with a sign of life for each and an end for what has none."""
        for position, block in self.source.blocks(start):
            self.progress(len(block) / self.source.rate)
            yield position, block
            if position > self.limit:
                return

    def _measure(self) -> int:
        """The true length, in samples of the file, by decoding all of it."""
        return sum(len(block) for _, block in self._blocks())

    def _through(self, starts: Iterable[int] | None) -> Iterator[tuple[int, Samples]]:
        """Windows at ascending `starts`, or all consecutive ones, in one pass over the whole file."""
        spec = self.spec
        run = _Run(0)
        pending = itertools.count(0, spec.step_samples) if starts is None else iter(starts)
        start = next(pending, None)
        for samples in self._resampled():
            run.append(samples)
            while start is not None and start - spec.lead_samples + spec.window_samples <= run.end:
                yield start, run.take(start - spec.lead_samples, spec.window_samples)
                start = next(pending, None)
            run.drop_before(run.end if start is None else start - spec.lead_samples)
        self.samples = run.end
        if self.samples < SHORTEST * spec.sample_rate:
            raise _TooShortError(self.samples / spec.sample_rate)
        last = (full_count(self.samples, spec) - 1) * spec.step_samples
        while start is not None and (start <= last or starts is not None):
            yield start, run.take(start - spec.lead_samples, spec.window_samples)
            start = next(pending, None)

    def _resampled(self) -> Iterator[Samples]:
        """The whole file at the model's rate."""
        if self.source.rate == self.spec.sample_rate:
            for _, block in self._blocks():
                yield block
            return
        stream = soxr.ResampleStream(
            self.source.rate, self.spec.sample_rate, 1, dtype="float32", quality=QUALITY
        )
        for _, block in self._blocks():
            yield stream.resample_chunk(block)
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

    def _apart(self, starts: NDArray[np.int64]) -> Iterator[tuple[int, Samples]]:
        """Windows at ascending `starts`, seeking over what lies between them."""
        spec, claimed = self.spec, self._claimed
        blocks = self._blocks()
        run = _Run(0)
        for start in starts.tolist():
            first = start - spec.lead_samples
            # Whole steps of both rates keep the pieces on the grid of a resampling of the whole track.
            low = max(0, (first - MARGIN) // self.model_step)
            high = -(-(first + spec.window_samples + MARGIN) // self.model_step)
            native_low, native_high = low * self.native_step, high * self.native_step
            if native_low - run.end > SKIP * self.source.rate:
                blocks = self._blocks(native_low)
                run = _Run(native_low)
            run.drop_before(native_low)
            for position, block in blocks:
                _join(run, position, block)
                if run.end >= native_high:
                    break
            missing = min(native_high, claimed) - run.end
            if missing > SHORTFALL * self.source.rate or run.end <= native_low:
                raise _AstrayError
            piece = run.take(native_low, min(native_high, run.end) - native_low)
            resampled = soxr.resample(piece, self.source.rate, spec.sample_rate, QUALITY)
            window = _Run(low * self.model_step)
            window.append(resampled)
            yield start, window.take(first, spec.window_samples)


def _join(run: _Run, position: int, block: Samples) -> None:
    """Append a block; of one that begins before the run's end only what is new."""
    skip = run.end - position
    if skip < 0:
        raise _AstrayError
    run.append(block[skip:])


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
