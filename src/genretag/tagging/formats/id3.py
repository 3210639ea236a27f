"""ID3v2.2, 2.3 and 2.4 tags, cut into frames without decoding them.

Only the genre frame (TCON) and our own note (TXXX:GENRETAG) are touched; every other frame keeps its bytes,
flags, order and encoding, also those that no library knows. mutagen decodes the genre frame and converts a
tag when another version is asked for. Sources: the ID3v2.2.0, 2.3.0 and 2.4.0 informal standards (id3.org).

Decisions:
- Version: the file's own is kept, 2.2 included; 2.4 where there is no tag.
- Several genres in 2.4 stand NUL-separated, as the standard says. ID3v2.3 has no rule for several free-text
  genres; NUL is what mutagen, TagLib, Mp3tag and foobar2000 read as several values, and a program that knows
  one genre only shows the first. "/" is no separator in TCON (the 2.3 standard lists the frames where it is).
- "(17)" and "17" are read as the ID3v1 genre 17; names that look like that are spelled so that they are not
  (see tcon).
- An extended header, a footer and a checksum are optional and void after a change: they are left out.
- Converting drops what the target cannot hold: sizes and seek tables, unknown frames that are compressed or
  encrypted, and from 2.2 any frame without a 2.3 counterpart.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Protocol

from mutagen.id3 import ID3

from genretag.errors import TagError
from genretag.tagging.formats.carrier import (
    NOTE,
    Stored,
    Wanted,
    put_back,
    read_at,
    size_of,
    splice,
    taken_out,
)
from genretag.tagging.formats.limits import require_few, require_small
from genretag.tagging.formats.tcon import names_of, spelled

_UNSYNCHRONISED, _EXTENDED, _EXPERIMENTAL, _FOOTER = 0x80, 0x40, 0x20, 0x10
_COMPRESSED_22 = 0x40
_COMPRESSED = {3: 0x80, 4: 0x08}  # the flag of a frame
_FRAME_ID = {2: re.compile(rb"[A-Z0-9]{3}"), 3: re.compile(rb"[A-Z0-9]{3}[A-Z0-9 \0]")}
_FRAME_ID[4] = _FRAME_ID[3]
_ENCODINGS = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}

# Frames that belong to the other version by the book, but that programs write and read in both.
_KEPT_IN_BOTH = frozenset(
    (
        *("EQU2", "RVA2", "RVAD", "TDEN", "TDRL", "TDTG", "TMOO", "TPRO"),
        *("TRDA", "TSO2", "TSOA", "TSOC", "TSOP", "TSOT", "TSST"),
    )
)


class Slot(Protocol):
    """The place of an ID3v2 tag in a file."""

    def get(self) -> bytes | None:
        """The bytes of the tag, padding included; None: there is none."""

    def put(self, data: bytes | None) -> None:
        """Replace the tag; None removes it."""


class AtStart:
    """An ID3v2 tag before everything else."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length = tag_length(file, 0)

    def get(self) -> bytes | None:
        return read_at(self._file, 0, self._length) if self._length else None

    def put(self, data: bytes | None) -> None:
        splice(self._file, 0, self._length, data or b"")


def tag_length(file: BinaryIO, start: int) -> int:
    """The length of the ID3v2 tag at `start`, 0 for none; TagError when it runs past the end of the file."""
    head = read_at(file, start, 10)
    if not _is_header(head):
        return 0
    length = 10 + _number(head[6:10], 7) + (10 if head[3] == 4 and head[5] & _FOOTER else 0)
    if start + length > size_of(file):
        raise TagError("its ID3v2 tag is cut off")
    return length


def _is_header(head: bytes) -> bool:
    return len(head) == 10 and head[:3] == b"ID3" and head[3] in (2, 3, 4) and max(head[6:10]) < 0x80


@dataclass(frozen=True)
class Tag:
    """A tag cut into frames; `bits` is 7 where frame sizes are synchsafe, `tail` what could not be cut."""

    version: int
    flags: int
    bits: int
    frames: tuple[bytes, ...]
    tail: bytes = b""

    @property
    def name_length(self) -> int:
        return 3 if self.version == 2 else 4

    def name(self, frame: bytes) -> bytes:
        return frame[: self.name_length].rstrip(b"\0 ")

    def body(self, frame: bytes) -> bytes:
        return frame[6 if self.version == 2 else 10 :]


