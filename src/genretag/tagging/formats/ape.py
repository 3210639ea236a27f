"""APEv2 tags at the end of a file: Monkey's Audio, WavPack, Musepack, OptimFROG, TAK; also in mp3 and tta.

Items are kept byte by byte; Genre is one item, its values NUL-separated. An ID3v1 or Lyrics3 tag behind the
APE tag stays where it is. Source: the APEv2 specification and the APE tag item format (wiki.hydrogenaud.io);
Lyrics3 v2.00 (id3.org).
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from genretag.errors import TagError
from genretag.tagging.formats.carrier import (
    NOTE,
    Stored,
    Wanted,
    put_back,
    read_at,
    splice,
    taken_out,
)
from genretag.tagging.formats.id3v1 import Id3v1, v1_start
from genretag.tagging.formats.limits import require_few

_MARK = b"APETAGEX"
_ENDS = struct.Struct("<8s4I8x")  # mark, version, size of items and footer, items, flags
_HAS_HEADER, _IS_HEADER, _READ_ONLY = 1 << 31, 1 << 29, 1
_TEXT_KIND = 0b110  # the item flags that say what the value is; zero is UTF-8 text
_KEYS = {"title": "Title", "artist": "Artist", "album": "Album", "track": "Track", "year": "Year"}
_KEYS["comment"] = "Comment"


class ApeTag:
    """The APE tag of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._fields = Id3v1(file).fields()
        self._version, self._flags = 2000, _HAS_HEADER
        self._items: list[bytes] = []
        self._tail = b""
        end = v1_start(file)
        self._end = _before_lyrics(file, end)
        found = self._footer(end) or self._footer(self._end)
        self._present = found is not None
        if found is None:
            self._start = self._end
            return
        self._end, self._version, size, self._flags = found
        self._start = self._end - size
        self._items, self._tail = _cut(read_at(file, self._start, size - _ENDS.size))
        before = max(0, self._start - _ENDS.size)
        if self._flags & _HAS_HEADER and read_at(file, before, 8) == _MARK:
            self._start = before

    def _footer(self, end: int) -> tuple[int, int, int, int] | None:
        data = read_at(self._file, max(0, end - _ENDS.size), _ENDS.size)
        if end < _ENDS.size or data[:8] != _MARK:
            return None
        _, version, size, _, flags = _ENDS.unpack(data)
        if not _ENDS.size <= size <= end:
            raise TagError("its APE tag has an impossible size")
        return end, version, size, flags

    def present(self) -> bool:
        return self._present

    def genres(self) -> list[str]:
        values = (_value(item) for item in self._items if _key(item) == "GENRE" and not item[4] & _TEXT_KIND)
        return [genre for value in values for genre in value.decode("utf-8", "replace").split("\0")]

    def stored(self) -> Stored:
        if not self._present:
            return None
        return {"items": [[place, self._items[place].hex()] for place in self._places()]}

    def write(self, wanted: Wanted) -> None:
        items, place = taken_out(self._items, self._places())
        if not self._present:
            items = self._taken_over()
            place = len(items)
        new = [_item("Genre", "\0".join(wanted.values))] if wanted.values else []
        if wanted.note is not None:
            new.append(_item(NOTE, wanted.note))
        items[place:place] = new
        self._put(items)

    def restore(self, stored: Stored) -> None:
        items, _ = taken_out(self._items, self._places())
        if stored is None:
            if self._present:
                self._put(items if items != self._taken_over() or self._tail else None)
        elif self._present or stored["items"]:
            self._put(put_back(items, stored["items"]))

    def _places(self) -> list[int]:
        return [place for place, item in enumerate(self._items) if _key(item) in ("GENRE", NOTE)]

    def _taken_over(self) -> list[bytes]:
        """What a new tag takes over from ID3v1: programs that read APE stop reading ID3v1."""
        return [_item(_KEYS[field], value) for field, value in self._fields.items()]

    def _put(self, items: list[bytes] | None) -> None:
        data = b""
        if items is not None:
            body = b"".join(items) + self._tail
            ends = (_MARK, self._version, len(body) + _ENDS.size, len(items))
            flags = self._flags & (_HAS_HEADER | _READ_ONLY)
            header = _ENDS.pack(*ends, flags | _IS_HEADER) if flags & _HAS_HEADER else b""
            data = header + body + _ENDS.pack(*ends, flags)
        splice(self._file, self._start, self._end - self._start, data)


def _before_lyrics(file: BinaryIO, end: int) -> int:
    """Where a Lyrics3v2 tag that ends at `end` starts; `end` where there is none."""
    data = read_at(file, max(0, end - 15), 15)
    if data[6:] == b"LYRICS200" and data[:6].isdigit():
        return max(0, end - 15 - int(data[:6]))
    return end


def _cut(body: bytes) -> tuple[list[bytes], bytes]:
    """The items of a tag, and what is left where they stop making sense."""
    items, at = [], 0
    while at + 8 < len(body):
        size = int.from_bytes(body[at : at + 4], "little")
        name_end = body.find(b"\0", at + 8)
        if name_end < 0 or name_end + 1 + size > len(body):
            break
        items.append(body[at : name_end + 1 + size])
        require_few(len(items))
        at = name_end + 1 + size
    return items, body[at:]


def _key(item: bytes) -> str:
    return item[8 : item.index(b"\0", 8)].decode("latin-1").upper()


def _value(item: bytes) -> bytes:
    return item[item.index(b"\0", 8) + 1 :]


def _item(key: str, value: str) -> bytes:
    data = value.encode("utf-8")
    return struct.pack("<2I", len(data), 0) + key.encode("ascii") + b"\0" + data
