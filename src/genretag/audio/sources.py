"""Decoders of sound files behind one face: mono samples in file order, from any place in the file."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from genretag.audio._pyav import open_input
from genretag.audio.audiofile import ByteSource, open_bytes
from genretag.audio.downmix import Downmix
from genretag.errors import DecodeError

Samples = NDArray[np.float32]

BLOCK = 8192  # samples of one block; a codec's own frames are smaller than what is worth a round of Python
READ_BYTES = 1 << 15  # of one read; more would be wasted after a seek
RATES = (1000, 3_000_000)  # Hz; decoded DSD512 is 2.8 MHz, and a damaged header claims anything
PREROLL = 0.3  # seconds; so long after a seek Opus still differs from a decode in one go (MP3: 0.1 to 0.25)
LATE_SEEKS = (3.0, 30.0)  # how far before the wanted place to aim where the first aim was too late
STANDALONE = frozenset({"flac", "alac", "tta"})  # codecs whose frames need no other: no pre-roll after a seek
LOUDEST = 8.0  # float formats can hold anything; a sample beyond this would only make the scores NaN

# libavutil/samplefmt.h: element type, value of silence, full scale; a trailing "p" means one plane a channel.
SAMPLE_FORMATS: dict[str, tuple[type[np.generic], float, float]] = {
    "u8": (np.uint8, 128.0, 2.0**7),
    "s16": (np.int16, 0.0, 2.0**15),
    "s32": (np.int32, 0.0, 2.0**31),
    "s64": (np.int64, 0.0, 2.0**63),
    "flt": (np.float32, 0.0, 1.0),
    "dbl": (np.float64, 0.0, 1.0),
}


class _Packet(NamedTuple):
    """Where a packet lies in the file (bytes), when it sounds and for how long (ticks), and its bytes."""

    pos: int
    pts: int
    duration: int
    size: int


class SourceError(Exception):
    """This decoder cannot use the file; `recognised` where it is sound of a kind that the decoder knows."""

    def __init__(self, message: str, *, recognised: bool) -> None:
        super().__init__(message)
        self.recognised = recognised


class Source(Protocol):
    """One open sound file: `rate` in Hz, `claimed` length in samples (None: unknown), which may be wrong.

    `channels` is the number of them at the start, `mix` makes one of them.
    """

    rate: int
    claimed: int | None
    channels: int
    mix: Downmix

    def blocks(self, start: int = 0) -> Iterator[tuple[int, Samples]]:
        """Consecutive blocks as (position of the first sample, mono samples), up to the end of the file.

        The first block begins at `start` or before it; where that place cannot be reached there is none.
        Only the last iterator asked for may be used.
        """

    def close(self) -> None:
        """Close the file."""


class AvSource:
    """A file through PyAV (ffmpeg). Positions count from the first sample of a decode from the start."""

    _container: Any = None

    def __init__(self, sound: Path | ByteSource) -> None:
        self.mix = Downmix()
        self._sound = _opened(sound)
        self._opened_here = isinstance(sound, Path)
        try:
            self._open()
            self._fresh: Iterator[Any] | None = self._frames()
            first = next(self._fresh, None)
            if first is None:
                raise SourceError("nothing in it can be decoded", recognised=True)
            self._start = self._landed
            self._reckons = self._container.format.name == "mp3"
            self.rate: int = first.sample_rate
            self.channels: int = first.layout.nb_channels
            self._origin: int = first.pts or 0
            self._time_base = first.time_base
            self._fresh = itertools.chain([first], self._fresh)
            self.claimed = self._claim()
        except BaseException:
            self.close()
            raise

    def blocks(self, start: int = 0) -> Iterator[tuple[int, Samples]]:
        if start > 0:
            return self._blocks_from(start)
        if self._fresh is None:
            self._container.close()
            self._open()
        frames, self._fresh = self._fresh or self._frames(), None
        return _blocks(0, frames, self.rate, self.mix)

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
        if self._opened_here:
            self._sound.close()

    def _open(self) -> None:
        try:
            self._sound.seek(0)
            # The whitelist keeps playlists from opening anything. What is wrong with a file comes as any of
            # many exceptions (a text file: PermissionError).
            self._container = open_input(
                self._sound, options={"protocol_whitelist": "none"}, buffer_size=READ_BYTES
            )
        except MemoryError:
            raise
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SourceError(str(error), recognised=False) from None
        stream = self._container.streams.best("audio")
        if stream is None or stream.codec_context is None:
            raise SourceError("no sound in it", recognised=False)
        self._stream = stream
        self._landed: _Packet | None = None
        self._preroll = 0.0 if stream.codec_context.name in STANDALONE else PREROLL

    def _claim(self) -> int | None:
        stream, container = self._stream, self._container
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            seconds = container.duration / av.time_base
        else:
            return None
        return round(seconds * self.rate) if seconds > 0 else None

    def _frames(self) -> Iterator[Any]:
        """Frames of the stream from where the container stands; damaged packets are passed over."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except MemoryError:
                raise
            except av.error.FFmpegError:
                return  # damaged or cut off from here on
            if packet is None:
                return
            if self._landed is None and packet.pos is not None and packet.pts is not None:
                self._landed = _Packet(packet.pos, packet.pts, packet.duration, packet.size)
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except av.error.FFmpegError:
                continue
            yield from filter(_usable, frames)

    def _blocks_from(self, start: int) -> Iterator[tuple[int, Samples]]:
        self._fresh = None
        for early in (self._preroll, *LATE_SEEKS):
            ticks = max(start / self.rate - early, 0.0) / float(self._stream.time_base)
            try:
                frames, first = self._sought(self._origin + int(ticks))
            except (av.error.FFmpegError, OverflowError):
                return
            if first is None or first.pts is None:
                return
            position = round(float((first.pts - self._origin) * self._time_base) * self.rate)
            if position <= start:
                yield from _blocks(position, itertools.chain([first], frames), self.rate, self.mix)
                return

    def _sought(self, ticks: int) -> tuple[Iterator[Any], Any]:
        """Frames from about a place on, and the first of them (None: there is none).

        ffmpeg finds a place in an MP3 by reading up to it, which in the end costs all of its bytes. So it is
        reckoned from the bit rate first, which is exact where that is constant: then bytes and time agree.
        """
        if self._reckons:
            self._container.flags = int(self._container.flags) | int(av.container.Flags.fast_seek.value)
            frames, first = self._landing(ticks)
            late = self._lateness()
            if first is not None and first.pts is not None and late is not None:
                first.pts += late
                return frames, first
            # What was read from a wrong place would lead all later searches astray.
            self._reckons = False
            self._container.close()
            self._open()
        return self._landing(ticks)

    def _landing(self, ticks: int) -> tuple[Iterator[Any], Any]:
        self._container.seek(ticks, stream=self._stream)
        self._landed = None
        frames = self._frames()
        return frames, next(frames, None)

    def _lateness(self) -> int | None:
        """Ticks by which the packet last landed on is later than it says; None where its place is unlikely.

        At a constant bit rate every packet lies where its number says, within the byte of padding.
        """
        start, landed, rate = self._start, self._landed, self._stream.codec_context.bit_rate
        if start is None or landed is None or not start.duration or not rate:
            return None
        if abs(landed.size - start.size) > 1:
            return None
        size = float(start.duration * self._stream.time_base) * rate / 8
        number = round((landed.pos - start.pos) / size)
        late = start.pts + number * start.duration - landed.pts
        fits = abs(landed.pos - start.pos - number * size) < 2 and abs(late) <= 2 * start.duration
        return late if fits else None