def parse(data: bytes) -> Tag:
    """Cut the bytes of a tag into frames; TagError when the whole tag is compressed (2.2 only)."""
    if not _is_header(data[:10]):
        raise TagError("its ID3v2 header cannot be understood")
    version, flags = data[3], data[5]
    if version == 2 and flags & _COMPRESSED_22:
        raise TagError("its ID3v2.2 tag is compressed in an undefined way")
    body = data[10 : 10 + _number(data[6:10], 7)]
    if version < 4 and flags & _UNSYNCHRONISED:
        if re.search(rb"\xff[\xe0-\xff]", body):  # the flag is a lie: such a pair is what it rules out
            flags &= ~_UNSYNCHRONISED
        else:
            body = body.replace(b"\xff\x00", b"\xff")
    # Some programs set the flag and write no extended header: then a frame name stands there at once.
    if version > 2 and flags & _EXTENDED and not _FRAME_ID[version].match(body):
        body = body[_extended_length(version, body) :]
    # iTunes once wrote plain sizes into 2.4 tags: they are meant where only so everything can be cut.
    cuts = [(bits, *_cut(version, body, bits)) for bits in ((7, 8) if version == 4 else (8,))]
    bits, frames, tail = next((cut for cut in cuts if not cut[2]), cuts[0])
    return Tag(version, flags & (_UNSYNCHRONISED | _EXPERIMENTAL), bits, frames, tail)


def _cut(version: int, body: bytes, bits: int) -> tuple[tuple[bytes, ...], bytes]:
    width, head = (3, 6) if version == 2 else (4, 10)
    frames, at = [], 0
    while _FRAME_ID[version].match(body, at):
        size = _number(body[at + width : at + 2 * width], bits)
        end = at + head + size
        if size < 0 or end > len(body):
            break
        frames.append(body[at:end])
        require_few(len(frames))
        at = end
    return tuple(frames), body[at:].rstrip(b"\0")


def render(tag: Tag, length: int) -> bytes:
    """The bytes of a tag, padded with zeros up to `length` where it is shorter."""
    body = b"".join(tag.frames) + tag.tail
    if tag.version < 4 and tag.flags & _UNSYNCHRONISED:
        body = re.sub(rb"\xff(?=[\x00\xe0-\xff]|\Z)", b"\xff\x00", body)
    body += bytes(max(0, length - 10 - len(body)))
    return b"ID3" + bytes((tag.version, 0, tag.flags)) + _digits(len(body), 4, 7) + body


def _number(data: bytes, bits: int) -> int:
    """A big-endian number with `bits` per byte; -1 where a byte has more."""
    if max(data, default=0) >> bits:
        return -1
    value = 0
    for byte in data:
        value = value << bits | byte
    return value


def _digits(value: int, width: int, bits: int) -> bytes:
    if value >> width * bits:
        raise TagError("its ID3v2 tag would grow too large")
    return bytes(value >> bits * place & (1 << bits) - 1 for place in reversed(range(width)))


def _extended_length(version: int, body: bytes) -> int:
    # The size of 2.3 leaves its own four bytes out, that of 2.4 counts them in.
    length = 4 + _number(body[:4], 8) if version == 3 else _number(body[:4], 7)
    if not 4 < length <= len(body):
        raise TagError("the extended header of its ID3v2 tag makes no sense")
    return length


def _frame(tag: Tag, name: str, body: bytes) -> bytes:
    head = name[: tag.name_length].encode("ascii") + _digits(len(body), tag.name_length, tag.bits)
    return head + (b"" if tag.version == 2 else b"\0\0") + body


def _text(tag: Tag, values: Iterable[str], language: bytes = b"") -> bytes:
    """The body of a text frame: the plainest encoding that the version allows and that holds the values."""
    values = list(values)
    whole = "\0".join(values)
    if whole.isascii():
        return b"\0" + language + whole.encode("ascii")
    if tag.version == 4:
        return b"\3" + language + whole.encode("utf-8")
    try:
        return b"\0" + language + whole.encode("latin-1")
    except UnicodeEncodeError:
        parts = (("\ufeff" + value).encode("utf-16-le") for value in values)
        return b"\1" + language + b"\0\0".join(parts)


def _genre_frames(tag: Tag, wanted: Wanted) -> list[bytes]:
    frames = []
    if wanted.values:
        values = [spelled(value, tag.version) for value in wanted.values]
        frames.append(_frame(tag, "TCON", _text(tag, values)))
    if wanted.note is not None:
        frames.append(_frame(tag, "TXXX", _text(tag, (NOTE, wanted.note))))
    return frames


def _is_ours(tag: Tag, frame: bytes) -> bool:
    name = tag.name(frame)
    if name in (b"TCON", b"TCO"):
        return True
    if name not in (b"TXXX", b"TXX"):
        return False
    body = tag.body(frame)
    text = body[1:].decode(_ENCODINGS.get(body[0], "latin-1") if body else "latin-1", "replace")
    return text.partition("\0")[0].upper() == NOTE


def convert(tag: Tag, version: int) -> Tag:
    """The tag in ID3v2.3 or 2.4 (`version` 3 or 4): dates, people and encodings are those of that version.

    Raises TagError `too-large` where its compressed frames unfold to too much.
    """
    loaded = _understood(tag)
    kept = [frame for frame in loaded.values() if frame.FrameID in _KEPT_IN_BOTH]
    unknown = list(loaded.unknown_frames) if tag.version > 2 else []
    if version == 3:
        loaded.update_to_v23()
    else:
        loaded.update_to_v24()
    for frame in kept:
        loaded.add(frame)
    out = io.BytesIO()
    loaded.save(out, v1=0, v2_version=version, v23_sep=None, padding=lambda _: 0)
    new = parse(out.getvalue())
    carried = tuple(_reflagged(new, frame) for frame in unknown if not frame[9])
    return replace(new, bits=7 if version == 4 else 8, frames=new.frames + carried)


