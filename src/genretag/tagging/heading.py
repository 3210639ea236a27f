"""What a music file says of itself besides its genre: who, what, how long. For showing only."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen

# The field in ID3v2, Vorbis comments and ASF, APEv2, MP4.
_TITLE = ("TIT2", "title", "Title", "\xa9nam")
_ARTIST = ("TPE1", "artist", "Author", "Artist", "\xa9ART")


@dataclass(frozen=True)
class Heading:
    """Artist and title, empty where unknown; `seconds` of sound as the header claims, None where unknown."""

    artist: str = ""
    title: str = ""
    seconds: float | None = None


def read_heading(path: Path) -> Heading:
    """What can be read; nothing of it where the file cannot be understood."""
    try:
        file = mutagen.File(path)
    except Exception:  # noqa: BLE001  damaged files bring mutagen to raise almost anything
        return Heading()
    if file is None:
        return Heading()
    length = getattr(file.info, "length", 0) or 0
    return Heading(_first(file.tags, _ARTIST), _first(file.tags, _TITLE), length if length > 0 else None)


def _first(tags: Any, keys: tuple[str, ...]) -> str:
    for key in keys if tags is not None else ():
        # A kind of tag refuses keys that it cannot have.
        with contextlib.suppress(KeyError, ValueError):
            value = tags[key]
            if text := str(value[0] if isinstance(value, list) else value).split("\0")[0]:
                return " ".join(text.split())
    return ""