class SoundfileSource:
    """A file through libsndfile: what ffmpeg cannot open."""

    def __init__(self, sound: Path | ByteSource) -> None:
        import soundfile  # rarely needed, and its library is slow to load

        self.mix = Downmix()
        self._sound = _opened(sound)
        self._opened_here = isinstance(sound, Path)
        try:
            self._sound.seek(0)
            self._file = soundfile.SoundFile(self._sound)
        except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
            if self._opened_here:
                self._sound.close()
            raise SourceError(str(error), recognised=False) from None
        self._broken = soundfile.SoundFileError
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.claimed: int | None = self._file.frames
        if not RATES[0] <= self.rate <= RATES[1]:
            self.close()
            raise SourceError(f"a sample rate of {self.rate} Hz", recognised=True)

    def blocks(self, start: int = 0) -> Iterator[tuple[int, Samples]]:
        with contextlib.suppress(self._broken):
            self._file.seek(start)
            while len(block := self._file.read(BLOCK, dtype="float32", always_2d=True)):
                self.mix.measure(block.T)
                channel = self.mix.channel(self.channels)
                mono = block.mean(axis=1, dtype=np.float32) if channel is None else block[:, channel]
                yield start, _finite(mono)
                start += len(block)

    def close(self) -> None:
        self._file.close()
        if self._opened_here:
            self._sound.close()


