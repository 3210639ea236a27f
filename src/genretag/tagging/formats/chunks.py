"""Files made of chunks: WAV, AIFF, DSDIFF and DSF, and what of them holds tags.

The ID3v2 tag is a chunk of its own; DSF points at it from its header. A WAV may say its genre in LIST/INFO
(IGNR) too: that one is brought along where it exists, never created. Sources: IBM/Microsoft "Multimedia
Programming Interface and Data Specifications 1.0" (RIFF), Apple "AIFF 1.3", Philips "DSDIFF 1.5", Sony "DSF
File Format Specification 1.01".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, Literal, NamedTuple

from genretag.errors import TagError
from genretag.tagging.formats.carrier import (
    Stored,
    Wanted,
    put_back,
    read_at,
    size_of,
    splice,
    taken_out,
)
from genretag.tagging.formats.limits import require_few


@dataclass(frozen=True)
class Layout:
    """How a chunked format writes sizes, and under which name it keeps ID3."""

    byte_order: Literal["little", "big"]
    width: int  # bytes of a size
    id3: bytes
    audio: bytes  # the chunk without which the file is no such file

    @property
    def header(self) -> int:
        return 4 + self.width

    def size(self, data: bytes) -> int:
        return int.from_bytes(data, self.byte_order)

    def pack(self, name: bytes, data: bytes) -> bytes:
        return name + len(data).to_bytes(self.width, self.byte_order) + data + bytes(len(data) % 2)


WAV = Layout("little", 4, b"id3 ", b"data")
AIFF = Layout("big", 4, b"ID3 ", b"SSND")
DSDIFF = Layout("big", 8, b"ID3 ", b"DSD ")


class Chunk(NamedTuple):
    name: bytes
    start: int  # of its header
    size: int  # of its data


class Chunks:
    """The top-level chunks of a file; TagError `not-taggable` when the audio has no known end."""

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        self._file, self.layout = file, layout
        self._outer = layout.size(read_at(file, 4, layout.width))
        self._end = min(size_of(file), layout.header + self._outer)
        self.all = self._walk()
        if not any(chunk.name in (layout.audio, b"DST ") for chunk in self.all):
            raise TagError("its header does not say how long the audio is", code="not-taggable")

    def _walk(self) -> list[Chunk]:
        layout, found = self.layout, []
        at = layout.header + 4
        while at + layout.header <= self._end:
            head = read_at(self._file, at, layout.header)
            chunk = Chunk(head[:4], at, layout.size(head[4:]))
            if at + layout.header + chunk.size > self._end:
                raise TagError("its last chunk is cut off or has no size", code="not-taggable")
            found.append(chunk)
            at += layout.header + chunk.size + chunk.size % 2
        self._behind = min(at, self._end)
        return found

    def data(self, chunk: Chunk) -> bytes:
        return read_at(self._file, chunk.start + self.layout.header, chunk.size)

    def replace(self, chunk: Chunk | None, name: bytes, data: bytes | None) -> None:
        """Put `data` in the place of `chunk` (None: behind the last one); data None removes the chunk."""
        new = b"" if data is None else self.layout.pack(name, data)
        if chunk is None:
            start, length = self._behind, 0
            if start % 2:  # the last chunk came without its pad byte
                new = b"\0" + new
        else:
            whole = self.layout.header + chunk.size + chunk.size % 2
            start, length = chunk.start, min(whole, self._end - chunk.start)
        splice(self._file, start, length, new)
        outer = self._end - self.layout.header + len(new) - length
        if outer >> 8 * self.layout.width:
            raise TagError("the file would outgrow its format", code="not-taggable")
        splice(self._file, 4, self.layout.width, outer.to_bytes(self.layout.width, self.layout.byte_order))


class ChunkSlot:
    """The ID3 chunk of a chunked file."""

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        self._chunks = Chunks(file, layout)
        named = [chunk for chunk in self._chunks.all if chunk.name.lower() == b"id3 "]
        self._chunk = named[0] if named else None

    def get(self) -> bytes | None:
        return self._chunks.data(self._chunk) if self._chunk else None

    def put(self, data: bytes | None) -> None:
        name = self._chunk.name if self._chunk else self._chunks.layout.id3
        self._chunks.replace(self._chunk, name, data)


class DsfSlot:
    """The ID3 tag at the end of a DSF file; the header holds the file size (at 12), then the tag's place.

    What another program appended after the tag stays.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._end = file, size_of(file)
        (self._start,) = struct.unpack("<Q", read_at(file, 20, 8))
        if self._start > self._end:
            raise TagError("the file is cut off", code="not-taggable")
        if self._start:
            self._end = min(self._end, self._start + _id3_length(read_at(file, self._start, 10), self._end))

    def get(self) -> bytes | None:
        return read_at(self._file, self._start, self._end - self._start) if self._start else None

    def put(self, data: bytes | None) -> None:
        start = self._start or self._end
        splice(self._file, start, self._end - start, data or b"")
        splice(self._file, 12, 16, struct.pack("<QQ", size_of(self._file), start if data else 0))


def _id3_length(header: bytes, otherwise: int) -> int:
    """Return the length of an ID3v2 tag by its header of 10 bytes; `otherwise` if it is none."""
    if len(header) < 10 or header[:3] != b"ID3" or max(header[6:10]) > 0x7F:
        return otherwise
    size = sum(byte << shift for byte, shift in zip(header[6:10], (21, 14, 7, 0), strict=True))
    return 10 + size + (10 if header[5] & 0x10 else 0)


class InfoList:
    """The LIST/INFO chunk of a WAV: its IGNR is one text, several genres are joined by "; "."""

    def __init__(self, file: BinaryIO) -> None:
        self._chunks = Chunks(file, WAV)
        lists = [chunk for chunk in self._chunks.all if chunk.name == b"LIST"]
        infos = [chunk for chunk in lists if self._chunks.data(chunk)[:4] == b"INFO"]
        self._chunk = infos[0] if infos else None
        self._items = _entries(self._chunks.data(infos[0])[4:]) if infos else []

    def present(self) -> bool:
        return self._chunk is not None

    def genres(self) -> list[str]:
        return [_readable(self._items[place][8:]) for place in self._places()]

    def stored(self) -> Stored:
        if self._chunk is None:
            return None
        return {"items": [[place, self._items[place].hex()] for place in self._places()]}

    def write(self, wanted: Wanted) -> None:
        items, place = taken_out(self._items, self._places())
        if wanted.values:
            items.insert(place, WAV.pack(b"IGNR", "; ".join(wanted.values).encode("utf-8") + b"\0"))
        self._put(items)

    def restore(self, stored: Stored) -> None:
        if stored is not None and self._chunk is not None:
            items, _ = taken_out(self._items, self._places())
            self._put(put_back(items, stored["items"]))

    def _places(self) -> list[int]:
        return [place for place, item in enumerate(self._items) if item[:4] == b"IGNR"]

    def _put(self, items: list[bytes]) -> None:
        self._chunks.replace(self._chunk, b"LIST", b"INFO" + b"".join(items))


def _entries(data: bytes) -> list[bytes]:
    """The entries of an INFO list, pad bytes included; what cannot be cut stays one last piece."""
    items, at = [], 0
    while at + 8 <= len(data):
        size = WAV.size(data[at + 4 : at + 8])
        end = at + 8 + size + size % 2
        items.append(data[at:end])
        require_few(len(items))
        at = end
    return [*items, data[at:]] if at < len(data) else items


def _readable(data: bytes) -> str:
    text = data.split(b"\0")[0]
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")
