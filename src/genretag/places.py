"""Where a run works: the folders and files it was told of, and whether two runs would meet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genretag import rows

Covers = Literal["all", "files", "itself"]


@dataclass(frozen=True)
class Place:
    """A folder with `all` below it, a folder with the `files` directly in it, or a file `itself`."""

    path: Path
    covers: Covers


def places_named(paths: Iterable[Path]) -> tuple[Place, ...]:
    """What a person named: folders with all below them, and single files. Links are followed."""
    return tuple(Place(_real(path), "all" if os.path.isdir(path) else "itself") for path in paths)


def places_listed(paths: Iterable[Path]) -> tuple[Place, ...]:
    """What a list or plan names: folders with all below them; of files the folders in which they lie.

    A list of a million files is kept as its folders.
    """
    folders: set[Path] = set()
    whole: set[Path] = set()
    for path in paths:
        if os.path.isdir(path):
            whole.add(path)
        else:
            folders.add(path.parent)
    return (*places_named(whole), *(Place(_real(folder), "files") for folder in folders))


def meeting(ours: Iterable[Place], theirs: Iterable[Place]) -> Path | None:
    """The place of `theirs` in which both could write the same file; None where there is none."""
    ours, theirs = tuple(ours), tuple(theirs)
    return next((there for there, _ in _meetings(theirs, ours)), None) or next(
        (there for _, there in _meetings(ours, theirs)), None
    )


def dump_places(places: Iterable[Place]) -> str:
    """Text for the journal; bytes of names that are not UTF-8 survive it."""
    return json.dumps([(str(place.path), place.covers) for place in places])


def load_places(text: str | None) -> tuple[Place, ...]:
    """Load the places of `dump_places`; none for None. Raises ValueError."""
    return tuple(Place(path, covers) for path, covers in rows.places(text or "[]"))


def _meetings(outer: tuple[Place, ...], inner: tuple[Place, ...]) -> Iterator[tuple[Path, Path]]:
    """Pairs of places of which the second lies in the first."""
    whole, folders, files = (
        {place.path for place in outer if place.covers == covers} for covers in ("all", "files", "itself")
    )
    for place in inner:
        for path in (place.path, *place.path.parents):
            if path in whole:
                yield path, place.path
        if place.covers == "files" and place.path in folders:
            yield place.path, place.path
        if place.covers == "itself":
            if place.path in files:
                yield place.path, place.path
            if place.path.parent in folders:
                yield place.path.parent, place.path


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
