"""The windows of a track that count, as the front end of a model takes them.

Version 1 of the front end takes every window as it is decoded. Version 2 measures the loudness of the track
first, in the windows of `fast` coverage whatever the coverage is: so the gain is the same for every window
and for every coverage. Windows far below this loudness are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from genretag.audio.loudness import FAINT, QUIET, RELATIVE_GATE, gain_to, power_of, remove_offset, track_power
from genretag.audio.sources import Samples
from genretag.audio.survey import music_positions, sound_between, starts_around
from genretag.audio.window_reader import AstrayError, WindowReader
from genretag.audio.windows import FAST_WINDOWS, Coverage, full_count, window_starts, windows_wanted

SILENCE = 1e-4  # peak (-80 dB) up to which a window counts as silent
GATHERED_BYTES = 256 << 20  # of windows held back until all are known; more are streamed

Window = tuple[int, Samples]


def selected_windows(reader: WindowReader, coverage: Coverage) -> Iterator[Window]:
    """Yield (start, window) of the windows that count, in ascending order of starts; at least one.

    A track in which nothing but silence is found yields silent windows.

    Raises:
        TooShortError: There is not enough sound.
    """
    selection = _Selection(reader)
    wanted = windows_wanted(coverage)
    return selection.plain(wanted) if reader.spec.version == 1 else selection.normalised(wanted)


class _Selection:
    def __init__(self, reader: WindowReader) -> None:
        self.reader, self.spec = reader, reader.spec
        # Samples without the silence at both ends of the track; None: all.
        self.span: tuple[int, int] | None = None

    def plain(self, wanted: int | None) -> Iterator[Window]:
        """Windows as they are decoded; others only if all of them are silent."""
        reader = self.reader
        if wanted is None:
            if reader.source.channels > 1:
                self._prepare(None)
                self._read(self._starts(FAST_WINDOWS))  # measures the channels
            yield from reader.read_all()
            return
        self._prepare(wanted)
        if self._is_streamed(wanted):
            yield from reader.read(self._starts(wanted)())
            return
        windows = self._read(self._starts(wanted))
        if all(float(np.abs(wave).max()) <= SILENCE for _, wave in windows):
            windows = self._drawn_again(wanted) or windows
        yield from windows

    def normalised(self, wanted: int | None) -> Iterator[Window]:
        """Windows without DC offset and silence, all with the gain of the track."""
        self._prepare(wanted)
        sample, power = self._sample()
        if power is None:
            yield from sample
            return
        assert self.spec.level is not None
        gain, least = np.float32(gain_to(self.spec.level, power)), QUIET * power
        found = False
        for start, wave in self._counting(sample, least, wanted):
            found = True
            yield start, wave * gain
        if not found:  # the only sound is in a window that this coverage does not have
            yield from ((start, wave * gain) for start, wave in _audible(sample, 0.0))

    def _counting(self, sample: list[Window], least: float, wanted: int | None) -> Iterator[Window]:
        """Windows above a power, given those of the sample."""
        reader = self.reader
        if wanted is None:
            return _audible(map(_centred, reader.read_all()), least)
        if wanted == FAST_WINDOWS:
            return _audible(sample, least)
        if self._is_streamed(wanted):
            return _audible(map(_centred, reader.read(self._starts(wanted)())), least)
        windows = list(map(_centred, self._read(self._starts(wanted))))
        counting = list(_audible(windows, least))
        if 2 * len(counting) < len(windows):
            drawn = map(_centred, self._drawn_again(wanted))
            counting = list(_audible(drawn, least)) or counting
        return iter(counting)

    def _sample(self) -> tuple[list[Window], float | None]:
        """Windows of `fast` coverage, drawn again if most of them are silent, and the power of the track."""
        sample = list(map(_centred, self._read(self._starts(FAST_WINDOWS))))
        power = self._power(sample)
        few = power is None or 2 * len(list(_audible(sample, QUIET * power))) < len(sample)
        if few or power is None or power < FAINT:
            drawn = list(map(_centred, self._drawn_again(FAST_WINDOWS)))
            louder = self._power(drawn)
            # A faint track is left as it is unless it is noise between louder parts.
            if louder is not None and louder >= (power or 0.0) * (0.5 if few else 1 / RELATIVE_GATE):
                return drawn, louder
        elif self._trim(sample, QUIET * power):
            sample = list(map(_centred, self._read(self._starts(FAST_WINDOWS))))
            power = self._power(sample)
        return sample, power

    def _trim(self, sample: list[Window], least: float) -> bool:
        """Leave out silence at the ends of a track; True if the first or the last windows are silent."""
        starts = [start for start, _ in sample]
        audible = [start for start, wave in sample if power_of(wave) >= least]
        first, end = 0, self.reader.samples
        before = [start for start in starts if start < audible[0]]
        after = [start for start in starts if start > audible[-1]]
        length = self.spec.window_samples
        if before:
            first = self._sound(before[-1], audible[0] + length, least)[0]
        if after:
            end = self._sound(audible[-1], after[0] + length, least)[1]
        self.span = first // self.spec.hop_length * self.spec.hop_length, end
        return bool(before or after)

    def _sound(self, first: int, end: int, least: float) -> tuple[int, int]:
        try:
            return sound_between(self.reader, first, end, least)
        except AstrayError:
            self.reader.load()
            return sound_between(self.reader, first, end, least)

    def _power(self, windows: list[Window]) -> float | None:
        return track_power((wave for _, wave in windows), self.spec.sample_rate)

    def _prepare(self, wanted: int | None) -> None:
        """Decode the whole file at once if most of it is needed anyway, or if its length must be true."""
        reader, spec = self.reader, self.spec
        count = full_count(reader.samples, spec)
        if wanted is None:
            needed = reader.may_keep
        else:
            extra = FAST_WINDOWS if spec.version > 1 and wanted != FAST_WINDOWS else 0
            most = (wanted + extra) * spec.window_samples > reader.samples and extra > 0 and reader.may_keep
            needed = count <= wanted or self._is_streamed(wanted) or most
        if needed:
            reader.load()
            self._settle_mix()

    def _is_streamed(self, wanted: int) -> bool:
        return min(wanted, full_count(self.reader.samples, self.spec)) * self._window_bytes > GATHERED_BYTES

    @property
    def _window_bytes(self) -> int:
        return self.spec.window_samples * 4

    def _settle_mix(self) -> bool:
        """Choose a channel if they cancel; True if what was decoded is void."""
        if not self.reader.source.mix.decide():
            return False
        if self.reader.loaded:
            self.reader.load()
        return True

    def _starts(self, wanted: int) -> Callable[[], NDArray[np.int64]]:
        def starts() -> NDArray[np.int64]:
            first, end = self.span or (0, self.reader.samples)
            return first + window_starts(end - first, self.spec, wanted)

        return starts

    def _drawn_again(self, wanted: int) -> list[Window]:
        """Windows around positions with music; none if there is no music."""

        def starts() -> NDArray[np.int64]:
            return starts_around(music_positions(self.reader), self.reader.samples, self.spec, wanted)

        return self._read(starts)

    def _read(self, starts: Callable[[], NDArray[np.int64]]) -> list[Window]:
        """Windows at `starts()`, read again if the length or the mix turns out to be another."""
        try:
            windows = list(self.reader.read(starts()))
        except AstrayError:
            self.reader.load()
            windows = list(self.reader.read(starts()))
        return list(self.reader.read(starts())) if self._settle_mix() else windows


def _centred(window: Window) -> Window:
    return window[0], remove_offset(window[1])


def _audible(windows: Iterable[Window], least: float) -> Iterator[Window]:
    """Windows with at least this mean power."""
    return (window for window in windows if power_of(window[1]) >= least)
