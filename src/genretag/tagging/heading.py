"""What a music file says of itself besides its genre: who, what, of which album, how long."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genretag.tagging import tags

# The same field in ID3, Vorbis comments and APEv2 (whatever their case), MP4 and ASF.
_FIELDS = {
    "artist": ("tpe1", "artist", "\xa9art", "author"),
    "title": ("tit2", "title", "\xa9nam"),
    "album": ("talb", "album", "\xa9alb", "wm/albumtitle"),
    "album_artist": ("tpe2", "albumartist", "album artist", "album_artist", "aart", "wm/albumartist"),
}


@dataclass(frozen=True)
class Heading:
    """Empty where the file says nothing; `seconds` of sound as the header claims, None where unknown."""

    artist: str = ""
    title: str = ""
    seconds: float | None = None
    album: str = ""
    album_artist: str = ""


def read_heading(path: Path) -> Heading:
    """What can be read; nothing of it where the file cannot be understood. Never raises."""
    try:
        file = tags.as_mutagen_sees(path)
        length = getattr(file.info, "length", 0) or 0
        said = {key.casefold(): _first(value) for key, value in (file.tags or {}).items()}
    except Exception:  # noqa: BLE001  damaged files bring mutagen to raise almost anything
        return Heading()
    named = {name: next((said[key] for key in keys if said.get(key)), "") for name, keys in _FIELDS.items()}
    return Heading(seconds=length if length > 0 else None, **named)


def _first(value: object) -> str:
    """The first of the values of a field, in one line."""
    values = getattr(value, "text", value)
    if isinstance(values, list):
        values = values[0] if values else ""
    return " ".join(str(values).split("\0")[0].split())
