"""The bytes of a file that are sound and not tags: what a tag write leaves alone, and what names a recording.

Every parser here takes any bytes: what does not follow its format is taken as one payload, the whole file.
Layouts follow id3.org (ID3v1, ID3v2.4), the APEv2 and Lyrics3 v2 pages, RFC 9639 (FLAC), ISO/IEC 14496-12
(MP4), Microsoft's ASF specification, EBU Tech 3306 (RF64), Apple's AIFF-C, Sony's DSF and Philips' DSDIFF
specifications.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from genretag.audio import ogg
from genretag.audio.ogg import OddLayoutError
from genretag.audio.remote import RemotePath
from genretag.errors import DecodeError

BLOCK = 1 << 20
SAMPLE = 1 << 16
# Part of every identity: raise it when `identify` must answer differently for the same file.
IDENTITY_VERSION = 1
# Garbage can look like millions of empty chunks or tags.
MAX_CHUNKS = 200_000

ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


@dataclass(frozen=True)
class _Layout:
    """Where the payload lies: `head` (bytes at hand), then `regions` (start, end) of the file, in order."""

    kind: str
    regions: tuple[tuple[int, int], ...]
    head: bytes = b""
    ogg_pages: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(end - start for start, end in self.regions)


def identify(path: Path) -> str:
    """A short stable name of the recording: 32 hex digits.

    Made of the payload's kind, length and three samples of 64 KiB: it survives tag writes, renames and moves,
    and reads little of the file. Raises OSError; DecodeError (`unreadable`) where it is no regular file.
    """
    with open_regular(path) as file:
        return identify_open(file)


def identify_open(file: BinaryIO) -> str:
    """Return `identify` of an open file. Raises OSError."""
    layout = _layout(file)
    length = sum(layout.sizes)
    digest = hashlib.sha256(f"{IDENTITY_VERSION} {layout.kind} {len(layout.head)} {length} ".encode())
    digest.update(layout.head)
    # A page of Ogg holds up to 64 KiB: twice that always holds the start of one.
    count = 2 * SAMPLE if layout.ogg_pages else SAMPLE
    for offset in (0, max(0, (length - count) // 2), max(0, length - count)):
        piece = _read_payload(file, layout, offset, count)
        digest.update(ogg.mask_sample(piece) if layout.ogg_pages else piece)
    return digest.hexdigest()[:32]


def payload_digest(path: Path) -> bytes:
    """SHA-256 of the whole audio payload (32 bytes): equal before and after a tag write, in flat memory.

    Raises OSError; DecodeError (`unreadable`) where it is no regular file.
    """
    with open_regular(path) as file:
        layout = _layout(file)
        digest = hashlib.sha256(f"{layout.kind} ".encode())
        for block in _payload(file, layout):
            digest.update(block)
    return digest.digest()


def same_payload(first: Path, second: Path) -> bool:
    """Whether two files hold the same audio payload, bit for bit; quicker than two digests.

    Raises OSError; DecodeError (`unreadable`) where one is no regular file.
    """
    with open_regular(first) as one, open_regular(second) as two:
        layouts = _layout(one), _layout(two)
        if len({(layout.kind, layout.head, layout.sizes) for layout in layouts}) > 1:
            return False
        # Regions of the same sizes come in the same blocks.
        blocks = zip_longest(_payload(one, layouts[0]), _payload(two, layouts[1]))
        return all(left == right for left, right in blocks)


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading, and nothing else: a pipe or device may never answer, or do something.

    Raises OSError; DecodeError (`unreadable`) where it is no regular file.
    """
    if isinstance(path, RemotePath):
        return io.BufferedReader(path.ranges())
    return os.fdopen(regular_descriptor(path), "rb")


def regular_descriptor(path: Path) -> int:
    """Open a local file as `open_regular` does and return its descriptor."""
    if stat.S_ISREG(os.stat(path).st_mode):
        # Something else may have taken the name since.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise DecodeError(f"{path}: is not a regular file", code="unreadable")


def _layout(file: BinaryIO) -> _Layout:
    size = file.seek(0, os.SEEK_END)
    if size == 0:  # some files of the system say so, and keep whoever reads them waiting
        return _Layout("stream", ((0, 0),))
    try:
        return _known_layout(file, size)
    except OddLayoutError:
        return _Layout("bytes", ((0, size),))


