"""Vorbis comments in FLAC and in Ogg (Vorbis, Opus, Speex, FLAC): one GENRE entry per genre.

Entries are kept byte by byte, also those that are not UTF-8 or have no "=". Padding is used before the file
grows. An ID3v2 tag before a FLAC stream is somebody else's business. Sources: the Ogg Vorbis I comment
header specification (xiph.org), RFC 9639 (FLAC), RFC 7845 (Opus in Ogg), the Ogg FLAC mapping (xiph.org).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from mutagen.ogg import OggPage

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
from genretag.tagging.formats.id3 import tag_length
from genretag.tagging.formats.limits import require_few

_OURS = ("GENRE", NOTE)


@dataclass(frozen=True)
class Comments:
    """A comment block: vendor, entries, and what follows them (framing bit, padding)."""

    vendor: bytes
    entries: tuple[bytes, ...]
    rest: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> Comments:
        vendor, at = _counted(data, 0)
        count, at = _word(data, at)
        entries = []
        require_few(min(count, len(data) // 4))
        for _ in range(count):
            entry, at = _counted(data, at)
            entries.append(entry)
        return cls(vendor, tuple(entries), data[at:])

    def render(self) -> bytes:
        parts = (struct.pack("<I", len(entry)) + entry for entry in self.entries)
        head = struct.pack("<I", len(self.vendor)) + self.vendor + struct.pack("<I", len(self.entries))
        return head + b"".join(parts)

    def genres(self) -> list[str]:
        values = (entry.partition(b"=")[2] for entry in self.entries if _key(entry) == "GENRE")
        return [value.decode("utf-8", "replace") for value in values]

    def places(self) -> list[int]:
        return [place for place, entry in enumerate(self.entries) if _key(entry) in _OURS]

    def stored(self) -> list[list[Any]]:
        return [[place, self.entries[place].hex()] for place in self.places()]

    def without(self) -> Comments:
        return Comments(self.vendor, tuple(taken_out(self.entries, self.places())[0]), self.rest)

    def having(self, wanted: Wanted) -> Comments:
        keys = [entry.partition(b"=")[0] for entry in self.entries if _key(entry) == "GENRE"]
        key = keys[0] if keys else b"GENRE"
        entries, place = taken_out(self.entries, self.places())
        new = [key + b"=" + value.encode("utf-8") for value in wanted.values]
        if wanted.note is not None:
            new.append(f"{NOTE}={wanted.note}".encode())
        entries[place:place] = new
        return Comments(self.vendor, tuple(entries), self.rest)

    def with_recorded(self, recorded: list[tuple[int, str]]) -> Comments:
        return Comments(self.vendor, tuple(put_back(self.without().entries, recorded)), self.rest)


def _key(entry: bytes) -> str:
    return entry.partition(b"=")[0].decode("latin-1").upper()


def _word(data: bytes, at: int) -> tuple[int, int]:
    if at + 4 > len(data):
        raise TagError("its Vorbis comment is cut off")
    return int.from_bytes(data[at : at + 4], "little"), at + 4


def _counted(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _word(data, at)
    if at + size > len(data):
        raise TagError("its Vorbis comment is cut off")
    return data[at : at + size], at + size


_PADDING, _COMMENT = 1, 4  # FLAC block types
_LAST = 0x80
_OUR_VENDOR = b"genretag"


class FlacComments:
    """The comment block among the metadata blocks of a FLAC file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = at = tag_length(file, 0) + 4
        self._blocks: list[tuple[int, bytes]] = []
        kind = 0
        while not kind & _LAST:
            head = read_at(file, at, 4)
            size = int.from_bytes(head[1:], "big")
            if len(head) < 4 or at + 4 + size > size_of(file):
                raise TagError("its FLAC metadata is cut off")
            kind = head[0]
            self._blocks.append((kind & ~_LAST, read_at(file, at + 4, size)))
            at += 4 + size
        self._length = at - self._start
        self._place = next((n for n, (kind, _) in enumerate(self._blocks) if kind == _COMMENT), None)
        self._comments = Comments.parse(self._blocks[self._place][1]) if self._place is not None else None

    def present(self) -> bool:
        return self._comments is not None

    def genres(self) -> list[str]:
        return self._comments.genres() if self._comments else []

    def stored(self) -> Stored:
        return {"entries": self._comments and self._comments.stored(), "length": self._length}

    def write(self, wanted: Wanted) -> None:
        self._put((self._comments or Comments(_OUR_VENDOR, ())).having(wanted), self._length)

    def restore(self, stored: Stored) -> None:
        comments = (self._comments or Comments(_OUR_VENDOR, ())).with_recorded(stored["entries"] or [])
        ours = stored["entries"] is None and comments == Comments(_OUR_VENDOR, ())
        self._put(None if ours else comments, stored["length"])

    def _put(self, comments: Comments | None, length: int) -> None:
        blocks = list(self._blocks)
        if self._place is not None:
            del blocks[self._place]
        if comments is not None:
            place = 1 if self._place is None else self._place
            blocks.insert(place, (_COMMENT, comments.render() + comments.rest))
        splice(self._file, self._start, self._length, _padded(blocks, length))


