"""The old bytes of a file told in terms of its new ones: small enough to keep for every tag write.

A delta is a list of pieces that make up the old file in order: each copies a stretch of the new file, then
adds bytes of its own. Audio that moved as a whole costs one piece; an Ogg file whose pages were renumbered
costs one small piece a page; a picture that moved among the tags is searched for.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genretag.audio.payload import open_regular

MAGIC = b"gd1"
BLOCK = 1 << 20
MAX_DELTA = 1 << 20
MAX_LITERAL = 16 << 20
# Noting a copy down costs about as much as these bytes themselves.
MIN_COPY = 8
# Old bytes that are not where they are expected are searched for from this many on: pictures, mostly.
MIN_MOVED = 1 << 14
MIN_STRETCH = 1 << 9
MAX_WINDOW = 64 << 20
MAX_SEARCHED = 256 << 20
MAX_SLACK = 1 << 16
MAX_DRIFT = 1 << 10
MAX_PIECES = 1 << 17
ANCHOR = 64
STRIDE = 256
PROBES = 16


class _Copy(NamedTuple):
    """Old bytes [start, start + length) that stand in the new file at `source`."""

    start: int
    source: int
    length: int


def make_delta(old_file: Path, new_file: Path) -> bytes | None:
    """What turns `new_file` back into `old_file`, at most `MAX_DELTA` bytes; None where it would take more.

    Raises OSError; DecodeError (`unreadable`) if one is not a regular file.
    """
    with open_regular(old_file) as old, open_regular(new_file) as new:
        copies = _find_copies(old, new)
        if copies is None:
            return None
        delta = _encode(copies, old)
    return delta if len(delta) <= MAX_DELTA else None


def apply_delta(new_file: Path, delta: bytes, out: Path) -> None:
    """Write to `out` the old file that `delta` was made from.

    Raises OSError; DecodeError (`unreadable`) if `new_file` is not a regular file; ValueError if the delta is
    damaged.
    """
    with out.open("wb") as old:
        for piece in old_pieces(new_file, delta):
            old.write(piece)


def old_pieces(new_file: Path, delta: bytes) -> Iterator[bytes]:
    """The bytes of the old file in order, at most `BLOCK` or `MAX_LITERAL` at a time; raises the same."""
    pieces, literal = _decode(delta)
    source = at = 0
    with open_regular(new_file) as new:
        size = new.seek(0, os.SEEK_END)
        # No delta copies the same bytes again and again: that would fill the disk.
        if sum(length for _, length, _ in pieces) > 2 * size + MAX_WINDOW:
            raise ValueError("the record of the old bytes is damaged (it is too long)")
        for step, length, own in pieces:
            source += step
            if min(source, length, own) < 0 or source + length >= 1 << 62:
                raise ValueError("the record of the old bytes is damaged (it leaves the file)")
            for count in _block_sizes(length):
                yield _read(new, source, count)
                source += count
            yield literal[at : at + own]
            at += own


# Where the old bytes stand in the new file


def _find_copies(old: BinaryIO, new: BinaryIO) -> list[_Copy] | None:
    """Copies in the order of the old file, none overlapping; None where too little is found again."""
    old_size, new_size = old.seek(0, os.SEEK_END), new.seek(0, os.SEEK_END)
    head = _common_head(old, new, min(old_size, new_size))
    shift = _likely_shift(old, new, head)
    first, last = max(head, -shift), min(old_size, new_size - shift)
    copies, unknown = [_Copy(0, 0, head)], [(head, first), (last, old_size)]
    missing = first - head + old_size - last
    for start, end, same in _compare(old, new, first, last, shift):
        if same:
            copies.append(_Copy(start, start + shift, end - start))
            continue
        unknown.append((start, end))
        missing += end - start
        if missing > MAX_WINDOW or len(unknown) > MAX_PIECES:
            return None
    copies += _find_moved(old, new, sorted(unknown), head)
    copies.sort()
    return copies if old_size - sum(copy.length for copy in copies) <= MAX_LITERAL else None


def _common_head(old: BinaryIO, new: BinaryIO, limit: int) -> int:
    at = 0
    for size in _block_sizes(limit):
        left, right = _read(old, at, size), _read(new, at, size)
        if left != right:
            return at + _agreement(left, right)
        at += size
    return at


def _likely_shift(old: BinaryIO, new: BinaryIO, head: int) -> int:
    """How far the sound moved: it keeps its distance from the end, or its place where the tags follow it."""
    old_size, new_size = old.seek(0, os.SEEK_END), new.seek(0, os.SEEK_END)
    agree = dict.fromkeys((new_size - old_size, 0), 0)
    for at in np.linspace(head, max(head, min(old_size, new_size) - ANCHOR), PROBES, dtype=np.int64).tolist():
        sample = _read(old, at, min(ANCHOR, old_size - at))
        for shift in agree:
            here = at + shift
            if here >= 0 and here + len(sample) <= new_size:
                agree[shift] += sample == _read(new, here, len(sample))
    return max(agree, key=lambda shift: agree[shift])


def _compare(
    old: BinaryIO, new: BinaryIO, start: int, end: int, shift: int
) -> Iterator[tuple[int, int, bool]]:
    """Stretches (start, end, same) of the old file, compared with the new one `shift` bytes further on."""
    for size in _block_sizes(end - start):
        left, right = _read(old, start, size), _read(new, start + shift, size)
        done = 0
        if left != right:
            differs = np.flatnonzero(_array(left) != _array(right))
            breaks = np.flatnonzero(np.diff(differs) > MIN_COPY)
            firsts = differs[np.concatenate(([0], breaks + 1))].tolist()
            lasts = differs[np.concatenate((breaks, [-1]))].tolist()
            for first, last in zip(firsts, lasts, strict=True):
                if first > done:
                    yield start + done, start + first, True
                yield start + first, start + last + 1, False
                done = last + 1
        if done < size:
            yield start + done, start + size, True
        start += size


def _find_moved(old: BinaryIO, new: BinaryIO, unknown: list[tuple[int, int]], head: int) -> Iterator[_Copy]:
    """Long unknown stretches that stand elsewhere among the new tags, found by a few bytes of theirs.

    A picture in Ogg comments is cut into pages, each moved by a little more than the one before: what follows
    is looked for near the last find first, and everywhere only until `MAX_SEARCHED` bytes were searched.
    """
    stretches = [(start, end) for start, end in _joined(unknown) if end - start >= MIN_STRETCH]
    if sum(end - start for start, end in stretches) < MIN_MOVED:
        return
    new_size = new.seek(0, os.SEEK_END)
    # The last unknown byte is as far from the end of the new file as of the old one, give or take padding.
    reach = new_size - old.seek(0, os.SEEK_END) + stretches[-1][1] + MAX_SLACK
    window = _read(new, head, max(0, min(reach - head, new_size - head, MAX_WINDOW)))
    near, searched = 0, 0
    for start, end in stretches:
        content = _read(old, start, end - start)
        done = at = 0
        while at < len(content):
            anchor = content[at : at + ANCHOR]
            found = window.find(anchor, max(0, near + at - MAX_DRIFT), max(0, near + at + MAX_DRIFT))
            if found < 0 and searched < MAX_SEARCHED:
                found = window.find(anchor)
                searched += len(window) if found < 0 else found
            if found < 0:
                at += STRIDE
                continue
            reach = min(at - done, found)
            before = _agreement(content[at - reach : at][::-1], window[found - reach : found][::-1])
            after = _agreement(content[at:], window[found : found + len(content) - at])
            yield _Copy(start + at - before, head + found - before, before + after)
            near = found - at
            done = at = at + after


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in stretches:
        if joined and joined[-1][1] == start:
            start, _ = joined.pop()
        joined.append((start, end))
    return joined


def _agreement(left: bytes, right: bytes) -> int:
    """How many leading bytes are the same."""
    shorter = min(len(left), len(right))
    differs = _array(left[:shorter]) != _array(right[:shorter])
    return int(differs.argmax()) if differs.any() else shorter


# The form it is kept in, compressed: the number of pieces; three columns (step from the end of the last copy,
# length of the copy, count of own bytes after it); all own bytes


def _encode(copies: list[_Copy], old: BinaryIO) -> bytes:
    size = old.seek(0, os.SEEK_END)
    pieces: list[tuple[int, int, int]] = []
    literal = bytearray()
    source = 0
    for copy, following in pairwise([*copies, _Copy(size, 0, 0)]):
        end = copy.start + copy.length
        own = _read(old, end, following.start - end)
        if pieces and copy.source == source and pieces[-1][2] == 0:
            step, length, _ = pieces.pop()
            pieces.append((step, length + copy.length, len(own)))
        else:
            pieces.append((copy.source - source, copy.length, len(own)))
        source = copy.source + copy.length
        literal += own
    columns = np.array(pieces, "<i8").T
    return MAGIC + zlib.compress(struct.pack("<q", len(pieces)) + columns.tobytes() + literal)


def _decode(delta: bytes) -> tuple[list[list[int]], bytes]:
    try:
        if not delta.startswith(MAGIC):
            raise ValueError("unknown form")
        inflater = zlib.decompressobj()
        content = inflater.decompress(delta[len(MAGIC) :], 8 + 24 * MAX_PIECES + MAX_LITERAL)
        if not inflater.eof:
            raise ValueError("it ends too early")
        count = struct.unpack_from("<q", content)[0]
        columns = np.frombuffer(content, "<i8", 3 * count, 8).reshape(3, count)
    except (zlib.error, struct.error, ValueError, OverflowError) as error:
        raise ValueError(f"the record of the old bytes is damaged ({error})") from error
    return columns.T.tolist(), content[8 + columns.nbytes :]


# Reading


def _block_sizes(total: int) -> Iterator[int]:
    for done in range(0, total, BLOCK):
        yield min(BLOCK, total - done)


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    content = file.read(count)
    if len(content) < count:
        raise OSError(errno.EIO, "the file shrank while it was read", file.name)
    return content


def _array(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)