def _known_layout(file: BinaryIO, size: int) -> _Layout:
    magic = _read(file, 0, 16)
    if magic.startswith(b"OggS"):
        head, start = ogg.read_headers(file, size)
        return _Layout("ogg", ((start, size),), head, ogg_pages=True)
    if magic[4:8] == b"ftyp":
        return _Layout("mp4", _mp4_regions(file, size))
    if form := chunk_format(magic):
        return _Layout(form.kind, _chunk_regions(file, size, form))
    if magic.startswith(b".snd"):
        return _Layout("au", ((0, size),))
    start = skip_head_tags(file, size)
    if _read(file, start, 4) == b"fLaC":
        return _flac_layout(file, start, size)
    # MPEG audio, ADTS, Monkey's Audio, Musepack, WavPack, TTA, ...: frames between tags.
    return _Layout("stream", ((start, skip_tail_tags(file, start, size)),))


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


# Tags around a stream of frames


def skip_head_tags(file: BinaryIO, size: int) -> int:
    """Return the offset of the first byte after the ID3v2 and APEv2 tags at the start of a file."""
    start = 0
    for _ in range(MAX_CHUNKS):
        length = _id3v2_length(_read(file, start, 10)) or _ape_length(
            _read(file, start, 32), from_header=True
        )
        if length == 0 or start + length > size:
            return start
        start += length
    raise OddLayoutError


def skip_tail_tags(file: BinaryIO, start: int, end: int) -> int:
    """Return the offset of the first of the tags that end at `end`; `start` is where the audio begins."""
    for _ in range(MAX_CHUNKS):
        length = _tail_tag_length(_read(file, max(start, end - 128), min(128, end - start)), file, end)
        if length == 0 or end - length < start:
            return end
        end -= length
    raise OddLayoutError


def _tail_tag_length(tail: bytes, file: BinaryIO, end: int) -> int:
    """Length of the tag that ends at `end`, 0 where there is none; `tail` is what stands before `end`."""
    # First, because "TAG" may stand in an APE tag at the very place where ID3v1 would begin.
    if length := _ape_length(tail[-32:], from_header=False):
        return length
    # Tags of 124 to 127 bytes exist, and taggers take them for ID3v1 too.
    for length in range(128, 123, -1):
        if tail[-length:].startswith(b"TAG") and len(tail) >= length:
            return length
    if tail[-10:].startswith(b"3DI"):
        return _id3v2_length(b"ID3" + tail[-7:])
    if tail.endswith(b"LYRICS200") and tail[-15:-9].isdigit():
        return int(tail[-15:-9]) + 15
    if tail.endswith(b"LYRICSEND"):
        text = _read(file, max(0, end - 5120), min(5120, end))
        found = text.rfind(b"LYRICSBEGIN")
        return len(text) - found if found >= 0 else 0
    # The 227 bytes of an enhanced ID3v1 stand before the plain one, which is gone by now.
    return 227 if end >= 227 and _read(file, end - 227, 4) == b"TAG+" else 0


def _id3v2_length(header: bytes) -> int:
    if len(header) < 10 or header[:3] != b"ID3" or 0xFF in header[3:5] or max(header[6:10]) > 0x7F:
        return 0
    size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
    return 10 + size + (10 if header[5] & 0x10 else 0)


def _ape_length(block: bytes, *, from_header: bool) -> int:
    if len(block) < 32 or block[:8] != b"APETAGEX":
        return 0
    version, size, _items, flags = struct.unpack_from("<4I", block, 8)
    # The size counts the items and the footer; version 1 has no header.
    has_header = version >= 2000 and flags & (1 << 31)
    is_header = flags & (1 << 29)
    if bool(is_header) != from_header or size < 32:
        return 0
    return int(size) + (32 if has_header else 0)


def _flac_layout(file: BinaryIO, start: int, size: int) -> _Layout:
    at, head = start + 4, b""
    for _ in range(MAX_CHUNKS):
        block = _read(file, at, 4)
        if len(block) < 4:
            raise OddLayoutError
        length = int.from_bytes(block[1:], "big")
        if block[0] & 0x7F == 0:
            head = _read(file, at + 4, length)
        at += 4 + length
        if block[0] & 0x80:
            break
    if not head or at > size:
        raise OddLayoutError
    return _Layout("flac", ((at, skip_tail_tags(file, at, size)),), head)


