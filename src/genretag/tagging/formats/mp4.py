"""MP4 (AAC, ALAC): the list of items in moov/udta/meta/ilst, each kept byte by byte except the genre.

Genres are the values of one "©gen" item; "gnre", the ID3v1 number that it replaced, is read, and removed when
a genre is written, since programs disagree on which of the two wins. mutagen finds the list; `mp4_offsets`
updates the offsets of the file when the list grows. Sources: Apple "QuickTime File Format", "iTunes
Metadata"; ISO/IEC 14496-12.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from mutagen.mp4 import Atoms

from genretag.errors import TagError
from genretag.tagging.formats.carrier import (
    NOTE,
    Stored,
    Wanted,
    put_back,
    read_at,
    taken_out,
)
from genretag.tagging.formats.limits import require_few
from genretag.tagging.formats.mp4_offsets import replace_bytes
from genretag.tagging.formats.tcon import GENRES

_PATH = (b"moov", b"udta", b"meta", b"ilst")
_UTF8, _UTF16 = 1, 2  # types of a "data" atom
_MEAN = b"com.apple.iTunes"  # the owner under which programs look for fields without an atom of their own


class Mp4Items:
    """The item list of an MP4 file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        atoms = Atoms(file)
        if b"moov" not in atoms:
            raise TagError("it has no moov atom")
        self._present = _PATH in atoms
        self._room = 0
        self._items: list[bytes] = []
        if self._present:
            self._parents = atoms.path(*_PATH[:-1])
            self._start, self._room = _region(atoms)
            children = atoms.path(*_PATH)[-1].children
            self._items = [read_at(file, atom.offset, atom.length) for atom in children]
        else:
            self._parents = atoms.path(*_PATH[: 2 if _PATH[:2] in atoms else 1])
            innermost = self._parents[-1]
            self._start = innermost.offset + innermost.length - innermost.datalength

    def present(self) -> bool:
        return self._present

    def genres(self) -> list[str]:
        names = [text for item in self._items if _name(item) == b"\xa9gen" for text in _texts(item)]
        numbers = [n for item in self._items if _name(item) == b"gnre" for n in _numbers(item)]
        return names + [GENRES[n - 1] for n in numbers if 0 < n <= len(GENRES)]

    def stored(self) -> Stored:
        if not self._present:
            return None
        return {"items": [[place, self._items[place].hex()] for place in self._places()], "room": self._room}

    def write(self, wanted: Wanted) -> None:
        items, place = taken_out(self._items, self._places())
        new = []
        if wanted.values:
            new.append(_atom(b"\xa9gen", b"".join(_data(value) for value in wanted.values)))
        if wanted.note is not None:
            owner = _atom(b"mean", bytes(4) + _MEAN) + _atom(b"name", bytes(4) + NOTE.encode())
            new.append(_atom(b"----", owner + _data(wanted.note)))
        items[place:place] = new
        self._put(items, self._room)

    def restore(self, stored: Stored) -> None:
        """As in every kind of tag, except that an item list that was not there before stays, empty."""
        items, _ = taken_out(self._items, self._places())
        if stored is None:
            if self._present:
                self._put(items, self._room)
        elif self._present or stored["items"]:
            self._put(put_back(items, stored["items"]), stored["room"])

    def _places(self) -> list[int]:
        return [place for place, item in enumerate(self._items) if _is_ours(item)]

    def _put(self, items: list[bytes], room: int) -> None:
        """Write the list and a free atom behind it, together `room` bytes, or more if they must be."""
        new = _atom(b"ilst", b"".join(items))
        if len(new) != room:
            room = max(room, len(new) + 8)
            new += _atom(b"free", bytes(room - len(new) - 8))
        if not self._present:
            handler = _atom(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
            new = _atom(b"meta", bytes(4) + handler + new)
            new = new if len(self._parents) == 2 else _atom(b"udta", new)
        replace_bytes(self._file, self._start, self._room, new, [atom.offset for atom in self._parents])


def _region(atoms: Any) -> tuple[int, int]:
    """Where the item list and a free atom beside it start, and how long they are together."""
    *_, meta, ilst = atoms.path(*_PATH)
    place = meta.children.index(ilst)
    beside = [atom for atom in meta.children[max(0, place - 1) : place + 2] if atom.name == b"free"]
    # mutagen takes the free atom before the list first; so must we, or the two would not agree on the room.
    parts = [ilst, *beside[:1]]
    return min(atom.offset for atom in parts), sum(atom.length for atom in parts)


def _is_ours(item: bytes) -> bool:
    if _name(item) != b"----":
        return _name(item) in (b"\xa9gen", b"gnre")
    parts = dict(_parts(item))
    return parts.get(b"mean", b"")[4:] == _MEAN and parts.get(b"name", b"")[4:].upper() == NOTE.encode()


def _name(atom: bytes) -> bytes:
    return atom[4:8]


def _parts(item: bytes) -> list[tuple[bytes, bytes]]:
    """The atoms inside an item as (name, content); stops where a size makes no sense."""
    parts, at = [], 8
    while at + 8 <= len(item):
        size = int.from_bytes(item[at : at + 4], "big")
        if size < 8:
            break
        parts.append((item[at + 4 : at + 8], item[at + 8 : at + size]))
        require_few(len(parts))
        at += size
    return parts


def _texts(item: bytes) -> list[str]:
    contents = [content for name, content in _parts(item) if name == b"data"]
    return [
        content[8:].decode("utf-16-be" if content[3] == _UTF16 else "utf-8", "replace")
        for content in contents
        if len(content) > 8
    ]


def _numbers(item: bytes) -> list[int]:
    return [int.from_bytes(content[8:], "big") for name, content in _parts(item) if name == b"data"]


def _data(text: str) -> bytes:
    return _atom(b"data", bytes((0, 0, 0, _UTF8)) + bytes(4) + text.encode("utf-8"))


def _atom(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content
