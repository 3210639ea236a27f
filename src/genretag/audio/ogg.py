"""Ogg as a tag write sees it: header packets, and pages whose number and checksum can change.

Layouts follow RFC 3533 (Ogg), RFC 7845 (Opus), the Vorbis I specification and the Ogg FLAC mapping.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO


class OddLayoutError(Exception):
    """The bytes do not follow the format that their first bytes promise."""


# Capture pattern and version; the version is always 0.
CAPTURE = b"OggS\0"
PAGE_HEADER = 27
# One endless header packet is garbage.
MAX_HEADERS = 32 << 20
_CODECS = {b"\x01vorbis": 3, b"OpusHead": 2, b"Speex   ": 2, b"\x80theora": 3}
_UNTIL_LAST = 1 << 30
# Types of FLAC metadata blocks that taggers own: padding, comments, pictures.
_FLAC_TAG_BLOCKS = frozenset({1, 4, 6})


@dataclass
class _Headers:
    """The header packets of one logical stream while they are read; except in FLAC the second is the tags."""

    flac: bool
    packets_left: int
    index: int = 0
    packet: bytearray = field(default_factory=bytearray)

    @classmethod
    def of(cls, first_body: bytes) -> _Headers:
        if first_body.startswith(b"\x7fFLAC"):
            return cls(True, _UNTIL_LAST)
        return cls(False, next((n for magic, n in _CODECS.items() if first_body.startswith(magic)), 0))

    def feed(self, lacing: bytes, body: bytes) -> bytes:
        """Take one page; return what of it is payload."""
        kept, at = bytearray(), 0
        for length in lacing:
            if self.packets_left == 0:
                break
            self.packet += body[at : at + length]
            at += length
            if length < 255:
                kept += self._finish_packet()
        if len(self.packet) > MAX_HEADERS:
            raise OddLayoutError
        return bytes(kept) + body[at:]

    def _finish_packet(self) -> bytes:
        packet, self.packet = bytes(self.packet), bytearray()
        self.packets_left -= 1
        self.index += 1
        if not self.flac:
            return b"" if self.index == 2 else packet
        if self.index == 1:
            return packet
        if not packet or packet[0] & 0x80:
            self.packets_left = 0
        # The "last block" bit moves with the tags.
        return b"" if packet and packet[0] & 0x7F in _FLAC_TAG_BLOCKS else packet[1:]


def read_headers(file: BinaryIO, size: int) -> tuple[bytes, int]:
    """The header packets that are not tags, and where the pages of sound begin.

    Raises OddLayoutError where the file does not begin with whole Ogg pages.
    """
    head, at, streams = bytearray(), 0, dict[int, _Headers]()
    file.seek(0)
    while at < size and len(head) <= MAX_HEADERS:
        header = file.read(PAGE_HEADER)
        if len(header) < PAGE_HEADER or not header.startswith(CAPTURE):
            raise OddLayoutError
        lacing = file.read(header[26])
        body = file.read(sum(lacing))
        begins_stream = header[5] & 2
        stream = streams.setdefault(int.from_bytes(header[14:18], "little"), _Headers.of(body))
        if not begins_stream and all(known.packets_left == 0 for known in streams.values()):
            break
        head += stream.feed(lacing, body)
        at += PAGE_HEADER + len(lacing) + len(body)
    return bytes(head), at


def mask_pages(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The pages with number and checksum blanked."""
    waiting = bytearray()
    for block in blocks:
        waiting += block
        whole = _mask_whole_pages(waiting)
        yield bytes(waiting[:whole])
        del waiting[:whole]
    _blank(waiting, 0)
    yield bytes(waiting)


def _mask_whole_pages(pages: bytearray) -> int:
    """Blank every page that is there in full; return where the first that is not begins."""
    at = 0
    while True:
        if not pages.startswith(CAPTURE, at):
            found = pages.find(CAPTURE, at)
            if found < 0:
                return max(at, len(pages) - len(CAPTURE) + 1)
            at = found
        body = at + PAGE_HEADER + (pages[at + 26] if at + 26 < len(pages) else len(pages))
        end = body + sum(pages[at + PAGE_HEADER : body])
        if end > len(pages):
            return at
        _blank(pages, at)
        at = end


def _blank(pages: bytearray, at: int) -> None:
    if pages.startswith(CAPTURE, at) and len(pages) >= at + PAGE_HEADER:
        pages[at + 18 : at + 26] = bytes(8)


def mask_sample(piece: bytes) -> bytes:
    """The same for a piece that begins and ends anywhere: from its first page to its last whole one."""
    pages = bytearray(piece[max(0, piece.find(CAPTURE)) :])
    whole = _mask_whole_pages(pages)
    return bytes(pages[:whole])
