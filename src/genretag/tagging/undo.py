"""A run taken back: each file gets its old bytes where nothing else touched it, else its old genre."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genretag.audio.payload import identify
from genretag.errors import FileError, GenretagError, StoreError, TagError, UsageError
from genretag.interruption import held_off
from genretag.journal import Change, How, Journal, Write
from genretag.places import places_listed
from genretag.store import FileKey, KnownFile, Store
from genretag.tagging import tags
from genretag.tagging.delta import apply_delta
from genretag.tagging.staged_copy import Step
from genretag.tagging.write import WriteOutcome, hash_file, safe_write


@dataclass(frozen=True)
class UndoRecord:
    """One file's line in the output of `undo`.

    `genres` is what the file holds now, `previous` what it held before that; `how` it went back: to the very
    bytes, or only to the value of its genre. `error` says why a file was skipped or failed.
    """

    path: Path
    status: Literal["undone", "skipped", "failed"]
    how: How | None
    genres: tuple[str, ...]
    previous: tuple[str, ...]
    error: FileError | None = None

    def to_dict(self) -> dict[str, Any]:
        """The record of `undo --json`."""
        return {
            "path": str(self.path),
            "status": self.status,
            "how": self.how,
            "genres": self.genres,
            "previous": self.previous,
            "error": None if self.error is None else self.error.to_dict(),
        }


def undo_run(store: Store, run_id: int, *, in_place: bool = False) -> Generator[UndoRecord, None, None]:
    """Take back what a run wrote and still stands, the newest write first; a record for every file.

    What was written in place goes back in place, with `in_place` everything. The taking back is a run of its
    own: it survives a crash like any other and can be taken back too. Raises UsageError where there is no
    such run; BusyError before, StoreError while records come.
    """
    journal = Journal(store)
    if all(run.id != run_id for run in journal.runs()):
        raise UsageError(f"there is no run {run_id} in the history; see: genretag history")
    return _undo_writes(store, journal, run_id, in_place)


def _undo_writes(
    store: Store, journal: Journal, run_id: int, in_place: bool
) -> Generator[UndoRecord, None, None]:
    standing = [
        write for write in journal.writes(run_id) if write.state == "done" and write.undone_by is None
    ]
    places = places_listed(write.path for write in standing)
    with journal.run("undo", None, places) as own_id:
        for write in reversed(standing):
            with held_off():
                yield _record(store, journal, own_id, write, in_place)


def _record(store: Store, journal: Journal, run_id: int, write: Write, in_place: bool) -> UndoRecord:
    try:
        return _undo(store, journal, run_id, write, in_place or write.in_place)
    except _SkipError as reason:
        return _left_alone(write, "skipped", reason.genres, FileError.of(reason))
    except StoreError:
        raise
    except GenretagError as error:
        return _left_alone(write, "failed", (), FileError.of(error))
    except OSError as error:
        message = f"{write.path}: {error.strerror or error}; check that it can be read"
        return _left_alone(write, "failed", (), FileError("unreadable", message))


class _SkipError(GenretagError):
    """The file is no longer as genretag left it; `genres` is what it holds now."""

    def __init__(self, message: str, code: str, genres: tuple[str, ...] = ()) -> None:
        super().__init__(message, code=code)
        self.genres = genres


def _left_alone(
    write: Write, status: Literal["skipped", "failed"], genres: tuple[str, ...], error: FileError
) -> UndoRecord:
    return UndoRecord(write.path, status, None, genres, genres, error)


def _undo(store: Store, journal: Journal, run_id: int, write: Write, in_place: bool) -> UndoRecord:
    path, exact = _find(store, journal, write)
    key = FileKey.of(path.stat())
    state = tags.read(path)
    change = write.change

    def put_back(how: How, edit: Step, check: Step, mtime_ns: int | None) -> WriteOutcome:
        # A change of its own: to take it back in turn, the genre of now is kept with it.
        reverse = Change(
            change.audio_id, change.format, state.raw, state.genres, change.old_genres, write.id, how
        )
        return safe_write(
            path,
            edit,
            check,
            expected=key,
            change=reverse,
            journal=journal,
            run_id=run_id,
            mtime_ns=mtime_ns,
            in_place=in_place,
        )

    def restore_values() -> WriteOutcome:
        if not exact and state.genres != change.new_genres:
            raise _SkipError(f"{path}: its genre was changed by someone else since", "changed", state.genres)
        return put_back(
            "values", lambda temp: tags.restore(temp, change.old_raw), _holds(change.old_genres), None
        )

    how: How = "values"
    delta = journal.delta(write.id) if exact else None
    if delta is None:
        outcome = restore_values()
    else:
        try:
            edit = _rebuild(path, delta, write.before_hash)
            outcome, how = put_back("bytes", edit, _accept, write.before_mtime_ns), "bytes"
        except _DamagedDeltaError:
            outcome = restore_values()
    known = KnownFile(change.audio_id, change.format, True, change.old_genres)
    store.remember_file(outcome.key, path, known)
    return UndoRecord(path, "undone", how, change.old_genres, state.genres)


def _find(store: Store, journal: Journal, write: Write) -> tuple[Path, bool]:
    """Where the file is now, and whether it is byte for byte what genretag wrote."""
    if os.path.isfile(write.path):
        if hash_file(write.path) == write.after_hash:
            return write.path, True
        if run := journal.later_run(write):
            raise _SkipError(
                f"{write.path}: written again by run {run}; undo that one first", "changed", _now(write)
            )
        if identify(write.path) == write.change.audio_id:
            return write.path, False
    for path in store.paths_of(write.change.audio_id):
        # Another copy of the recording may hold the same genre for a reason of its own: only the bytes tell.
        if path != write.path and os.path.isfile(path) and hash_file(path) == write.after_hash:
            return path, True
    if os.path.isfile(write.path):
        raise _SkipError(f"{write.path}: another recording has this name now", "changed", _now(write))
    if os.path.lexists(write.path):
        raise _SkipError(f"{write.path}: is not a regular file any more", "changed")
    raise _SkipError(
        f"{write.path}: is gone; if it was moved, let genretag see it: genretag tag -n NEW-PLACE", "missing"
    )


def _now(write: Write) -> tuple[str, ...]:
    with suppress(TagError):
        return tags.read(write.path).genres
    return ()


class _DamagedDeltaError(GenretagError):
    """What the journal kept of the old bytes does not give them back."""


def _rebuild(path: Path, delta: bytes, before_hash: bytes | None) -> Step:
    """The very bytes of before, verified."""

    def edit(temp: Path) -> None:
        try:
            apply_delta(path, delta, temp)
        except ValueError as error:
            raise _DamagedDeltaError(f"{path}: {error}") from error
        if hash_file(temp) != before_hash:
            raise _DamagedDeltaError(f"{path}: the journal does not lead back to its old bytes")

    return edit


def _accept(_temp: Path) -> None:
    """Bytes that have the hash of before need no second look."""


def _holds(genres: tuple[str, ...]) -> Step:
    def check(temp: Path) -> None:
        if tags.read(temp).genres != genres:
            raise TagError(f"{temp}: its old genre could not be put back")

    return check
