"""The page of one song: player, genres over time, waveform, and the decision in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from genretag.pages.shell import document
from genretag.pages.sound import Sound
from genretag.predict.timeline import Timeline

ROWS = 12  # labels in the picture; all are in the table below it


def page(song: Timeline, present: Sequence[str] | None, sound: Sound) -> bytes:
    """A whole page. `present` are the genres that the file holds now, None where it can hold none."""
    data = song.to_dict() | {
        # The page may be shown to others: where the song lies is nobody's affair.
        "path": song.path.name,
        "licence": song.meta.licence,
        "weights": song.meta.tensors_sha256[:12],
        "present": None if present is None else list(present),
        "rows": [item.label for item in song.telling(ROWS)],
        "edges": [round(edge, 3) for edge in song.edges.tolist()],
        "outline": [[round(value, 3) for value in pair] for pair in song.outline.tolist()],
        "sound": asdict(sound),
    }
    return document("inspect", f"{song.path.name} · genretag", data)
