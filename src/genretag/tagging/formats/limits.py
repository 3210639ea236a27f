"""What the tags of one file may cost: they are read in the process of the run, so none may hold it up."""

from __future__ import annotations

import io
import os
import zlib
from contextlib import suppress
from pathlib import Path

from genretag.errors import TagError

MOST_BYTES = 192 << 20
MOST_READS = 200_000
MOST_FIELDS = 200_000
MOST_UNFOLDED = 64 << 20


class TagReader(io.BufferedReader):
    """A file open for reading its tags; TagError `too-large` before these fill the memory or never end."""

    def __init__(self, raw: io.RawIOBase, path: Path) -> None:
        self._length = raw.seek(0, os.SEEK_END)
        raw.seek(0)
        super().__init__(raw)
        self._path = path
        self._bytes = self._reads = 0

    @property
    def name(self) -> str:
        """The path: mutagen tells some formats by their suffix."""
        return str(self._path)

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._length - self.tell())
        count = left if size is None or size < 0 else min(size, left)
        self._bytes += count
        self._reads += 1
        if self._bytes > MOST_BYTES or self._reads > MOST_READS:
            raise too_large(f"its tags are more than {MOST_BYTES >> 20} MiB or {MOST_READS:,} pieces")
        return super().read(count)


def require_few(fields: int) -> None:
    """TagError `too-large` for more fields in one tag than anybody has."""
    if fields > MOST_FIELDS:
        raise too_large(f"one of its tags has more than {MOST_FIELDS:,} fields")


def require_small(frames: list[bytes]) -> None:
    """TagError `too-large` where compressed frames unfold to too much; mutagen unfolds each of them whole."""
    left = MOST_UNFOLDED
    for frame in frames:
        left -= _unfolded(frame, left)
        if left <= 0:
            raise too_large(f"its compressed frames unfold to more than {MOST_UNFOLDED >> 20} MiB")


def too_large(reason: str) -> TagError:
    """The error of a file whose tags are more than any honest file has."""
    return TagError(f"{reason}; check the file with a tag editor", code="too-large")


def _unfolded(body: bytes, most: int) -> int:
    """The bytes, up to `most`, in compressed data; a group and a length of its own may stand before it."""
    found = 0
    for data in {body, body.replace(b"\xff\x00", b"\xff")}:
        for start in (0, 1, 4, 5):
            with suppress(zlib.error):
                found = max(found, len(zlib.decompressobj().decompress(data[start:], most)))
            if found >= most:
                return found
    return found
