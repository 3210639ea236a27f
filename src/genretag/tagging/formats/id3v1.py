"""ID3v1: 128 bytes at the end of a file, with one byte for the genre (id3.org, "ID3v1")."""

from __future__ import annotations

from typing import BinaryIO

from genretag.tagging.formats.carrier import Stored, Wanted, read_at, size_of, splice
from genretag.tagging.formats.tcon import GENRES

NO_GENRE = 255  # the byte of a file without a genre


class Id3v1:
    """The 128 bytes at the end of a file; only their genre byte is ever written, and never created."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = v1_start(file)
        self._data = read_at(file, self._start, 128)

    def present(self) -> bool:
        return bool(self._data)

    def genres(self) -> list[str]:
        return [GENRES[self._data[127]]] if self._data and self._data[127] < len(GENRES) else []

    def stored(self) -> Stored:
        return self._data[127] if self._data else None

    def write(self, wanted: Wanted) -> None:
        known = {name.casefold(): number for number, name in enumerate(GENRES)}
        numbers = (known.get(name.casefold()) for name in wanted.names)
        self._put(next((number for number in numbers if number is not None), NO_GENRE))

    def restore(self, stored: Stored) -> None:
        if stored is not None:
            self._put(stored)

    def _put(self, number: int) -> None:
        if self._data:
            splice(self._file, self._start + 127, 1, bytes((number,)))

    def fields(self) -> dict[str, str]:
        """What ID3v1 says besides the genre: title, artist, album, year, comment, track, where not empty."""
        if not self._data:
            return {}
        spans = {
            "title": (3, 33),
            "artist": (33, 63),
            "album": (63, 93),
            "year": (93, 97),
            "comment": (97, 127),
        }
        fields = {
            name: self._data[start:end].split(b"\0")[0].decode("latin-1").strip()
            for name, (start, end) in spans.items()
        }
        if self._data[125] == 0 and self._data[126]:  # ID3v1.1
            fields["track"] = str(self._data[126])
        return {name: value for name, value in fields.items() if value}


def v1_start(file: BinaryIO) -> int:
    """Where the ID3v1 tag starts; the end of the file where there is none."""
    end = size_of(file)
    data = read_at(file, max(0, end - 131), 131)
    # An APEv2 tag has a "TAG" at either end ("APETAGEX"), and its items may hold one anywhere.
    in_ape = data[-131:-123] == b"APETAGEX" or data[-32:-24] == b"APETAGEX"
    if len(data) >= 128 and data[-128:-125] == b"TAG" and not in_ape:
        return end - 128
    return end