# Files made of chunks


@dataclass(frozen=True)
class ChunkFormat:
    """A file of chunks: how one is headed, where the first stands, and which are sound."""

    kind: str
    magic: bytes
    form_at: int
    form: bytes
    first: int
    header: struct.Struct
    size_counts_header: bool
    even: bool
    sound: Set[bytes]


CHUNK_FORMATS = (
    *(
        ChunkFormat("wav", magic, 8, b"WAVE", 12, struct.Struct("<4sI"), False, True, {b"fmt ", b"data"})
        for magic in (b"RIFF", b"RF64", b"BW64")
    ),
    *(
        ChunkFormat("aiff", b"FORM", 8, form, 12, struct.Struct(">4sI"), False, True, {b"COMM", b"SSND"})
        for form in (b"AIFF", b"AIFC")
    ),
    ChunkFormat(
        "dff", b"FRM8", 12, b"DSD ", 16, struct.Struct(">4sQ"), False, True, {b"PROP", b"DSD ", b"DST "}
    ),
    ChunkFormat("dsf", b"DSD ", 0, b"", 0, struct.Struct("<4sQ"), True, False, {b"fmt ", b"data"}),
    ChunkFormat("asf", ASF_HEADER, 0, b"", 0, struct.Struct("<16sQ"), True, False, {ASF_DATA}),
)


def chunk_format(magic: bytes) -> ChunkFormat | None:
    """Return the chunk format of a file with these first 16 bytes; None if it is not one of chunks."""
    for form in CHUNK_FORMATS:
        if magic.startswith(form.magic) and form.form in (b"", magic[form.form_at : form.form_at + 4]):
            return form
    return None


def _chunk_regions(file: BinaryIO, size: int, form: ChunkFormat) -> tuple[tuple[int, int], ...]:
    regions, at, long_data = [], form.first, None
    for _ in range(MAX_CHUNKS):
        header = _read(file, min(at, size), form.header.size)
        if len(header) < form.header.size:
            break
        name, length = form.header.unpack(header)
        body = at + form.header.size
        if form.size_counts_header:
            length -= form.header.size
        if name == b"ds64" and form.kind == "wav":
            long_data = int.from_bytes(_read(file, body + 8, 8), "little")
        if name == b"data" and length == 0xFFFFFFFF and long_data is not None:
            length = long_data
        if length < 0:
            raise OddLayoutError
        end = min(size, body + length)
        if name in form.sound:
            regions.append((body, end))
        at = body + length + (length & 1 if form.even else 0)
    if not regions:
        raise OddLayoutError
    return tuple(regions)


def _mp4_regions(file: BinaryIO, size: int) -> tuple[tuple[int, int], ...]:
    regions, at = [], 0
    for _ in range(MAX_CHUNKS):
        header = _read(file, min(at, size), 16)
        if len(header) < 8:
            break
        length, body = int.from_bytes(header[:4], "big"), at + 8
        if length == 1:  # the length follows in 64 bits
            length, body = int.from_bytes(header[8:16], "big"), at + 16
        end = size if length == 0 else at + length
        if end < body:
            raise OddLayoutError
        if header[4:8] == b"mdat":
            regions.append((body, min(size, end)))
        at = end
    if not regions:
        raise OddLayoutError
    return tuple(regions)


# Reading


def _payload(file: BinaryIO, layout: _Layout) -> Iterator[bytes]:
    """The whole payload, what a tag write may change in it blanked."""
    yield layout.head
    blocks = _blocks(file, layout)
    yield from ogg.mask_pages(blocks) if layout.ogg_pages else blocks


def _blocks(file: BinaryIO, layout: _Layout) -> Iterator[bytes]:
    for start, end in layout.regions:
        file.seek(start)
        left = end - start
        while left > 0 and (block := file.read(min(BLOCK, left))):
            left -= len(block)
            yield block


def _read_payload(file: BinaryIO, layout: _Layout, offset: int, count: int) -> bytes:
    """`count` bytes of the regions from `offset` on, as if they were one piece."""
    pieces = []
    for start, end in layout.regions:
        if offset < end - start and count > 0:
            piece = _read(file, start + offset, min(count, end - start - offset))
            pieces.append(piece)
            count -= len(piece)
        offset = max(0, offset - (end - start))
    return b"".join(pieces)