def _opened(sound: Path | ByteSource) -> ByteSource:
    """Open a file that is named by its path; SourceError if it cannot be opened."""
    if not isinstance(sound, Path):
        return sound
    try:
        return open_bytes(sound)
    except (OSError, ValueError, DecodeError) as error:
        raise SourceError(str(error), recognised=False) from None


def _usable(frame: Any) -> bool:
    rate: int = frame.sample_rate
    return RATES[0] <= rate <= RATES[1] and frame.samples > 0 and frame.layout.nb_channels > 0


def _blocks(position: int, frames: Iterator[Any], rate: int, mix: Downmix) -> Iterator[tuple[int, Samples]]:
    """Frames of any format as mono blocks of about BLOCK samples at `rate`."""
    for samples in _steady(_joined(frames), rate, mix):
        if len(samples):
            yield position, _finite(samples)
            position += len(samples)


def _joined(frames: Iterator[Any]) -> Iterator[Any]:
    """The same sound in frames of at least BLOCK samples, but where its kind changes and at the end."""
    fifo, kind = av.AudioFifo(), None
    for frame in frames:
        before, kind = kind, (frame.sample_rate, frame.format.name, frame.layout.name)
        if before not in (None, kind):
            if fifo.samples:
                yield fifo.read()
            fifo = av.AudioFifo()
        frame.pts = None  # a queue refuses a frame that does not begin where the last one ended
        fifo.write(frame)
        if fifo.samples >= BLOCK:
            yield fifo.read()
    if fifo.samples:
        yield fifo.read()


def _steady(frames: Iterator[Any], rate: int, mix: Downmix) -> Iterator[Samples]:
    """Mono samples at `rate`, also where the rate changes in mid-file (joined files, radio recordings)."""
    resampler, foreign = None, rate
    for frame in frames:
        if frame.sample_rate != foreign:
            if resampler is not None:
                yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            foreign = frame.sample_rate
            resampler = soxr.ResampleStream(foreign, rate, 1, dtype="float32") if foreign != rate else None
        samples = _mono(frame, mix)
        yield samples if resampler is None else resampler.resample_chunk(samples)
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _mono(frame: Any, mix: Downmix) -> Samples:
    """Return the mono mix of one frame, as float32 with full scale 1."""
    name: str = frame.format.name
    dtype, silence, full_scale = SAMPLE_FORMATS[name.removesuffix("p")]
    channels, count = frame.layout.nb_channels, frame.samples
    planes = frame.planes
    if frame.format.is_planar:
        parts = [np.frombuffer(planes[channel], dtype, count) for channel in range(channels)]
    else:
        packed = np.frombuffer(planes[0], dtype, count * channels)
        parts = [packed[channel::channels] for channel in range(channels)]
    mix.measure(parts, full_scale)
    if (channel := mix.channel(channels)) is not None:
        parts = [parts[channel]]
    # Adding channel by channel is three times as fast as a mean along the short axis.
    mono = parts[0].astype(np.float32)
    for part in parts[1:]:
        mono += part
    mono *= np.float32(1.0 / (len(parts) * full_scale))
    return mono - np.float32(silence / full_scale) if silence else mono


def _finite(samples: Samples) -> Samples:
    if not np.isfinite(samples).all():
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(samples, -LOUDEST, LOUDEST)
