"""ASF (WMA): WM/Genre, one attribute per genre.

mutagen keeps the values of all attributes and their types; it puts the first value of a name where old
players look (Extended Content Description) and the others into the Metadata Library. Source: Microsoft
"Advanced Systems Format (ASF) Specification" 01.20.03.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from mutagen.asf import ASF, UNICODE, ASFValue

from genretag.tagging.formats.carrier import NOTE, Stored, Wanted, read_at

_GENRE = "WM/Genre"


class AsfAttributes:
    """The attributes of an ASF file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)
        self._asf: Any = ASF(file)

    def present(self) -> bool:
        return True

    def genres(self) -> list[str]:
        return [str(value) for key, value in self._asf.tags if key == _GENRE and value.TYPE == UNICODE]

    def stored(self) -> Stored:
        tags = list(self._asf.tags)
        attributes = [
            [place, tags[place][0], str(tags[place][1]), tags[place][1].language, tags[place][1].stream]
            for place in self._places()
        ]
        return {"attributes": attributes, "header": self._header_size()}

    def write(self, wanted: Wanted) -> None:
        places = self._places()
        tags = [tag for place, tag in enumerate(self._asf.tags) if place not in places]
        new = [(_GENRE, ASFValue(value, UNICODE)) for value in wanted.values]
        if wanted.note is not None:
            new.append((NOTE, ASFValue(wanted.note, UNICODE)))
        place = places[0] if places else len(tags)
        tags[place:place] = new
        self._put(tags, self._header_size())

    def restore(self, stored: Stored) -> None:
        places = self._places()
        tags = [tag for place, tag in enumerate(self._asf.tags) if place not in places]
        for place, key, text, language, stream in stored["attributes"]:
            tags.insert(place, (key, ASFValue(text, UNICODE, language=language, stream=stream)))
        self._put(tags, stored["header"])

    def _places(self) -> list[int]:
        tags = enumerate(self._asf.tags)
        return [n for n, (key, value) in tags if key in (_GENRE, NOTE) and value.TYPE == UNICODE]

    def _header_size(self) -> int:
        return int.from_bytes(read_at(self._file, 16, 8), "little")

    def _put(self, tags: list[Any], size: int) -> None:
        self._asf.tags[:] = tags
        change = size - self._header_size()
        self._file.seek(0)
        self._asf.save(self._file, padding=lambda info: max(0, info.padding + change))
