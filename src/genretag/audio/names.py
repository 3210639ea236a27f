"""Who made a recording and on which album it stands, as its own tags say, in any format that decodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av


@dataclass(frozen=True)
class Names:
    """Artist and album of a file; None where its tags do not say or cannot be read."""

    artist: str | None = None
    album: str | None = None


def read_names(path: Path) -> Names:
    """Names from the tags of a file, without decoding it; the track's artist comes before the album's."""
    try:
        with av.open(
            f"file:{path}", metadata_errors="replace", options={"protocol_whitelist": "file"}
        ) as container:
            found = dict(container.metadata)
            for stream in container.streams.audio:  # Ogg keeps its tags there
                found |= stream.metadata
    except (av.error.FFmpegError, OSError, ValueError):
        return Names()
    known = {name.lower(): " ".join(value.split()) for name, value in found.items()}
    return Names(known.get("artist") or known.get("album_artist") or None, known.get("album") or None)
