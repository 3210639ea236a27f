"""Detect files that end before the audio that their headers promise: interrupted copies and downloads.

Only headers and the end of a file are read, and nothing is decoded. A false report is worse than a missed
one: sizes that encoders write while the length is unknown are ignored, and a stream that ends with a whole
frame counts as complete, because editors that cut files there often keep the old header. Ogg files and AAC
streams state no length. Layouts follow the specifications named in `payload`, the TTA1, WavPack 4/5 and
Monkey's Audio 3.98 formats, and the Xing and VBRI headers of MPEG audio.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from genretag.audio import frames
from genretag.audio.ogg import OddLayoutError
from genretag.audio.payload import (
    ASF_DATA,
    MAX_CHUNKS,
    ChunkFormat,
    chunk_format,
    open_regular,
    skip_head_tags,
    skip_tail_tags,
)

# Careless writers count a header or a tag as audio.
TOLERANCE = 1024
# Programs that write to a pipe state 0, -1 or a length near 2 GiB (SoX: 0x7F000000, others up to 0x80000000).
UNKNOWN_32 = 0x7F000000
UNKNOWN_64 = 1 << 62
# Where the last frame of a stream is searched for, in turn.
WINDOWS = (1 << 16, 1 << 20)
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
MAX_TTA_FRAMES = 1 << 20
_AUDIO_CHUNKS = frozenset({b"data", b"SSND", b"DSD ", b"DST ", ASF_DATA})
_MEDIA_BOXES = frozenset({b"moov", b"moof", b"mdat"})


def missing_data(path: Path) -> str | None:
    """Return a short reason if the headers promise more data than the file holds, else None.

    Args:
        path: A file of any content; garbage gives None.

    Raises:
        OSError: The file cannot be read.
        DecodeError: The path is not a regular file (`unreadable`).
    """
    with open_regular(path) as file:
        try:
            return _missing(file, file.seek(0, os.SEEK_END))
        except (struct.error, IndexError, OddLayoutError):
            return None


def _missing(file: BinaryIO, size: int) -> str | None:
    magic = _read(file, 0, 16)
    if magic[4:8] == b"ftyp":
        return _mp4(file, size)
    if form := chunk_format(magic):
        return _chunks(file, size, form)
    if magic.startswith(b".snd"):
        return _au(magic, size)
    if magic.startswith(b"OggS"):
        return None
    start = skip_head_tags(file, size)
    magic = _read(file, start, 4)
    if magic == b"fLaC":
        return _flac(file, start, size)
    end = skip_tail_tags(file, start, size)
    if magic == b"TTA1":
        return _tta(file, start, end)
    if magic == b"wvpk":
        return _wavpack(file, start, end)
    if magic == b"MAC ":
        return _monkeys_audio(file, start, end)
    return _mpeg(file, start, end)


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _bytes_short(missing: int) -> str | None:
    return f"it has {missing:,} bytes fewer than its header states" if missing > TOLERANCE else None


def _samples_short(held: int, total: int) -> str | None:
    return f"it has {held:,} of the {total:,} samples that its header states" if held < total else None


# Boxes and chunks


def _mp4(file: BinaryIO, size: int) -> str | None:
    found, at = [], 0
    for _ in range(MAX_CHUNKS):
        header = _read(file, at, 16)
        if len(header) < 8:
            break
        length, name, body = int.from_bytes(header[:4], "big"), header[4:8], at + 8
        if length == 1:
            length, body = int.from_bytes(header[8:16], "big"), at + 16
        if length == 0 or length < body - at:  # up to the end of the file, or no box
            return None
        at += length
        if name in _MEDIA_BOXES:
            found.append(name)
            # Some writers of files with a single mdat box miscount it.
            if at > size + (TOLERANCE if name == b"mdat" and b"moof" not in found else 0):
                return f"its {name.decode()} box is {at - size:,} bytes shorter than its header states"
        if name == b"sidx" and (missing := _segments_end(file, body, at) - size) > 0:
            return f"its segments are {missing:,} bytes shorter than its index (sidx) states"
        if at >= size:
            break
    if found and found[-1] == b"moof":
        return "its last fragment has no audio data (mdat)"
    if found and b"mdat" not in found:
        return "its audio data (mdat) is missing"
    return "its header (moov) is missing" if found and b"moov" not in found else None


def _segments_end(file: BinaryIO, body: int, end: int) -> int:
    """Return the offset at which the last segment of an index ends."""
    content = _read(file, body, min(end - body, WINDOWS[-1]))
    wide = content[0] > 0
    (first,) = struct.unpack_from(">Q" if wide else ">I", content, 20 if wide else 16)
    at = 28 if wide else 20
    (count,) = struct.unpack_from(">H", content, at + 2)
    sizes = (struct.unpack_from(">I", content, at + 4 + 12 * index)[0] for index in range(count))
    return int(end + first + sum(size & 0x7FFFFFFF for size in sizes))


def _chunks(file: BinaryIO, size: int, form: ChunkFormat) -> str | None:
    whole = _stated_size(file, form)
    if form.kind == "asf" and whole is None:
        return None
    wide = form.header.format.endswith("Q")
    at, long_data, reached, cut = form.first, 0, False, False
    for _ in range(MAX_CHUNKS):
        header = _read(file, at, form.header.size) if at < size else b""
        if len(header) < form.header.size:
            break
        name, length = form.header.unpack(header)
        body = at + form.header.size
        if name == b"ds64" and form.kind == "wav":
            riff, long_data = struct.unpack("<QQ", _read(file, body, 16))
            whole = 8 + riff if 0 < riff < UNKNOWN_64 else None
        is_audio = name in _AUDIO_CHUNKS & form.sound
        if is_audio and length == 0xFFFFFFFF and long_data:
            length, wide = long_data, True
        if is_audio and not 0 < length < (UNKNOWN_64 if wide else UNKNOWN_32):
            return None
        at = body + length - (form.header.size if form.size_counts_header else 0)
        if at < body:
            return None
        if is_audio and (reason := _bytes_short(at - size)):
            return reason
        reached, cut = reached or is_audio, at > size
        at += length & 1 if form.even else 0
    # The size of the whole file is often wrong, and is used only if a chunk confirms it.
    return _bytes_short(whole - size) if whole is not None and (cut or not reached) else None


def _stated_size(file: BinaryIO, form: ChunkFormat) -> int | None:
    """Return the size that a file of chunks states for itself, None if unknown."""
    head = _read(file, 0, 1 << 12)
    if form.kind == "asf":
        at = head.find(ASF_FILE_PROPERTIES)
        (whole,) = struct.unpack_from("<Q", head, at + 40) if at >= 0 else (0,)
        # Bit 0 of the flags: a broadcast, whose sizes are not valid.
        return None if at < 0 or head[at + 88] & 1 else whole
    if form.kind == "dsf":
        (whole,) = struct.unpack_from("<Q", head, 12)
    elif form.kind == "dff":
        (whole,) = struct.unpack_from(">Q", head, 4)
    else:
        (whole,) = struct.unpack_from(form.header.format[0] + "I", head, 4)
        whole = 0 if whole >= UNKNOWN_32 else whole
    return whole if 0 < whole < UNKNOWN_64 else None


def _au(magic: bytes, size: int) -> str | None:
    start, length = struct.unpack_from(">II", magic, 4)
    return _bytes_short(start + length - size) if length < UNKNOWN_32 else None


def _tta(file: BinaryIO, start: int, end: int) -> str | None:
    header = _read(file, start, 22)
    rate, samples, check = struct.unpack_from("<III", header, 10)
    if zlib.crc32(header[:18]) != check or rate == 0:
        return None
    count = -(-samples // (256 * rate // 245 or 1))
    if count > MAX_TTA_FRAMES:
        return None
    table = _read(file, start + 22, min(4 * count + 4, end))
    if len(table) < 4 * count + 4 or start + 22 + len(table) > end:
        return "its seek table is not complete"
    if zlib.crc32(table[:-4]) != int.from_bytes(table[-4:], "little"):
        return None
    sizes = sum(struct.unpack(f"<{count}I", table[:-4]))
    missing = start + 22 + len(table) + sizes - end
    return f"it has {missing:,} bytes fewer than its seek table states" if missing > 0 else None


def _monkeys_audio(file: BinaryIO, start: int, end: int) -> str | None:
    version, *sizes = struct.unpack("<4xH2x7I", _read(file, start, 36))
    *parts, low, high, trailing = sizes
    if version < 3980 or low == 0:
        return None
    return _bytes_short(start + sum(parts) + low + (high << 32) + trailing - end)


# Streams of frames


def _flac(file: BinaryIO, start: int, size: int) -> str | None:
    at, info = start + 4, b""
    for _ in range(MAX_CHUNKS):
        block = _read(file, at, 4)
        if len(block) < 4:
            return "its metadata is not complete"
        if block[0] & 0x7F == 0:
            info = _read(file, at + 4, 34)
        at += 4 + int.from_bytes(block[1:], "big")
        if block[0] & 0x80:
            break
    if at >= size:
        return "it has no audio data"
    if len(info) < 34:
        return None
    stream = frames.FlacStream.of(info)
    end = skip_tail_tags(file, at, size)
    first = stream.frame(_read(file, at, frames.MAX_FLAC_HEADER), 0)
    if stream.total == 0 or first is None:
        return None
    for window in WINDOWS:
        from_here = max(at, end - window)
        tail = _read(file, from_here, end - from_here)
        found = stream.frames(tail)
        ends = [frame for frame in found if frame.end - min(first.start, frame.start) >= stream.total]
        if any(frames.flac_frame_is_whole(tail[frame.at :]) for frame in ends):
            return None
        last = frames.last_of_chain(found, from_here == at)
        if last is not None:
            whole = frames.flac_frame_is_whole(tail[last.at :], to_end=True)
            return None if whole else _samples_short(last.start - first.start, stream.total)
        if from_here == at:
            break
    return None


def _wavpack(file: BinaryIO, start: int, end: int) -> str | None:
    first = frames.wavpack_block(_read(file, start, 32), 0)
    if first is None or first.start != 0 or first.total is None:
        return None
    for window in WINDOWS:
        from_here = max(start, end - window)
        tail = _read(file, from_here, end - from_here)
        found = frames.wavpack_blocks(tail)
        ends = [block for block in found if block.final and block.end >= first.total]
        if any(block.at + block.size <= len(tail) for block in ends):
            return None
        if found:
            last = found[-1]
            behind = last.at + last.size - len(tail)
            if last.final and behind == 0:
                return None
            return _samples_short(last.end if last.final and behind < 0 else last.start, first.total)
    return None


def _mpeg(file: BinaryIO, start: int, end: int) -> str | None:
    stated = frames.mpeg_stated_bytes(_read(file, start, 1 << 13))
    if stated is None or not 0 < stated[1] < UNKNOWN_32:
        return None
    at, length = stated
    reason = _bytes_short(start + at + length - end)
    if reason:
        tail_at = max(start, end - WINDOWS[0])
        whole = frames.mpeg_ends_with_frame(_read(file, tail_at, end - tail_at))
        return None if whole else reason
    return None
