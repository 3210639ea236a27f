"""What is to become of each file: the record, its JSON line, and the policies for files that have genres."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args

from genretag.errors import FileError, PlanError
from genretag.escapes import has_control, json_line
from genretag.files import written_whole
from genretag.labels import canonical, split_genres

Status = Literal["written", "planned", "unchanged", "kept", "unsure", "failed"]


class Existing(StrEnum):
    """What happens to genres that a file already has."""

    KEEP = "keep"
    ADD = "add"
    REPLACE = "replace"
    REFRESH = "refresh"


@dataclass(frozen=True)
class Record:
    """One file's line in the output of `tag` and in a plan.

    `genres` is what the file is to hold (empty where nothing was decided), `previous` what it held before,
    `scores` a probability for every label of the model. `audio` identifies the sound, so that a plan is
    never carried out on another file that took the name. `album` is what was decided for the file's album and
    how it stands to it (see `album.Verdict`), None where it was decided by itself. `reason` is "auto" if a
    learnt model left the decision to the head of `auto`; without a reason it is not in the JSON.
    """

    path: Path
    status: Status
    genres: tuple[str, ...] = ()
    previous: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    model: str | None = None
    seconds: float = 0.0
    error: FileError | None = None
    audio: str | None = None
    album: Mapping[str, Any] | None = None
    reason: str | None = None

    def to_json(self) -> str:
        """One line; bytes of a name that are not UTF-8 become lone surrogates, which `json` reads back."""
        reason = {} if self.reason is None else {"reason": self.reason}
        return json_line(
            {
                "path": str(self.path),
                "status": self.status,
                "genres": self.genres,
                "previous": self.previous,
                "scores": {label: round(score, 4) for label, score in self.scores.items()},
                "model": self.model,
                "seconds": round(self.seconds, 3),
                "error": None if self.error is None else self.error.to_dict(),
                "audio": self.audio,
                "album": self.album,
            }
            | reason
        )


def keeps(existing: Existing, previous: Sequence[str], ours: Sequence[str] | None) -> bool:
    """Return True if the policy leaves the file unchanged, whatever genres are decided.

    Args:
        existing: The policy.
        previous: Genre values of the file, as stored.
        ours: Values that genretag wrote last (None: never).
    """
    if not previous or existing in (Existing.ADD, Existing.REPLACE):
        return False
    return existing is Existing.KEEP or ours is None or tuple(previous) != tuple(ours)


def merge(
    existing: Existing,
    previous: Sequence[str],
    decided: Sequence[str],
    ours: Sequence[str] | None,
    separator: str | None = None,
) -> tuple[str, ...] | None:
    """Merge the decided genres with those of a file.

    `add` keeps the order and the spelling of the file's genres and appends those that are missing. Genres are
    compared one by one in their canonical spelling: joined values are split (see `split_genres`).

    Args:
        existing: The policy.
        previous: Genre values of the file, as stored.
        decided: New genres.
        ours: Values that genretag wrote last (None: never).
        separator: String that joins genres in this run.

    Returns:
        The genres that the file should hold, or None if nothing needs to be written.
    """
    if keeps(existing, previous, ours):
        return None
    if existing is not Existing.ADD or not previous:
        return tuple(decided)
    present = split_genres(previous, separator)
    known = set(map(_comparable, present))
    missing: dict[str, str] = {}
    for genre in split_genres(decided, separator):
        if _comparable(genre) not in known:
            missing.setdefault(_comparable(genre), genre)
    return (*present, *missing.values()) if missing else None


def _comparable(genre: str) -> str:
    return canonical(genre).casefold()


@contextmanager
def plan_writer(path: Path | None) -> Iterator[Callable[[Record], Record]]:
    """A function that adds a record to the plan at `path` and hands it on; None writes no plan.

    The plan appears under its name only when it is whole.
    """
    if path is None:
        yield lambda record: record
        return
    try:
        with written_whole(path) as file:

            def keep(record: Record) -> Record:
                file.write(record.to_json().encode("utf-8") + b"\n")
                return record

            yield keep
    except OSError as error:
        if error.filename not in (None, str(path)):
            raise
        reason = f"the plan cannot be written ({error.strerror}); choose another place"
        raise PlanError(f"{path}: {reason}") from None


def read_plan(lines: Iterable[str], where: str) -> Iterator[Record]:
    """Records of a plan, one JSON object per line; PlanError names the line that cannot be understood."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield parse_record(line, f"{where}:{number}")


