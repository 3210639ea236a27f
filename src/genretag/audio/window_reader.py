"""Windows of one open file at any position: by seeking, from memory, or in one pass."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import soxr
from numpy.typing import NDArray

from genretag.audio.features import FeatureSpec
from genretag.audio.sources import Samples, Source
from genretag.audio.windows import full_count

SHORTEST = 0.5  # seconds of sound that are worth a score
SHORTFALL = 0.1  # seconds that may be missing at the end of a window before the file's length is doubted
SKIP = 2.0  # seconds that are decoded and dropped rather than sought over
MARGIN = 256  # samples at the model's rate around a window, in which soxr's filter settles to 1e-6
KEPT_BYTES = 16 << 20  # of samples kept in memory of a file that is decoded as a whole: 4 minutes at 16 kHz
QUALITY = "HQ"  # of soxr: scores move by up to 0.02 between resamplers, so there is one for everything


class TooShortError(Exception):
    """A file has less than SHORTEST `seconds` of sound."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class AstrayError(Exception):
    """A seek did not lead to sound: the file is shorter than it claims, or cannot be sought in."""


class WindowReader:
    """Decode windows of one open file.

    At first `samples`, the length at the model's rate, is what the file claims, and windows are read by
    seeking. After `load` it is the true length, and no seek is made: windows come from memory, or each `read`
    decodes the whole file once. After `read_all` it is the true length too.
    """

    def __init__(
        self,
        source: Source,
        spec: FeatureSpec,
        longest: float,
        progress: Callable[[float], None],
    ) -> None:
        self.source, self.spec, self.progress = source, spec, progress
        self.limit = round(longest * source.rate)
        # The shortest stretch that is whole in samples on both sides of the resampler.
        common = math.gcd(source.rate, spec.sample_rate)
        self.native_step, self.model_step = source.rate // common, spec.sample_rate // common
        self.samples = self._at_model_rate(self._claimed)
        self.loaded = False
        self._kept: _Run | None = None

    @property
    def may_keep(self) -> bool:
        """Return whether a file of this length stays in memory when it is loaded."""
        return self.samples * 4 <= KEPT_BYTES

    def load(self) -> None:
        """Decode the whole file, and keep its samples if it is short.

        Raises:
            TooShortError: There is not enough sound.
        """
        self._kept, self.samples, self.loaded = None, 0, True
        parts: list[Samples] = []
        for samples in self._resampled():
            self.samples += len(samples)
            parts.append(samples)
            if not self.may_keep:
                parts.clear()
        self._require_sound()
        if self.may_keep:
            self._kept = _Run(0)
            self._kept.append(np.concatenate(parts))

    def read(self, starts: NDArray[np.int64]) -> Iterator[tuple[int, Samples]]:
        """Yield (start, window) for ascending nominal starts; the end of the file is filled with zeros.

        Raises:
            AstrayError: The file is not as long as it claims; `load` it.
        """
        spec = self.spec
        firsts = starts - spec.lead_samples
        for first, wave in self.stretches(firsts, spec.window_samples):
            yield first + spec.lead_samples, wave

    def stretches(self, firsts: NDArray[np.int64], count: int) -> Iterator[tuple[int, Samples]]:
        """Yield (first, `count` samples from there) for ascending firsts; errors as in `read`."""
        if self._kept is not None:
            kept = self._kept
            return ((first, kept.take(first, count)) for first in firsts.tolist())
        return self._through(firsts.tolist(), count) if self.loaded else self._apart(firsts.tolist(), count)

    def read_all(self) -> Iterator[tuple[int, Samples]]:
        """Yield (start, window) for all consecutive windows.

        Raises:
            TooShortError: There is not enough sound.
        """
        spec = self.spec
        if self._kept is not None:
            yield from self.read(np.arange(full_count(self.samples, spec)) * spec.step_samples)
            return
        firsts = itertools.count(-spec.lead_samples, spec.step_samples)
        for first, wave in self._through(firsts, spec.window_samples, all_of_them=True):
            yield first + spec.lead_samples, wave

    def blocks(self, count: int) -> Iterator[tuple[int, Samples]]:
        """Yield (first, samples) for all consecutive stretches of `count` samples; nothing of a remainder."""
        if self._kept is not None:
            yield from self.stretches(np.arange(self.samples // count) * count, count)
            return
        run = _Run(0)
        for samples in self._resampled():
            run.append(samples)
            while run.start + count <= run.end:
                first = run.start
                yield first, run.take(first, count)
                run.cut_before(first + count)

    def _at_model_rate(self, native_samples: int) -> int:
        return math.ceil(native_samples * self.spec.sample_rate / self.source.rate)

    @property
    def _claimed(self) -> int:
        """Length that the file claims, as far as it is decoded, in samples of the file."""
        return min(self.source.claimed or 0, self.limit)

    def _require_sound(self) -> None:
        if self.samples < SHORTEST * self.spec.sample_rate:
            raise TooShortError(self.samples / self.spec.sample_rate)

    def _source_blocks(self, start: int = 0) -> Iterator[tuple[int, Samples]]:
        """The source's blocks, with a sign of life for each and an end for what has none."""
        for position, block in self.source.blocks(start):
            self.progress(len(block) / self.source.rate)
            yield position, block
            if position > self.limit:
                return

    def _through(
        self, firsts: Iterable[int], count: int, *, all_of_them: bool = False
    ) -> Iterator[tuple[int, Samples]]:
        """Stretches in one pass over the whole file; with `all_of_them` up to the last full window."""
        spec, run, pending = self.spec, _Run(0), iter(firsts)
        first = next(pending, None)
        for samples in self._resampled():
            run.append(samples)
            while first is not None and first + count <= run.end:
                yield first, run.take(first, count)
                first = next(pending, None)
            run.drop_before(run.end if first is None else first)
        self.samples = run.end
        self._require_sound()
        last = (full_count(self.samples, spec) - 1) * spec.step_samples - spec.lead_samples
        while first is not None and (first <= last or not all_of_them):
            yield first, run.take(first, count)
            first = next(pending, None)

    def _resampled(self) -> Iterator[Samples]:
        """The whole file at the model's rate."""
        if self.source.rate == self.spec.sample_rate:
            for _, block in self._source_blocks():
                yield block
            return
        stream = soxr.ResampleStream(
            self.source.rate, self.spec.sample_rate, 1, dtype="float32", quality=QUALITY
        )
        for _, block in self._source_blocks():
            yield stream.resample_chunk(block)
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

    def _apart(self, firsts: Iterable[int], count: int) -> Iterator[tuple[int, Samples]]:
        """Stretches at ascending positions, seeking over what is between them."""
        claimed = self._claimed
        blocks = self._source_blocks()
        run = _Run(0)
        for first in firsts:
            # Whole steps of both rates keep the pieces on the grid of a resampling of the whole track.
            low = max(0, (first - MARGIN) // self.model_step)
            high = -(-(first + count + MARGIN) // self.model_step)
            native_low, native_high = low * self.native_step, high * self.native_step
            if native_low - run.end > SKIP * self.source.rate:
                blocks = self._source_blocks(native_low)
                run = _Run(native_low)
            run.drop_before(native_low)
            for position, block in blocks:
                _join(run, position, block)
                if run.end >= native_high:
                    break
            missing = min(native_high, claimed) - run.end
            if missing > SHORTFALL * self.source.rate or run.end <= native_low:
                raise AstrayError
            piece = run.take(native_low, min(native_high, run.end) - native_low)
            resampled = soxr.resample(piece, self.source.rate, self.spec.sample_rate, QUALITY)
            window = _Run(low * self.model_step)
            window.append(resampled)
            yield first, window.take(first, count)


class _Run:
    """Consecutive samples of a track, appended at `end` and forgotten at the other side."""

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self._parts: deque[Samples] = deque()  # joining them at every block would copy a long window often

    def append(self, samples: Samples) -> None:
        self._parts.append(samples)
        self.end += len(samples)

    def drop_before(self, index: int) -> None:
        """Forget what is before `index`, in whole parts."""
        while self._parts and self.start + len(self._parts[0]) <= index:
            self.start += len(self._parts.popleft())

    def cut_before(self, index: int) -> None:
        """Forget everything before `index`."""
        self.drop_before(index)
        if self._parts and self.start < index:
            self._parts[0] = self._parts[0][index - self.start :]
            self.start = index

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


def _join(run: _Run, position: int, block: Samples) -> None:
    """Append a block; of one that begins before the run's end only what is new."""
    skip = run.end - position
    if skip < 0:
        raise AstrayError
    run.append(block[skip:])
