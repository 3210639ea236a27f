"""Compare the audio of two files by the packets that a player gets from them.

A file that locates its audio by file offsets may hold the same audio bytes and still not play after an edit,
so the copy of an MP4 file is compared by its demuxed packets. Nothing is decoded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from genretag.audio.payload import open_regular, same_payload

if TYPE_CHECKING:
    import av

# A day of AAC has 4 million packets. Damaged tables can list any number, and the same bytes many times.
MAX_PACKETS = 5_000_000
MAX_REPEATS = 4
BUFFER = 1 << 18
# More than any music file has; others are demuxed.
MAX_BOXES = 10_000
MAX_TABLES = 64 << 20
CONTAINERS = frozenset({b"moov", b"udta", b"meta", b"ilst"})
# Padding, the items that a genre is written to, and the header of their list.
IRRELEVANT = frozenset({b"free", b"skip", b"\xa9gen", b"gnre", b"----", b"hdlr"})


def same_audio(first: Path, second: Path) -> bool:
    """Return True if two files hold the same audio bytes and, for MP4 files, yield the same packets.

    MP4 files are demuxed unless nothing but genres and padding changed, at the same offsets.

    Raises:
        OSError: A file cannot be read.
        DecodeError: A path is not a regular file (`unreadable`).
    """
    if not same_payload(first, second):
        return False
    with open_regular(first) as one, open_regular(second) as two:
        # Demuxing a song takes a fifth of a second; tables that did not change yield the same packets.
        if one.read(8)[4:] != b"ftyp" or ((tables := _tables(one)) and tables == _tables(two)):
            return True
    return same_packets(first, second)


def _tables(file: BinaryIO) -> list[tuple[bytes, int, bytes]] | None:
    """Describe everything in an MP4 file that decides which bytes a packet is made of.

    Two files of the same description differ only in genres and padding. Media data is described by its place:
    its content is compared elsewhere.

    Returns:
        Name, place and digest of every box but padding and genres; None for a file with too many boxes.
    """
    found: list[tuple[bytes, int, bytes]] = []
    waiting = list(islice(_boxes(file, 0, file.seek(0, os.SEEK_END)), MAX_BOXES + 1))
    for name, start, body, end in waiting:
        if name in CONTAINERS:
            # A meta box has a version, unless it is QuickTime's.
            version = 4 if name == b"meta" and _read(file, body + 4, 4) != b"hdlr" else 0
            waiting += islice(_boxes(file, body + version, end), MAX_BOXES)
        elif name == b"mdat":
            found.append((name, start, end.to_bytes(8, "big")))
        else:
            # Boxes of one movie are found by their order, others by their place.
            at = start if name in (b"moof", b"sidx", b"mfra") else 0
            found.append((name, at, hashlib.sha256(_read(file, start, end - start)).digest()))
        if len(waiting) > MAX_BOXES or (end - start > MAX_TABLES and name != b"mdat"):
            return None
    return found


def _read(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(min(count, MAX_TABLES))


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield name, start, start of the content and end of each box in a part of the file."""
    while start < end:
        file.seek(start)
        header = file.read(16)
        size, name, body = int.from_bytes(header[:4], "big"), header[4:8], start + 8
        if size == 1:
            size, body = int.from_bytes(header[8:16], "big"), start + 16
        stop = start + size if body - start <= size <= end - start else end
        if name not in IRRELEVANT:
            yield name, start, min(body, stop), stop
        start = stop


def same_packets(first: Path, second: Path) -> bool:
    """Return True if FFmpeg demuxes the same streams and packets from two MP4 files.

    Number, order, timestamps, duration, flags and content of the packets of each stream are compared, up to
    the first error of the demuxer; the error must be the same too.

    Args:
        first: Path of an MP4 or QuickTime file, of any name.
        second: Path of the other file.

    Raises:
        OSError: A file cannot be read.
        DecodeError: A path is not a regular file (`unreadable`).
    """
    with open_regular(first) as file:
        max_bytes = MAX_REPEATS * file.seek(0, 2)
    return _demux(first, max_bytes) == _demux(second, max_bytes)


@dataclass
class _Demuxed:
    """Digest of the packets of each stream, and the error that ended demuxing."""

    streams: list[tuple[Any, ...]] = field(default_factory=list)
    packets: list[tuple[int, bytes]] = field(default_factory=list)
    error: tuple[str, int | None] | None = None


class _Source:
    """A file for PyAV that ends at the first error of the disk, which is kept.

    PyAV prints the traceback of an error that comes while another one is waiting to be raised.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.error: OSError | None = None

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; nothing once the disk has failed."""
        if self.error is None:
            try:
                return self._file.read(size)
            except OSError as error:
                self.error = error
        return b""


def _demux(path: Path, max_bytes: int) -> _Demuxed:
    import av  # slow to import, and not needed for other formats

    from genretag.audio._pyav import open_input

    found = _Demuxed()
    with open_regular(path) as file:
        source = _Source(file)
        try:
            # The format is given: another demuxer could open other files that this one names.
            with open_input(source, "mov", buffer_size=BUFFER) as container:
                _read_packets(container, max_bytes, found)
        except av.error.FFmpegError as error:
            found.error = type(error).__name__, error.errno
    if source.error is not None:
        raise source.error
    return found


def _read_packets(container: av.container.InputContainer, max_bytes: int, found: _Demuxed) -> None:
    found.streams = [_parameters(stream) for stream in container.streams]
    counts = [0] * len(found.streams)
    digests = [hashlib.sha256() for _ in found.streams]
    total = 0
    try:
        for number, packet in enumerate(container.demux()):
            total += packet.size
            if number >= MAX_PACKETS or total > max_bytes:
                break
            index = packet.stream_index
            times = packet.pts, packet.dts, packet.duration
            counts[index] += 1
            digests[index].update(repr((*times, packet.size, packet.is_keyframe, packet.is_corrupt)).encode())
            digests[index].update(packet)
    finally:
        found.packets = [(count, digest.digest()) for count, digest in zip(counts, digests, strict=True)]


def _parameters(stream: av.stream.Stream) -> tuple[Any, ...]:
    codec = stream.codec_context  # None if FFmpeg does not know the codec
    described = (codec.name, codec.extradata) if codec else ()
    return stream.type, stream.time_base, stream.start_time, stream.duration, *described
