"""One genre write, as the program makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genretag.audio.payload import identify
from genretag.errors import TagError
from genretag.journal import Change, Journal
from genretag.store import FileKey
from genretag.tagging import tags
from genretag.tagging.write import TEMP_PREFIX, WriteOutcome, safe_write


def change_of(path: Path, genres: tuple[str, ...]) -> Change:
    state = tags.read(path)
    return Change(identify(path), state.format, state.raw, state.genres, genres)


def write_genres(
    journal: Journal, run_id: int, path: Path, genres: tuple[str, ...], **options: Any
) -> WriteOutcome:
    """Write real tags by safe_write; `options` replace its arguments."""

    def check(temp: Path) -> None:
        if tags.read(temp).genres != genres:
            raise TagError(f"{temp}: holds other genres")

    options.setdefault("edit", lambda temp: tags.write(temp, genres))
    options.setdefault("check", check)
    if "expected" not in options:
        options["expected"] = FileKey.of(path.stat())
    if "change" not in options:
        options["change"] = change_of(path, genres)
    return safe_write(path, journal=journal, run_id=run_id, **options)


def left_over(folder: Path) -> list[Path]:
    """Temporary copies anywhere below a folder."""
    return sorted(folder.rglob(f"{TEMP_PREFIX}*"))