def _reflagged(tag: Tag, frame: bytes) -> bytes:
    """A raw frame of the other version with this one's sizes and status flags (one bit lower in 2.4)."""
    status = frame[8] >> 1 if tag.version == 4 else frame[8] << 1
    body = frame[10:]
    return frame[:4] + _digits(len(body), 4, tag.bits) + bytes((status & 0xFF, 0)) + body


class Id3Tag:
    """The ID3v2 tag of one slot. `fields` are what a new tag takes over from an older kind (ID3v1)."""

    def __init__(self, slot: Slot, fields: dict[str, str] | None = None) -> None:
        self._slot = slot
        data = slot.get()
        self._length = len(data) if data else 0
        self._tag = parse(data) if data else None
        self._fields = fields or {}

    def present(self) -> bool:
        return self._tag is not None

    def genres(self) -> list[str]:
        tag = self._tag
        if tag is None:
            return []
        frames = tuple(frame for frame in tag.frames if tag.name(frame) in (b"TCON", b"TCO"))
        return _decoded(replace(tag, frames=frames, tail=b"")) if frames else []

    def require_small(self) -> None:
        """TagError `too-large` where mutagen would unfold compressed frames to more than fits."""
        if self._tag is not None:
            _require_small(self._tag)

    def stored(self) -> Stored:
        tag = self._tag
        if tag is None:
            return None
        frames = [[place, tag.frames[place].hex()] for place in self._places(tag)]
        return {"version": tag.version, "length": self._length, "frames": frames}

    def write(self, wanted: Wanted) -> None:
        tag = self._tag or self._new(wanted.id3 or 4)
        if wanted.id3 and wanted.id3 != tag.version:
            tag = convert(tag, wanted.id3)
        frames, place = taken_out(tag.frames, self._places(tag))
        frames[place:place] = _genre_frames(tag, wanted)
        self._slot.put(render(replace(tag, frames=tuple(frames)), self._length))

    def restore(self, stored: Stored) -> None:
        tag = self._tag
        if stored is None:
            if tag is not None:
                self._remove(tag)
            return
        if tag is None:
            if not stored["frames"]:
                return
            tag = Tag(stored["version"], 0, 7 if stored["version"] == 4 else 8, ())
        if tag.version != stored["version"] and stored["version"] > 2:
            tag = convert(tag, stored["version"])
        frames, place = taken_out(tag.frames, self._places(tag))
        if tag.version == stored["version"]:
            frames = put_back(frames, stored["frames"])
        else:
            # A 2.2 tag that became 2.3 or 2.4 cannot go back; its genres can.
            old = Tag(2, 0, 8, tuple(bytes.fromhex(text) for _, text in stored["frames"]))
            values = tuple(_decoded(old)) if old.frames else ()
            frames[place:place] = _genre_frames(tag, Wanted(values, values))
        self._slot.put(render(replace(tag, frames=tuple(frames)), stored["length"]))

    def _remove(self, tag: Tag) -> None:
        frames, _ = taken_out(tag.frames, self._places(tag))
        if tuple(frames) == self._new(tag.version).frames and not tag.tail:
            self._slot.put(None)
        else:
            self._slot.put(render(replace(tag, frames=tuple(frames)), self._length))

    def _places(self, tag: Tag) -> list[int]:
        return [place for place, frame in enumerate(tag.frames) if _is_ours(tag, frame)]

    def _new(self, version: int) -> Tag:
        tag = Tag(version, 0, 7 if version == 4 else 8, ())
        names = {"title": "TIT2", "artist": "TPE1", "album": "TALB", "track": "TRCK"}
        names["year"] = "TDRC" if version == 4 else "TYER"
        frames = [
            _frame(tag, names[field], _text(tag, [value]))
            for field, value in self._fields.items()
            if field in names
        ]
        if comment := self._fields.get("comment"):
            frames.append(_frame(tag, "COMM", _text(tag, ("", comment), b"eng")))
        return replace(tag, frames=tuple(frames))


def _decoded(tag: Tag) -> list[str]:
    """The genres of a tag that holds genre frames only, numbers turned into names."""
    frame: Any = _understood(tag).get("TCON")
    if frame is None:  # encrypted or junk
        return []
    return [name for value in frame.text for name in names_of(str(value))]


def _understood(tag: Tag) -> Any:
    """The frames as mutagen decodes them, which unfolds each compressed one whole, whatever it claims."""
    _require_small(tag)
    return ID3(io.BytesIO(render(tag, 0)), translate=False, load_v1=False)


def _require_small(tag: Tag) -> None:
    squeezed = [frame for frame in tag.frames if tag.version > 2 and frame[9] & _COMPRESSED[tag.version]]
    require_small([tag.body(frame) for frame in squeezed])
