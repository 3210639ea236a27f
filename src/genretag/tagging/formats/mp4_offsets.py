"""Replace bytes in an MP4 file and update every file offset that points behind them.

An MP4 file locates its samples and items by absolute file offsets: chunk offsets (`stco`, `co64`), base data
offsets of movie fragments (`tfhd`), sample auxiliary information (`saio`), items (`iloc`), and the random
access index (`tfra`). Others are relative, and change only if bytes are inserted between their two ends: data
offsets in `trun` and the references of `sidx`. All new values are computed before the first byte is written;
a file in which one of them cannot be stored is refused. Source: ISO/IEC 14496-12:2022, sections 8.6 to 8.16.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

import numpy as np

from genretag.errors import TagError
from genretag.tagging.formats.carrier import read_at, size_of, splice

_CONTAINERS = frozenset(
    {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", b"meta", b"meco", b"moof", b"mfra"}
)
# Boxes of one level of an ordinary file are nested at most 7 deep.
_MAX_DEPTH = 16
_MAX_TABLE = 64 << 20


class Box(NamedTuple):
    """A box of an MP4 file: its type and the offsets of its header, its content and its end."""

    name: bytes
    start: int
    body: int
    end: int


def replace_bytes(file: BinaryIO, start: int, length: int, new: bytes, parents: Sequence[int]) -> None:
    """Replace `length` bytes at `start` by `new`, and update all offsets and sizes in the file.

    Args:
        file: An MP4 file, open for reading and writing.
        start: Offset of the first byte to replace.
        length: Number of bytes to replace; 0 inserts.
        new: Their replacement.
        parents: Offsets of the boxes that contain the replaced bytes, whose sizes change.

    Raises:
        TagError: An offset or size cannot be updated (`not-taggable`); the file is unchanged.
    """
    if len(new) != length:
        move = _Move(file, start + length, len(new) - length)
        for parent in parents:
            move.resize(parent)
        move.update(0, size_of(file))
        for at, content in move.patches:
            file.seek(at)
            file.write(content)
    splice(file, start, length, new)


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two offsets; stop at the first one that is not valid."""
    while start + 8 <= end:
        header = read_at(file, start, 16)
        size, body = int.from_bytes(header[:4], "big"), start + 8
        if size == 1:
            size, body = int.from_bytes(header[8:16], "big"), start + 16
        elif size == 0:
            size = end - start
        if len(header) < body - start or size < body - start:
            return
        # FFmpeg too reads a box that is longer than its container up to the end of the container.
        yield Box(header[4:8], start, body, min(end, start + size))
        start += size


