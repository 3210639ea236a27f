"""Check values read from the database: SQLite puts any type into any column, and anybody may edit the file.

Every function raises ValueError for a value that genretag does not write.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from genretag.errors import FileError, StoreError

T = TypeVar("T")
# Seconds since 1970 that every system can show in every time zone: the year 9000.
LATEST = 221_845_392_000.0


@contextmanager
def checked(database: Path, what: str) -> Iterator[None]:
    """Turn a ValueError over `what` ("run 3") of the database into a StoreError."""
    try:
        yield
    except ValueError as error:
        raise StoreError(
            f"{database}: {what} is not as genretag wrote it ({error}); restore the file from a backup, or "
            "move it away to begin a new one (earlier runs can then not be undone)"
        ) from error


def optional(check: Callable[[object], T], value: object) -> T | None:
    """Return None, or the value that `check` accepts."""
    return None if value is None else check(value)


def text(value: object) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} instead of text")
    return value


def integer(value: object) -> int:
    """Return an integer."""
    if not isinstance(value, int):
        raise ValueError(f"{_shown(value)} instead of an integer")
    return value


def number(value: object) -> float:
    """Return a finite number."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{_shown(value)} instead of a number")
    return float(value)


def time(value: object) -> float:
    """Return a time in seconds since 1970."""
    if not 0 <= number(value) <= LATEST:
        raise ValueError(f"{_shown(value)} instead of a time")
    return number(value)


def blob(value: object) -> bytes:
    """Return bytes."""
    if not isinstance(value, bytes):
        raise ValueError(f"{_shown(value)} instead of bytes")
    return value


def path(value: object) -> Path:
    """Return an absolute path."""
    if b"\0" in blob(value) or not os.path.isabs(blob(value)):
        raise ValueError(f"{_shown(value)} instead of an absolute path")
    return Path(os.fsdecode(blob(value)))


def genres(value: object) -> tuple[str, ...]:
    """Return the genres of a JSON list."""
    names = _json(value)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{_shown(value)} instead of a list of genres")
    return tuple(names)


def file_error(value: object) -> FileError:
    """Return an error of a file from its JSON form."""
    match _json(value):
        case [str(code), str(message)]:
            return FileError(code, message)
    raise ValueError(f"{_shown(value)} instead of an error")


def places(value: object) -> list[tuple[Path, Literal["all", "files", "itself"]]]:
    """Return the paths of a run's write scope, each with what it covers."""
    found: list[tuple[Path, Literal["all", "files", "itself"]]] = []
    for place in _list(_json(value)):
        match place:
            case [str(name), "all" | "files" | "itself" as covers]:
                found.append((Path(name), covers))
            case _:
                raise ValueError(f"{_shown(value)} instead of paths")
    return found


# Rows of the cache: what genretag did not write like this is found again


def known_file(row: tuple[Any, ...]) -> tuple[str, str, bool, tuple[str, ...], FileError | None] | None:
    """Return the fields of a KnownFile, or None."""
    audio_id, kind, taggable, names, error = row
    with suppress(ValueError):
        return text(audio_id), text(kind), bool(taggable), genres(names), optional(file_error, error)
    return None


def cached_scores(
    row: tuple[Any, ...], labels: int | None
) -> tuple[NDArray[np.float32], int, float | None] | None:
    """Return the fields of a CachedScores, or None also if they are not for so many `labels`."""
    scores, n_windows, duration = row
    with suppress(ValueError):
        found = np.frombuffer(blob(scores), "<f4")
        if np.isfinite(found).all() and labels in (None, len(found)):
            return found, integer(n_windows), optional(number, duration)
    return None


def cached_encoding(row: tuple[Any, ...]) -> tuple[NDArray[np.float32], float | None] | None:
    """Return the fields of a CachedEncoding, or None."""
    encoded, n_windows, duration = row
    with suppress(ValueError, OverflowError):
        found = np.frombuffer(blob(encoded), "<f4").reshape(max(1, integer(n_windows)), -1).copy()
        if found.size and np.isfinite(found).all():
            return found, optional(number, duration)
    return None


def paths(found: Iterable[tuple[Any, ...]]) -> list[Path]:
    """Return the paths in the first column, without what is none."""
    good = []
    for row in found:
        with suppress(ValueError):
            good.append(path(row[0]))
    return good


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{_shown(value)} instead of a list")
    return value


def _json(value: object) -> Any:
    try:
        return json.loads(text(value))
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def _shown(value: object) -> str:
    return repr(value)[:60]
