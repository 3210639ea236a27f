"""Headers of the frames of FLAC, WavPack and MPEG audio, found anywhere in a piece of a stream.

Layouts follow RFC 9639 (FLAC), the WavPack 4 and 5 binary format, ISO/IEC 11172-3 and 13818-3 (MPEG audio),
and the Xing and VBRI headers.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

MAX_FLAC_HEADER = 16
_MAX_WAVPACK_BLOCK = 1 << 24


class Frame(NamedTuple):
    """A frame found at `at`, and the numbers of its first sample and of the one after its last."""

    at: int
    start: int
    end: int


# FLAC


@dataclass(frozen=True)
class FlacStream:
    """The STREAMINFO block: maximum block size, rate, channels, bits, and total samples (0: unknown)."""

    max_block: int
    rate: int
    channels: int
    bits: int
    total: int

    @classmethod
    def of(cls, info: bytes) -> FlacStream:
        """Parse the 34 bytes of a STREAMINFO block."""
        packed = int.from_bytes(info[10:18], "big")
        rate, channels, bits = packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
        return cls(int.from_bytes(info[2:4], "big"), rate, channels, bits, packed & (1 << 36) - 1)

    def frames(self, data: bytes) -> list[Frame]:
        """Return the frames whose valid headers are in `data`, in order."""
        found = (self.frame(data, match.start()) for match in re.finditer(b"\xff[\xf8\xf9]", data))
        return [frame for frame in found if frame is not None]

    def frame(self, data: bytes, at: int) -> Frame | None:
        """Return the frame at an offset of `data`, None if there is no valid header of this stream."""
        head = data[at : at + MAX_FLAC_HEADER]
        if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1:
            return None
        number, used = _coded_number(head[4:])
        size_code, rate_code = head[2] >> 4, head[2] & 15
        place = 4 + used
        block, place = _block_size(size_code, head, place)
        rate, place = _sample_rate(rate_code, head, place, self.rate)
        channels = (head[3] >> 4) + 1 if head[3] < 0x80 else 2 if head[3] < 0xB0 else 0
        bits = (self.bits, 8, 12, 0, 16, 20, 24, 32)[head[3] >> 1 & 7]
        if not used or not block or (rate, channels, bits) != (self.rate, self.channels, self.bits):
            return None
        if place >= len(head) or _crc8(head[:place]) != head[place]:
            return None
        start = number if head[1] & 1 else number * self.max_block
        return Frame(at, start, start + block)


def _coded_number(data: bytes) -> tuple[int, int]:
    """Decode a number in the extended UTF-8 of FLAC; return it and its length, 0 if it is not valid."""
    first = data[0]
    if first < 0x80:
        return first, 1
    length = 8 - (first ^ 0xFF).bit_length()
    rest = data[1:length]
    if not 2 <= length <= 7 or len(rest) < length - 1 or any(byte & 0xC0 != 0x80 for byte in rest):
        return 0, 0
    number = first & (1 << max(0, 7 - length)) - 1
    for byte in rest:
        number = number << 6 | byte & 0x3F
    return number, length


def _block_size(code: int, head: bytes, at: int) -> tuple[int, int]:
    """Return the block size, 0 if the code is reserved, and the offset behind its field."""
    if code in (6, 7):
        width = code - 5
        return int.from_bytes(head[at : at + width], "big") + 1, at + width
    if code == 0:
        return 0, at
    return 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8, at


def _sample_rate(code: int, head: bytes, at: int, own: int) -> tuple[int, int]:
    """Return the sample rate, 0 if the code is invalid, and the offset behind its field."""
    if code >= 12:
        width, factor = ((1, 1000), (2, 1), (2, 10), (0, 0))[code - 12]
        return int.from_bytes(head[at : at + width], "big") * factor, at + width
    known = (own, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)
    return known[code], at


def last_of_chain(found: Sequence[Frame], from_start: bool) -> Frame | None:
    """Return the last frame that another one precedes without a gap: chance does not make two of them.

    Args:
        found: Frames in the order of the file.
        from_start: The first byte of the data was that of the first frame, which needs no other.
    """
    ends: set[int] = set()
    last = None
    for frame in found:
        if frame.start in ends or (from_start and frame.at == 0):
            last = frame
        ends.add(frame.end)
    return last


def flac_frame_is_whole(data: bytes, *, to_end: bool = False) -> bool:
    """Return True if `data` begins with one frame whose checksum is right.

    Args:
        data: Bytes from the header of the frame on.
        to_end: Require the frame to end where the data does. Otherwise a frame that is cut off may be taken
            for a whole one, by chance in one case of 65,536 for each of its bytes.
    """
    value, table = 0, _table(16, 0x8005)
    for at, byte in enumerate(data):
        value = (value << 8 & 0xFFFF) ^ table[value >> 8 ^ byte]
        if value == 0 and at >= MAX_FLAC_HEADER and not to_end:
            return True
    return value == 0


def _crc8(data: bytes) -> int:
    value, table = 0, _table(8, 0x07)
    for byte in data:
        value = table[value ^ byte]
    return value


@lru_cache
def _table(bits: int, polynomial: int) -> tuple[int, ...]:
    """Return the checksums of all bytes."""
    values = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value >> bits - 1 else 0)) & (1 << bits) - 1
        values.append(value)
    return tuple(values)


# WavPack


class Block(NamedTuple):
    """A WavPack block of `size` bytes; `total` counts the samples of the stream, None if unknown.

    `final`: it is the last of the blocks that hold the channels of the same samples.
    """

    at: int
    start: int
    end: int
    size: int
    total: int | None
    final: bool


def wavpack_blocks(data: bytes) -> list[Block]:
    """Return the blocks with samples whose headers are in `data`, in order."""
    found = (wavpack_block(data, match.start()) for match in re.finditer(b"wvpk", data))
    return [block for block in found if block is not None and block.end > block.start]


def wavpack_block(data: bytes, at: int) -> Block | None:
    """Return the block at an offset of `data`, None if there is no valid header."""
    if len(data) < at + 32 or not data.startswith(b"wvpk", at):
        return None
    fields = struct.unpack_from("<IHBBIIII", data, at + 4)
    size, version, index_high, total_high, total, index, samples, flags = fields
    if not 0x402 <= version <= 0x410 or not 24 <= size < _MAX_WAVPACK_BLOCK:
        return None
    start = index + (index_high << 32)
    whole = None if total == 0xFFFFFFFF else total + (total_high << 32) - total_high
    return Block(at, start, start + samples, size + 8, whole, bool(flags & 0x1000))


# MPEG audio, layer III

_RATES = (44100, 48000, 32000)
_BIT_RATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)


def mpeg_stated_bytes(data: bytes) -> tuple[int, int] | None:
    """Return the offset of the frame with a Xing, Info or VBRI header and the bytes that it states.

    None if there is no such header among the first frames, or it does not state the bytes.
    """
    for match in re.finditer(b"Xing|Info|VBRI", data):
        if match[0] == b"VBRI":
            distances, field = [36], 10
        else:
            distances, field = [36, 21, 13], 8
        for at in (match.start() - distance for distance in distances):
            if at < 0 or not _frame_length(data, at):
                continue
            words = data[match.start() : match.start() + 16]
            if len(words) < 16:
                return None
            if match[0] == b"VBRI":
                return at, int.from_bytes(words[field : field + 4], "big")
            flags = words[7]
            field += 4 if flags & 1 else 0
            return (at, int.from_bytes(words[field : field + 4], "big")) if flags & 2 else None
    return None


def mpeg_ends_with_frame(data: bytes) -> bool:
    """Return True if three frames in a row end where `data` ends."""
    counts = {len(data): 0}
    for at in range(len(data) - 4, -1, -1):
        length = _frame_length(data, at) if data[at] == 0xFF else 0
        if length and at + length in counts:
            counts[at] = counts[at + length] + 1
            if counts[at] == 3:
                return True
    return False


def _frame_length(data: bytes, at: int) -> int:
    """Return the bytes of the layer III frame at an offset, 0 if there is no valid header."""
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, rate_code, bits_code = head[1] >> 3 & 3, head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or rate_code == 3 or bits_code in (0, 15):
        return 0
    rate = _RATES[rate_code] >> {3: 0, 2: 1, 0: 2}[version]
    bit_rate = _BIT_RATES[version != 3][bits_code] * 1000
    return (144 if version == 3 else 72) * bit_rate // rate + (head[2] >> 1 & 1)