def parse_record(line: str, where: str) -> Record:
    """One record; only `path` is required, since a plan may be filtered and edited by hand."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{where}: not JSON ({error}); a plan has one JSON object per line") from None
    if not isinstance(document, dict) or not isinstance(document.get("path"), str) or not document["path"]:
        raise PlanError(f'{where}: not an object with a "path", as `genretag tag --plan` writes it')
    if not _can_be_a_name(document["path"]):
        raise PlanError(f"{where}: no file can have the path {document['path']!r}"[:300])
    status = document.get("status", "planned")
    if status not in get_args(Status):
        known = ", ".join(get_args(Status))
        raise PlanError(f"{where}: status must be one of {known}, not {status!r}"[:300])
    seconds = document.get("seconds") or 0.0
    if not _is_number(seconds):
        raise PlanError(f"{where}: seconds must be a number, not {seconds!r}"[:300])
    genres, previous = _genres(document, "genres", where), _genres(document, "previous", where)
    # A genre that the file has may stay, however odd; `apply` checks that the file has it.
    if odd := [genre for genre in genres if has_control(genre) and not any(genre in old for old in previous)]:
        raise PlanError(f"{where}: the genre {odd[0]!r} holds a control character"[:300])
    return Record(
        path=Path(document["path"]),
        status=status,
        genres=genres,
        previous=previous,
        scores=_scores(document, where),
        model=_text(document, "model", where),
        seconds=float(seconds),
        error=_error(document, where),
        audio=_text(document, "audio", where),
        album=_album(document, where),
        reason=_text(document, "reason", where),
    )


def find_path(path: Path) -> Path:
    """The file that a plan means, also after a program that knows only UTF-8 has passed the name on.

    Such programs (jq among them) replace every byte of a name that is not UTF-8 by U+FFFD. Where the name as
    it stands does not exist, the one entry that reads like it is taken, folder by folder.
    """
    if "\N{REPLACEMENT CHARACTER}" not in str(path) or os.path.lexists(path):
        return path
    found = Path(path.anchor) if path.is_absolute() else Path()
    for part in path.parts[1:] if path.is_absolute() else path.parts:
        if "\N{REPLACEMENT CHARACTER}" not in part or os.path.lexists(found / part):
            found /= part
            continue
        try:
            names = [name for name in os.listdir(found) if _as_utf8(name) == part]
        except OSError:
            return path
        if len(names) != 1:
            return path
        found /= names[0]
    return found


def _as_utf8(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


def _can_be_a_name(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:  # half of a surrogate pair, which stands for no byte
        return False


def _genres(document: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = document.get(key) or []
    if not isinstance(value, list) or not all(
        isinstance(genre, str) and genre.strip() and "\0" not in genre for genre in value
    ):
        raise PlanError(f"{where}: {key} must be a list of genre names, not {value!r}"[:300])
    return tuple(value)


def _scores(document: dict[str, Any], where: str) -> dict[str, float]:
    value = document.get("scores") or {}
    if not isinstance(value, dict) or not all(map(_is_number, value.values())):
        raise PlanError(f"{where}: scores must be an object of numbers")
    return value


def _text(document: dict[str, Any], key: str, where: str) -> str | None:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise PlanError(f"{where}: {key} must be text, not {value!r}"[:300])
    return value


def _album(document: dict[str, Any], where: str) -> dict[str, Any] | None:
    value = document.get("album")
    if value is not None and not isinstance(value, dict):
        raise PlanError(f"{where}: album must be null or an object, not {value!r}"[:300])
    return value


def _error(document: dict[str, Any], where: str) -> FileError | None:
    match document.get("error"):
        case None:
            return None
        case {"code": str(code), "message": str(message), **others}:
            known = others.get("known", False)  # not in plans of earlier versions
            if isinstance(known, bool):
                return FileError(code, message, known)
    raise PlanError(f"{where}: error must be null or an object with code, message and known (true or false)")


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False