def _padded(blocks: list[tuple[int, bytes]], length: int) -> bytes:
    """The metadata blocks as bytes, the last padding block sized so that they have `length` if they can."""
    pads = [n for n, (kind, _) in enumerate(blocks) if kind == _PADDING]
    place = pads[-1] if pads else len(blocks)
    others = [block for n, block in enumerate(blocks) if n != place]
    room = length - sum(4 + len(data) for _, data in others)
    if room >= 4:
        others.insert(place, (_PADDING, bytes(room - 4)))
    if any(len(data) >> 24 for _, data in others):
        raise TagError("its FLAC metadata would grow too large")
    last = len(others) - 1
    return b"".join(
        bytes((kind | (_LAST if n == last else 0),)) + len(data).to_bytes(3, "big") + data
        for n, (kind, data) in enumerate(others)
    )


# How the identification packet of a stream starts -> its name here, and what stands before the comments.
_STREAMS = {
    b"\x01vorbis": ("ogg", b"\x03vorbis"),
    b"OpusHead": ("opus", b"OpusTags"),
    b"Speex   ": ("speex", b""),
    b"\x7fFLAC": ("ogg-flac", None),
}


def ogg_kind(file: BinaryIO) -> str | None:
    """The name of the first stream in an Ogg file that can hold comments; None: there is none."""
    found = _first_stream(file)
    return _STREAMS[found[1]][0] if found else None


def _first_stream(file: BinaryIO) -> tuple[int, bytes] | None:
    file.seek(0)
    while True:
        page = OggPage(file)
        if not page.first:  # all streams begin before the first of them goes on
            return None
        for mark in _STREAMS:
            if page.packets and page.packets[0].startswith(mark):
                return page.serial, mark


class OggComments:
    """The comment packet of the first stream of an Ogg file that has one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        found = _first_stream(file)
        if found is None:
            raise TagError("there is no stream in it that holds comments", code="not-taggable")
        serial, mark = found
        self._pages = _pages_of_next_packet(file, serial)
        self._packet: bytes = OggPage.to_packets(self._pages, strict=False)[0]
        prefix = _STREAMS[mark][1]
        self._flac = prefix is None
        # In Ogg FLAC the packet is a metadata block: type and a three-byte size.
        self._prefix = self._packet[:4] if prefix is None else prefix
        if not self._packet.startswith(self._prefix) or (self._flac and self._prefix[0] & 0x7F != _COMMENT):
            raise TagError("its second packet holds no comments")
        self._comments = Comments.parse(self._packet[len(self._prefix) :])

    def present(self) -> bool:
        return True

    def genres(self) -> list[str]:
        return self._comments.genres()

    def stored(self) -> Stored:
        return {"entries": self._comments.stored(), "length": len(self._packet)}

    def write(self, wanted: Wanted) -> None:
        self._put(self._comments.having(wanted), len(self._packet))

    def restore(self, stored: Stored) -> None:
        self._put(self._comments.with_recorded(stored["entries"]), stored["length"])

    def _put(self, comments: Comments, length: int) -> None:
        body = comments.render()
        if self._flac:
            packet = self._prefix[:1] + len(body).to_bytes(3, "big") + body
        else:
            # Zeros behind the comments are padding; in Opus, if the first byte is odd, all of it is data.
            data = self._prefix == b"OpusTags" and comments.rest[:1] and comments.rest[0] & 1
            rest = comments.rest if data else comments.rest.rstrip(b"\0")
            packet = self._prefix + body + rest
            packet += bytes(max(0, length - len(packet)))
        packets: list[bytes] = OggPage.to_packets(self._pages, strict=False)
        if len(packet) == len(packets[0]):
            self._overwrite(packet)
            return
        packets[0] = packet
        new = OggPage.from_packets(packets, self._pages[0].sequence)
        OggPage.replace(self._file, self._pages, new)

    def _overwrite(self, packet: bytes) -> None:
        """Fill the same pages with a packet of the same length: nothing else in the file moves."""
        for page in self._pages:
            room = len(page.packets[0])
            page.packets[0], packet = packet[:room], packet[room:]
            self._file.seek(page.offset)
            self._file.write(page.write())


def _pages_of_next_packet(file: BinaryIO, serial: int) -> list[Any]:
    """The pages of one stream that hold its second packet; the file stands behind its first page."""
    file.seek(0)
    pages: list[Any] = []
    while True:
        page = OggPage(file)
        if page.serial != serial or page.first:
            continue
        pages.append(page)
        if page.complete or len(page.packets) > 1:
            return pages
