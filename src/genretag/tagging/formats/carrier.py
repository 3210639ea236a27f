"""What every kind of tag can do, and how bytes are replaced inside a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

NOTE = "GENRETAG"  # the field that says which model wrote the genre
Stored = Any  # JSON of what a tag holds about genres; None: there is no such tag

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """What is to be stored: `values` as they go into the tag, `names` the genres one by one."""

    values: tuple[str, ...]
    names: tuple[str, ...]
    note: str | None = None
    id3: int | None = None  # 3 or 4: the ID3v2 version asked for; None: the file's own


class Carrier(Protocol):
    """One tag in an open file. It is read when it is made; after `write` or `restore` it is spent."""

    def present(self) -> bool:
        """Whether the file has such a tag."""

    def genres(self) -> list[str]:
        """The genres as a person reads them, in order; may repeat."""

    def stored(self) -> Stored:
        """Exactly what is stored about genres, for `restore`."""

    def write(self, wanted: Wanted) -> None:
        """Replace genre and note, create the tag where there is none, leave everything else."""

    def restore(self, stored: Stored) -> None:
        """Put back what `stored` returned, and remove a tag that only `write` made."""


def taken_out(items: Sequence[bytes], places: Sequence[int]) -> tuple[list[bytes], int]:
    """`items` without those at `places`, and where in the rest the first of them stood (the end for none)."""
    rest = [item for index, item in enumerate(items) if index not in places]
    return rest, places[0] if places else len(rest)


def put_back(items: Sequence[bytes], recorded: Sequence[tuple[int, str]]) -> list[bytes]:
    """`items` with the recorded (place, hex) pairs inserted where they stood."""
    whole = list(items)
    for place, text in recorded:
        whole.insert(place, bytes.fromhex(text))
    return whole


def size_of(file: BinaryIO) -> int:
    """The length of a file in bytes."""
    return file.seek(0, os.SEEK_END)


def read_at(file: BinaryIO, start: int, length: int) -> bytes:
    """Up to `length` bytes from `start`."""
    file.seek(start)
    return file.read(length)


def splice(file: BinaryIO, start: int, length: int, new: bytes) -> None:
    """Put `new` in the place of `length` bytes at `start`; what follows moves if the lengths differ."""
    shift = len(new) - length
    if shift:
        _move_tail(file, start + length, shift)
    file.seek(start)
    file.write(new)


def _move_tail(file: BinaryIO, start: int, shift: int) -> None:
    end = size_of(file)
    blocks = range(start, end, _BLOCK)
    # Growing starts at the far end and shrinking at the near one, so that no block is overwritten unread.
    for at in reversed(blocks) if shift > 0 else blocks:
        block = read_at(file, at, min(_BLOCK, end - at))
        file.seek(at + shift)
        file.write(block)
    if shift < 0:
        file.truncate(end + shift)