@dataclass
class _Move:
    """Bytes from offset `at` on move by `shift`; `patches` are the (offset, bytes) to write before that."""

    file: BinaryIO
    at: int
    shift: int
    patches: list[tuple[int, bytes]] = field(default_factory=list)

    def moved(self, offset: int) -> int:
        return offset + self.shift if offset >= self.at else offset

    def resize(self, parent: int) -> None:
        """Change the size of a box that contains the replaced bytes."""
        header = read_at(self.file, parent, 16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            self._store(parent + 8, 8, int.from_bytes(header[8:16], "big") + self.shift, header[4:8])
        elif size != 0:  # 0: the box extends to the end of the file
            self._store(parent, 4, size + self.shift, header[4:8])

    def update(self, start: int, end: int, depth: int = 0) -> None:
        """Collect the new values of all offsets in the boxes between `start` and `end`."""
        for box in boxes(self.file, start, end):
            before = len(self.patches)
            if box.name == b"cmov":
                raise _refused("its movie header is compressed (cmov)")
            if box.name == b"moof":
                self._fragment(box)
            elif box.name in (b"stco", b"co64"):
                self._chunk_offsets(box)
            elif box.name == b"saio":
                self._auxiliary(box, 0, 0)
            elif box.name == b"tfra":
                self._random_access(box)
            elif box.name == b"iloc":
                self._items(box)
            elif box.name == b"sidx":
                self._segment_index(box)
            if box.name in _CONTAINERS and depth < _MAX_DEPTH:
                body = box.body + (_meta_header(self.file, box) if box.name == b"meta" else 0)
                self.update(body, box.end, depth + 1)
            if box.name == b"minf" and len(self.patches) > before:
                self._require_own_media(box)

    def _chunk_offsets(self, box: Box) -> None:
        width = 4 if box.name == b"stco" else 8
        table = _Fields(self, box)
        table.skip(4)
        count = table.number(4)
        at, content = table.at, table.take(count * width)
        offsets = np.frombuffer(content, f">u{width}").astype(np.uint64)
        if count == 0 or int(np.max(offsets)) < self.at:
            return
        if self.moved(int(np.max(offsets))) >= 1 << 8 * width:
            raise _overflow(box.name)
        # A shift to the left is the addition of its complement.
        shifted = offsets + np.uint64(self.shift % (1 << 64))
        new = np.where(offsets >= np.uint64(self.at), shifted, offsets)
        self.patches.append((at, new.astype(f">u{width}").tobytes()))

    def _require_own_media(self, minf: Box) -> None:
        """Refuse a track whose offsets refer to another file."""
        inside = {box.name: box for box in boxes(self.file, minf.body, minf.end)}
        if b"stbl" not in inside or b"dinf" not in inside:
            return
        external = _external_references(self.file, inside[b"dinf"])
        if external & _used_references(self.file, inside[b"stbl"]):
            raise _refused("a track of it refers to another file (dref)")

    def _fragment(self, moof: Box) -> None:
        trafs = [box for box in boxes(self.file, moof.body, moof.end) if box.name == b"traf"]
        for index, traf in enumerate(trafs):
            inside = list(boxes(self.file, traf.body, traf.end))
            header = next((box for box in inside if box.name == b"tfhd"), None)
            if header is None:
                continue
            fields = _Fields(self, header)
            flags = fields.number(4)
            fields.skip(4)
            if flags & 1:
                at, base = fields.at, fields.number(8)
                self._store(at, 8, self.moved(base), b"tfhd", old=base)
            elif flags & 0x020000 or index == 0:
                base = moof.start
            else:
                # The base is the end of the data of the track fragment before, and moves with it.
                continue
            for box in inside:
                if box.name == b"trun":
                    self._run(box, base)
                elif box.name == b"saio":
                    self._auxiliary(box, base, self.moved(base))
                elif box.name == b"meta":
                    self.update(box.start, box.end)

    def _run(self, box: Box, base: int) -> None:
        fields = _Fields(self, box)
        if fields.number(4) & 1:
            fields.skip(4)
            at, offset = fields.at, fields.number(4, signed=True)
            new = self.moved(base + offset) - self.moved(base)
            self._store(at, 4, new, b"trun", old=offset, signed=True)

    def _auxiliary(self, box: Box, base: int, new_base: int) -> None:
        fields = _Fields(self, box)
        version = fields.number(4)
        fields.skip(8 if version & 1 else 0)
        width = 8 if version >> 24 else 4
        count = fields.number(4)
        fields.require(count * width)
        for _ in range(count):
            at, offset = fields.at, fields.number(width)
            self._store(at, width, self.moved(base + offset) - new_base, b"saio", old=offset)

    def _random_access(self, box: Box) -> None:
        fields = _Fields(self, box)
        width = 8 if fields.number(4) >> 24 else 4
        fields.skip(4)
        sizes, count = fields.number(4), fields.number(4)
        rest = 3 + (sizes >> 4 & 3) + (sizes >> 2 & 3) + (sizes & 3)
        fields.require(count * (2 * width + rest))
        for _ in range(count):
            fields.skip(width)
            at, offset = fields.at, fields.number(width)
            self._store(at, width, self.moved(offset), b"tfra", old=offset)
            fields.skip(rest)

    def _items(self, box: Box) -> None:
        fields = _Fields(self, box)
        version, sizes = fields.number(4) >> 24, fields.number(2)
        offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
        wide = 4 if version == 2 else 2
        for _ in range(fields.number(wide)):
            fields.skip(wide)
            method = fields.number(2) & 15 if version else 0
            reference = fields.number(2)
            base_at, base = fields.at, fields.number(base_size)
            new_base = self.moved(base) if method == 0 else base
            for _ in range(fields.number(2)):
                fields.skip(index_size if version else 0)
                at, offset = fields.at, fields.number(offset_size)
                fields.skip(length_size)
                if method == 0:
                    new = self.moved(base + offset) - new_base
                    if reference and (new != offset or new_base != base):
                        raise _refused("an item of it refers to another file (iloc)")
                    self._store(at, offset_size, new, b"iloc", old=offset)
            self._store(base_at, base_size, new_base, b"iloc", old=base)

    def _segment_index(self, box: Box) -> None:
        fields = _Fields(self, box)
        width = 8 if fields.number(4) >> 24 else 4
        fields.skip(8 + width)
        at, offset = fields.at, fields.number(width)
        anchor = box.end + offset
        self._store(at, width, self.moved(anchor) - self.moved(box.end), b"sidx", old=offset)
        fields.skip(2)
        for _ in range(fields.number(2)):
            at, reference = fields.at, fields.number(4)
            kind, size = reference & 1 << 31, reference & (1 << 31) - 1
            new = self.moved(anchor + size) - self.moved(anchor)
            if not 0 <= new < 1 << 31:
                raise _overflow(b"sidx")
            self._store(at, 4, kind | new, b"sidx", old=reference)
            anchor += size
            fields.skip(8)

    def _store(
        self, at: int, width: int, value: int, name: bytes, *, old: int | None = None, signed: bool = False
    ) -> None:
        if value == old:
            return
        try:
            self.patches.append((at, value.to_bytes(width, "big", signed=signed)))
        except OverflowError:
            raise _overflow(name) from None


class _Fields:
    """The fields of a box, read one after the other; TagError if the box ends within one."""

    def __init__(self, move: _Move, box: Box) -> None:
        self._file, self._box = move.file, box
        self._start = self.at = box.body
        if box.end - box.body > _MAX_TABLE:
            raise _refused(f"its {_text(box.name)} box is larger than {_MAX_TABLE >> 20} MiB")
        self._content = read_at(move.file, box.body, box.end - box.body)

    def require(self, count: int) -> None:
        if self.at - self._start + count > len(self._content):
            raise _refused(f"its {_text(self._box.name)} box is damaged")

    def take(self, count: int) -> bytes:
        self.require(count)
        at = self.at - self._start
        self.at += count
        return self._content[at : at + count]

    def skip(self, count: int) -> None:
        self.take(count)

    def number(self, width: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(width), "big", signed=signed)


def _meta_header(file: BinaryIO, box: Box) -> int:
    """Length of version and flags at the start of a `meta` box; QuickTime files have none."""
    return 0 if read_at(file, box.body + 4, 4) == b"hdlr" else 4


def _external_references(file: BinaryIO, dinf: Box) -> set[int]:
    """Numbers, from 1 on, of the data references that name another file."""
    for box in boxes(file, dinf.body, dinf.end):
        if box.name == b"dref":
            entries = boxes(file, box.body + 8, box.end)
            return {number for number, entry in enumerate(entries, 1) if _names_a_file(file, entry)}
    return set()


def _names_a_file(file: BinaryIO, entry: Box) -> bool:
    content = read_at(file, entry.body, min(64, entry.end - entry.body))
    # Bit 0: the data is in this file. An empty address without that bit means the same.
    return entry.name == b"imdt" or (content[3:4] != b"\1" and any(content[4:]))


def _used_references(file: BinaryIO, stbl: Box) -> set[int]:
    """Numbers of the data references that the sample descriptions of a track name."""
    for box in boxes(file, stbl.body, stbl.end):
        if box.name == b"stsd":
            entries = boxes(file, box.body + 8, box.end)
            return {int.from_bytes(read_at(file, entry.body + 6, 2), "big") for entry in entries}
    return set()


def _text(name: bytes) -> str:
    return name.decode("latin-1")


def _overflow(name: bytes) -> TagError:
    return _refused(f"an offset or size in its {_text(name)} box would become too large to store")


def _refused(reason: str) -> TagError:
    return TagError(
        f"cannot be tagged safely: {reason}; remux it, for example with FFmpeg", code="not-taggable"
    )
