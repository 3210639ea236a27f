"""Runs and writes as the journal keeps them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from genretag import rows

# Of the names of the copies that are changed and then put in the place of a file.
COPY_PREFIX = ".genretag-"

State = Literal["intended", "prepared", "done", "abandoned"]
How = Literal["bytes", "values"]


@dataclass(frozen=True)
class Run:
    """One command that wrote: when (seconds since 1970), with what, and what became of its writes."""

    id: int
    command: str
    model: str | None
    version: str
    started: float
    finished: float | None
    status: str
    written: int
    undone: int
    failed: int

    @classmethod
    def of_row(cls, row: tuple[Any, ...]) -> Run:
        """Return the run of a row; ValueError if genretag did not write it like that."""
        for value in (row[1], row[2] or "", row[3], row[6]):
            rows.text(value)
        for value in (row[4], row[5] or 0):
            rows.time(value)
        return cls(*row)

    def to_dict(self) -> dict[str, Any]:
        """The record of `history --json`."""
        return asdict(self)


@dataclass(frozen=True)
class Change:
    """Change of one file: genres before and after, and what undo needs to restore the old values.

    Genres, also the new ones, and `old_raw` are as `tagging.tags.read` gives them. `undoes` is the write that
    this one reverts, `how` the way it does so.
    """

    audio_id: str
    format: str
    old_raw: str
    old_genres: tuple[str, ...]
    new_genres: tuple[str, ...]
    undoes: int | None = None
    how: How | None = None


@dataclass(frozen=True)
class Write:
    """One journalled write; `before_hash` and `after_hash` are SHA-256 of the files, known once prepared.

    `in_place`: once prepared, the file itself is being changed and the copy is what it becomes.
    """

    id: int
    run_id: int
    path: Path
    temp: Path
    change: Change
    before_mtime_ns: int
    state: State
    code: str | None
    before_hash: bytes | None
    after_hash: bytes | None
    undone_by: int | None
    in_place: bool

    @classmethod
    def of_row(cls, row: tuple[Any, ...]) -> Write:
        """Return the write of a row; ValueError if genretag did not write it like that."""
        mtime_ns, in_place, state, code, before_hash, after_hash, undone_by = row[11:]
        if state not in get_args(State) or row[10] not in (None, *get_args(How)):
            raise ValueError(f"{(state, row[10])!r} instead of a state"[:80])
        path, temp = rows.path(row[2]), rows.path(row[3])
        # The next start removes what an interrupted write left at `temp`.
        if temp.parent != path.parent or not temp.name.startswith(COPY_PREFIX):
            raise ValueError(f"{str(temp)!r} instead of a copy beside the file"[:80])
        return cls(
            id=row[0],
            run_id=rows.integer(row[1]),
            path=path,
            temp=temp,
            change=Change(
                audio_id=rows.text(row[4]),
                format=rows.text(row[5]),
                old_raw=rows.blob(row[6]).decode("utf-8", "surrogatepass"),
                old_genres=rows.genres(row[7]),
                new_genres=rows.genres(row[8]),
                undoes=rows.optional(rows.integer, row[9]),
                how=row[10],
            ),
            before_mtime_ns=int(mtime_ns) if isinstance(mtime_ns, bytes) else rows.integer(mtime_ns),
            state=state,
            code=rows.optional(rows.text, code),
            before_hash=rows.optional(rows.blob, before_hash),
            after_hash=rows.optional(rows.blob, after_hash),
            undone_by=rows.optional(rows.integer, undone_by),
            in_place=bool(in_place),
        )
