"""The journal of writes: what genretag is about to do, did, and took back, durable before it happens.

A write is `intended` (a temporary copy may exist), then `prepared` (the copy is whole and may be in place by
now), then `done` or `abandoned`. What a crash leaves in the first two states is settled by tagging.recover.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from genretag import __version__, rows
from genretag.database import FILE_NAME
from genretag.errors import BusyError, StoreError, WriteError
from genretag.journal_records import Change, How, Run, State, Write
from genretag.places import Place, dump_places, load_places, meeting
from genretag.store import Store

__all__ = ["Change", "How", "Journal", "Run", "State", "Write"]

_COLUMNS = (
    "id, run_id, path, temp, audio_id, format, old_raw, old_genres, new_genres, undoes, how, "
    "before_mtime_ns, in_place, state, code, before_hash, after_hash, undone_by"
)
_UNSETTLED = (
    "(status = 'running' OR id IN (SELECT run_id FROM writes WHERE state IN ('intended', 'prepared')))"
)
# A write of our own that still stands: neither taken back nor itself a taking back.
_STANDS = "state = 'done' AND undone_by IS NULL AND undoes IS NULL"


class Journal:
    """The journal in a store. Every method raises StoreError where the database cannot be used."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks = store.folder / "runs"

    # Runs

    @contextmanager
    def run(self, command: str, model: str | None, places: Iterable[Place] = ()) -> Iterator[int]:
        """A run's id for the time of the block; a lock held meanwhile tells others that the run is alive.

        `places` are where it is going to write: BusyError where another run that is alive writes there too.
        A run that wrote nothing leaves no trace.
        """
        run_id, lock = self._begin(command, model, tuple(places))
        status = "failed"
        try:
            yield run_id
            status = "done"
        except (KeyboardInterrupt, GeneratorExit):
            status = "interrupted"
            raise
        finally:
            try:
                self._finish(run_id, status)
            finally:
                _release(lock)

    def _begin(
        self, command: str, model: str | None, places: tuple[Place, ...]
    ) -> tuple[int, filelock.BaseFileLock]:
        # The name is new even where ids begin again after a damaged database.
        name = f"{uuid.uuid4().hex}.lock"
        lock = self._lock(name)
        process = (os.getpid(), platform.node())
        row = (command, model, __version__, name, time.time(), "running", *process, dump_places(places))
        with self._lockable():
            self._locks.mkdir(exist_ok=True)
            with self._store.transaction() as connection:
                self._refuse_meeting(places)
                # Held before the row can be seen: otherwise another process could take the run for dead.
                # Made in the transaction: otherwise it could take the lock for a forgotten one.
                lock.acquire()
                cursor = connection.execute(
                    "INSERT INTO runs "
                    "(command, model, version, lock, started, status, process, host, places) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
        assert cursor.lastrowid is not None
        return cursor.lastrowid, lock

    def _refuse_meeting(self, places: tuple[Place, ...]) -> None:
        running = self._store.rows(
            "SELECT lock, command, started, process, host, places FROM runs WHERE status = 'running'"
        )
        for lock, command, started, process, host, theirs in running:
            with self._checked("a run"):
                path, _ = meeting(places, load_places(theirs)), rows.time(started)
            if path is not None and self._is_held(lock):
                today = time.localtime()[:3] == time.localtime(started)[:3]
                since = time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", time.localtime(started))
                where = "" if host == platform.node() else f" on {host}"
                raise BusyError(
                    f"{path}: process {process}{where} (genretag {command}) has been writing there since "
                    f"{since}; wait until it has ended or stop it; tag --dry-run need not wait"
                )

    def _is_held(self, name: str) -> bool:
        lock = self._lock(name)
        if not os.path.exists(lock.lock_file):
            return False
        try:
            lock.acquire()
        except filelock.Timeout:
            return True
        lock.release()
        return False

    def _finish(self, run_id: int, status: str) -> None:
        with self._store.transaction(durable=False) as connection:
            connection.execute(
                "UPDATE runs SET status = ?, finished = ? WHERE id = ? AND status = 'running'",
                (status, time.time(), run_id),
            )
            connection.execute(
                "DELETE FROM runs WHERE id = ? AND id NOT IN (SELECT run_id FROM writes)", (run_id,)
            )

    @contextmanager
    def _lockable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self._locks}: no run can be locked there ({error}); free some space or set GENRETAG_HOME"
            ) from error

    def _checked(self, what: str) -> AbstractContextManager[None]:
        return rows.checked(self._store.folder / FILE_NAME, what)

    def _lock(self, name: str) -> filelock.BaseFileLock:
        with self._checked("a run"):
            # Locks are removed after use: nothing outside of the folder may be taken for one.
            if os.path.basename(rows.text(name)) != name or not name.endswith(".lock") or "\0" in name:
                raise ValueError(f"{name!r} instead of the name of a lock"[:80])
        if self._locks.is_symlink():
            raise StoreError(f"{self._locks}: is a symbolic link; replace it by a folder")
        return filelock.FileLock(self._locks / name, blocking=False, thread_local=False)

    @contextmanager
    def lost_runs(self) -> Iterator[list[int]]:
        """Ids of runs that ended without a word, oldest first; for the block nobody else settles them.

        At the end of the block they count as interrupted.
        """
        self._remove_forgotten_locks()
        unsettled = self._store.rows(f"SELECT id, lock FROM runs WHERE {_UNSETTLED} ORDER BY id")
        held: list[tuple[int, filelock.BaseFileLock]] = []
        try:
            with self._lockable():
                self._locks.mkdir(exist_ok=True)
                for run_id, name in unsettled:
                    lock = self._lock(name)
                    with suppress(filelock.Timeout):
                        lock.acquire()
                        held.append((run_id, lock))
            yield [run_id for run_id, _ in held]
            for run_id, _ in held:
                self._finish(run_id, "interrupted")
        finally:
            for _, lock in held:
                _release(lock)

    def _remove_forgotten_locks(self) -> None:
        """Those of runs that were stopped before their row was written, or after it was settled."""
        if self._locks.is_symlink() or not any(self._locks.glob("*.lock")):
            return
        with self._store.transaction(durable=False) as connection:
            known = {name for (name,) in connection.execute(f"SELECT lock FROM runs WHERE {_UNSETTLED}")}
            for path in self._locks.glob("*.lock"):
                if path.name not in known:
                    with suppress(OSError):
                        path.unlink()

    def runs(self) -> list[Run]:
        """The runs that wrote or tried to, newest first."""
        found = self._store.rows(
            "SELECT runs.id, command, model, version, started, finished, status, sum(state = 'done'), "
            "sum(state = 'done' AND undone_by IS NOT NULL), sum(state = 'abandoned') "
            "FROM runs JOIN writes ON run_id = runs.id GROUP BY runs.id ORDER BY runs.id DESC"
        )
        runs = []
        for row in found:
            with self._checked(f"run {row[0]}"):
                runs.append(Run.of_row(row))
        return runs

    def last_run(self) -> int | None:
        """The newest run with something to take back; None where there is none."""
        return self._run_id(self._store.row(f"SELECT max(run_id) FROM writes WHERE {_STANDS}")[0])

    # Writes

    def intend(
        self,
        run_id: int,
        path: Path,
        temp: Path,
        change: Change,
        before_mtime_ns: int,
        *,
        in_place: bool = False,
    ) -> int:
        """Note down that `path` is about to be replaced by way of `temp`, or `in_place` to become like it.

        Returns the write's id.

        The path is taken until the write is settled: WriteError (`changed`) where another write holds it.
        """
        row = (
            *(run_id, os.fsencode(path), os.fsencode(temp), change.audio_id, change.format),
            *(_text_bytes(change.old_raw), json.dumps(change.old_genres), json.dumps(change.new_genres)),
            *(change.undoes, change.how, _integer(before_mtime_ns), in_place, "intended"),
        )
        columns = _COLUMNS.split(", ")[1:14]
        with self._store.transaction() as connection:
            try:
                cursor = connection.execute(
                    f"INSERT INTO writes ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", row
                )
            except sqlite3.IntegrityError:
                message = f"{path}: another run of genretag is writing it; try again when that has ended"
                raise WriteError(message, code="changed") from None
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def prepared(self, write_id: int, before_hash: bytes, after_hash: bytes, delta: bytes | None) -> None:
        """Note down, before the replacement, how to know the old file and the new one and how to go back."""
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE writes SET state = 'prepared', before_hash = ?, after_hash = ?, delta = ? "
                "WHERE id = ?",
                (before_hash, after_hash, delta, write_id),
            )

    # How a write ended need not survive a loss of power: recovery can tell it from the files.

    def done(self, write_id: int) -> None:
        """The new file is in place; where it takes an earlier write back, that one counts as undone."""
        undoes = "(SELECT undoes FROM writes WHERE id = ?)"
        with self._store.transaction(durable=False) as connection:
            connection.execute("UPDATE writes SET state = 'done' WHERE id = ?", (write_id,))
            connection.execute(f"UPDATE writes SET undone_by = ? WHERE id = {undoes}", (write_id, write_id))
            # Taking back a taking back lets the first write stand again.
            connection.execute(f"UPDATE writes SET undone_by = NULL WHERE undone_by = {undoes}", (write_id,))

    def abandoned(self, write_id: int, code: str) -> None:
        """The old file stays; nothing of the new one is left."""
        with self._store.transaction(durable=False) as connection:
            connection.execute(
                "UPDATE writes SET state = 'abandoned', code = ?, delta = NULL WHERE id = ?", (code, write_id)
            )

    def withdrawn(self, write_id: int) -> None:
        """The new file would have been the old one."""
        with self._store.transaction(durable=False) as connection:
            connection.execute("DELETE FROM writes WHERE id = ?", (write_id,))

    def writes(self, run_id: int) -> list[Write]:
        """The writes of a run in the order they were made."""
        return self._select("run_id = ? ORDER BY id", (run_id,))

    def pending(self, run_id: int) -> list[Write]:
        """The writes of a run that are neither done nor abandoned."""
        return self._select("run_id = ? AND state IN ('intended', 'prepared') ORDER BY id", (run_id,))

    def wrote(self, audio_id: str, content: bytes) -> bool:
        """Return True if a write of this recording, or an undo, produced a file of this SHA-256."""
        query = "SELECT 1 FROM writes WHERE audio_id = ? AND after_hash = ? AND state = 'done'"
        return self._store.row(query, (audio_id, content)) is not None

    def last_write(self, path: Path, audio_id: str) -> Write | None:
        """What genretag wrote last to this recording, here or before it was moved here, and still stands."""
        here = os.fsencode(os.path.realpath(path))
        writes = self._select(f"audio_id = ? AND {_STANDS} ORDER BY path = ? DESC, id DESC", (audio_id, here))
        return next((w for w in writes if os.fsencode(w.path) == here or not os.path.lexists(w.path)), None)

    def originals(self) -> dict[str, list[tuple[Path, tuple[str, ...]]]]:
        """By recording: the files whose genres we wrote and did not take back, with what they held before.

        Before is before the first of our writes that still stands.
        """
        standing = self._store.rows(
            f"SELECT audio_id, path, old_genres, min(id) FROM writes WHERE {_STANDS} GROUP BY audio_id, path"
        )
        found: dict[str, list[tuple[Path, tuple[str, ...]]]] = {}
        for audio_id, path, genres, write_id in standing:
            with self._checked(f"write {write_id}"):
                found.setdefault(audio_id, []).append((rows.path(path), rows.genres(genres)))
        return found

    def later_run(self, write: Write) -> int | None:
        """The run that wrote the same file again after `write`, where that still stands."""
        row = self._store.row(
            f"SELECT max(run_id) FROM writes WHERE path = ? AND id > ? AND {_STANDS}",
            (os.fsencode(write.path), write.id),
        )
        return self._run_id(row[0])

    def delta(self, write_id: int) -> bytes | None:
        """What turns the new file back into the old one, where that was small enough to keep."""
        row = self._store.row("SELECT delta FROM writes WHERE id = ?", (write_id,))
        if row is None or row[0] is None:
            return None
        with self._checked(f"write {write_id}"):
            return rows.blob(row[0])

    def _select(self, condition: str, values: tuple[Any, ...]) -> list[Write]:
        found = self._store.rows(f"SELECT {_COLUMNS} FROM writes WHERE {condition}", values)
        writes = []
        for row in found:
            with self._checked(f"write {row[0]}"):
                writes.append(Write.of_row(row))
        return writes

    def _run_id(self, value: object) -> int | None:
        with self._checked("a write"):
            return None if value is None else rows.integer(value)


def _integer(number: int) -> int | bytes:
    """Return a number as a column keeps it exactly: in digits if it does not fit into 64 bits."""
    return number if -(2**63) <= number < 2**63 else str(number).encode()


def _text_bytes(text: str) -> bytes:
    # Tags can hold halves of surrogate pairs, which SQLite's text cannot.
    return text.encode("utf-8", "surrogatepass")


def _release(lock: filelock.BaseFileLock) -> None:
    # Removed while it is held, so that nobody takes a file that is about to go.
    with suppress(OSError):
        os.unlink(lock.lock_file)
    lock.release()
