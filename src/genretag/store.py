"""The one SQLite file: what is known of files and recordings (a cache), and the tables of the journal.

What the cache loses in a crash is found again, so its rows wait in memory and are written some hundred at a
time; the journal's are written at once.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock
import numpy as np
import platformdirs
from numpy.typing import NDArray

from genretag import __version__
from genretag.errors import FileError, StoreError
from genretag.mounts import require_local

FILE_NAME = "genretag.sqlite3"
SCHEMA_VERSION = 1
FLUSH_ROWS = 500
FLUSH_SECONDS = 1.0
BUSY_SECONDS = 60.0

_SCHEMA = """
CREATE TABLE files (
  device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  path BLOB NOT NULL, audio_id TEXT NOT NULL, format TEXT NOT NULL, taggable INTEGER NOT NULL,
  genres TEXT NOT NULL, error TEXT, seen REAL NOT NULL,
  PRIMARY KEY (device, inode)
) WITHOUT ROWID;
CREATE INDEX files_by_path ON files (path);
CREATE INDEX files_by_audio ON files (audio_id);
CREATE TABLE scores (
  audio_id TEXT NOT NULL, model_hash TEXT NOT NULL, coverage TEXT NOT NULL,
  scores BLOB NOT NULL, n_windows INTEGER NOT NULL, duration REAL,
  PRIMARY KEY (audio_id, model_hash, coverage)
) WITHOUT ROWID;
CREATE TABLE failures (
  audio_id TEXT PRIMARY KEY, error TEXT NOT NULL, version TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, command TEXT NOT NULL, model TEXT, version TEXT NOT NULL, lock TEXT NOT NULL,
  started REAL NOT NULL, finished REAL, status TEXT NOT NULL
);
CREATE TABLE writes (
  id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs (id),
  path BLOB NOT NULL, temp BLOB NOT NULL, audio_id TEXT NOT NULL, format TEXT NOT NULL, old_raw BLOB NOT NULL,
  old_genres TEXT NOT NULL, new_genres TEXT NOT NULL, before_mtime_ns INTEGER NOT NULL,
  state TEXT NOT NULL, code TEXT, before_hash BLOB, after_hash BLOB, delta BLOB,
  undoes INTEGER REFERENCES writes (id), how TEXT, undone_by INTEGER REFERENCES writes (id)
);
CREATE INDEX writes_by_run ON writes (run_id);
CREATE INDEX writes_by_path ON writes (path);
CREATE INDEX writes_by_audio ON writes (audio_id);
CREATE UNIQUE INDEX writes_claims ON writes (path) WHERE state IN ('intended', 'prepared');
"""


@dataclass(frozen=True)
class FileKey:
    """What tells a file and its state apart from any other without reading it."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileKey:
        # SQLite's integers are signed; some file systems use all 64 bits.
        return cls(_signed(status.st_dev), _signed(status.st_ino), status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class KnownFile:
    """What was read from a file; `error` says why its tags could not be."""

    audio_id: str
    format: str
    taggable: bool
    genres: tuple[str, ...]
    error: FileError | None = None


@dataclass(frozen=True)
class CachedScores:
    """Scores of one recording: float32 (labels,), from `n_windows` windows; `duration` in seconds."""

    scores: NDArray[np.float32]
    n_windows: int
    duration: float | None


def home() -> Path:
    """The folder of the store: `GENRETAG_HOME`, or the user's data folder."""
    named = os.environ.get("GENRETAG_HOME")
    return Path(named) if named else Path(platformdirs.user_data_dir("genretag", appauthor=False))


def sync_folder(folder: Path) -> None:
    """Make safe from the loss of power what was made, renamed and removed in a folder, where it can be."""
    if sys.platform != "win32":
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


class Store:
    """The open database; use `Store.open()` and `close()`, or a `with` statement. Any thread may call it.

    Every method raises StoreError where the database cannot be used.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, warning: str | None) -> None:
        self.folder = folder
        self.warning = warning
        self._connection = connection
        self._lock = threading.RLock()
        self._files: dict[tuple[int, int], tuple[Any, ...]] = {}
        self._scores: dict[tuple[str, str, str], tuple[Any, ...]] = {}
        self._failures: dict[str, tuple[Any, ...]] = {}
        self._flushed = time.monotonic()

    # Opening and closing

    @classmethod
    def open(cls, folder: Path | None = None) -> Store:
        """Open the store in `folder` (default: `home()`), made where it is missing.

        A damaged database is moved aside, never deleted, and `warning` says so. Raises StoreError where the
        folder cannot be used or lies on a network file system, or the database was made by a newer genretag.
        """
        folder = (folder or home()).absolute()
        path = folder / FILE_NAME
        require_local(folder)
        try:
            _make_folder(folder)
            # Two processes must not both move a damaged database: the second would move the new one.
            with filelock.FileLock(folder / "open.lock", timeout=BUSY_SECONDS):
                connection, warning = _open_or_replace(path)
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise StoreError(
                f"{path}: cannot be opened ({reason}); set GENRETAG_HOME to a folder you can write"
            ) from error
        return cls(folder, connection, warning)

    def close(self) -> None:
        """Write what waits in memory and close the database."""
        with self._lock:
            try:
                self.flush()
            finally:
                self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Files

    def known_file(self, key: FileKey) -> KnownFile | None:
        """What was remembered of the file in exactly this state."""
        with self._lock:
            row = self._files.get((key.device, key.inode)) or self.row(
                "SELECT * FROM files WHERE device = ? AND inode = ?", (key.device, key.inode)
            )
        if row is None or (row[2], row[3]) != (key.size, key.mtime_ns):
            return None
        audio_id, kind, taggable, genres, error = row[5:10]
        return KnownFile(audio_id, kind, bool(taggable), tuple(json.loads(genres)), _load_error(error))

    def remember_file(self, key: FileKey, path: Path, known: KnownFile) -> None:
        """Remember a file; another state of it, or another file at this path, is forgotten."""
        row = (
            *(key.device, key.inode, key.size, key.mtime_ns, _path_bytes(path)),
            *(known.audio_id, known.format, int(known.taggable), json.dumps(known.genres)),
            *(None if known.error is None else _dump_error(known.error), time.time()),
        )
        with self._lock:
            self._files[key.device, key.inode] = row
            self._flush_when_due()

    def forget_file(self, path: Path) -> None:
        """Drop what is known of the file at `path`."""
        self.flush()
        with self.transaction(durable=False) as connection:
            connection.execute("DELETE FROM files WHERE path = ?", (_path_bytes(path),))

    def paths_of(self, audio_id: str) -> list[Path]:
        """Where files with this recording were seen, the last seen first; they may be gone."""
        self.flush()
        rows = self.rows("SELECT path FROM files WHERE audio_id = ? ORDER BY seen DESC", (audio_id,))
        return [Path(os.fsdecode(path)) for (path,) in rows]

    # Recordings

    def cached_scores(self, audio_id: str, model_hash: str, coverage: str) -> CachedScores | None:
        """Scores remembered for this recording, checkpoint and coverage."""
        key = (audio_id, model_hash, coverage)
        with self._lock:
            row = self._scores.get(key) or self.row(
                "SELECT * FROM scores WHERE audio_id = ? AND model_hash = ? AND coverage = ?", key
            )
        return None if row is None else CachedScores(np.frombuffer(row[3], "<f4"), row[4], row[5])

    def remember_scores(self, audio_id: str, model_hash: str, coverage: str, known: CachedScores) -> None:
        """Remember the scores of a recording; that its analysis failed once is forgotten."""
        key = (audio_id, model_hash, coverage)
        with self._lock:
            self._scores[key] = (*key, known.scores.astype("<f4").tobytes(), known.n_windows, known.duration)
            self._failures.pop(audio_id, None)
            self._flush_when_due()

    def cached_failure(self, audio_id: str) -> FileError | None:
        """Why this version of genretag could not analyse the recording; another version tries again."""
        with self._lock:
            row = self._failures.get(audio_id) or self.row(
                "SELECT * FROM failures WHERE audio_id = ?", (audio_id,)
            )
        return None if row is None or row[2] != __version__ else _load_error(row[1])

    def remember_failure(self, audio_id: str, error: FileError) -> None:
        """Remember that a recording cannot be analysed, so that it is not tried at every run."""
        with self._lock:
            self._failures[audio_id] = (audio_id, _dump_error(error), __version__)
            self._flush_when_due()

    # The database, for the cache above and for the journal

    def row(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        """The first row of a query, None where there is none."""
        with self._lock, self._errors():
            return self._connection.execute(sql, values).fetchone()

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """All rows of a query."""
        with self._lock, self._errors():
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing, safe from the end of the process; where `durable`, also from the loss of power."""
        with self._lock, self._errors():
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def flush(self) -> None:
        """Write the rows that wait in memory."""
        with self._lock:
            self._flushed = time.monotonic()
            if not (self._files or self._scores or self._failures):
                return
            with self.transaction(durable=False) as connection:
                for row in self._files.values():
                    connection.execute(
                        "DELETE FROM files WHERE path = ? AND (device, inode) != (?, ?)",
                        (row[4], row[0], row[1]),
                    )
                    connection.execute(f"INSERT OR REPLACE INTO files VALUES ({_marks(row)})", row)
                for row in self._scores.values():
                    connection.execute(f"INSERT OR REPLACE INTO scores VALUES ({_marks(row)})", row)
                    connection.execute("DELETE FROM failures WHERE audio_id = ?", (row[0],))
                for row in self._failures.values():
                    connection.execute(f"INSERT OR REPLACE INTO failures VALUES ({_marks(row)})", row)
            self._files, self._scores, self._failures = {}, {}, {}

    def _flush_when_due(self) -> None:
        waiting = len(self._files) + len(self._scores) + len(self._failures)
        if waiting >= FLUSH_ROWS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        path = self.folder / FILE_NAME
        try:
            yield
        except sqlite3.Error as error:
            if _is_damage(error):
                with suppress(OSError):
                    _suspicion(path).touch()
                raise StoreError(
                    f"{path}: is damaged ({error}); start again: it is then moved aside and a new one begun"
                ) from error
            raise StoreError(
                f"{path}: cannot be used ({error}); free some space or set GENRETAG_HOME"
            ) from error


def _make_folder(folder: Path) -> None:
    # Its name must be safe before anything is written: with it all that the journal keeps would go.
    if not folder.is_dir():
        _make_folder(folder.parent)
        # What a person listens to is nobody else's business.
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


def _open_or_replace(path: Path) -> tuple[sqlite3.Connection, str | None]:
    try:
        return _connect(path), None
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
    aside = _move_aside(path)
    warning = (
        f"{path}: was damaged and is kept as {aside.name}; a new one was begun, so scores are computed again "
        "and earlier runs cannot be undone"
    )
    return _connect(path), warning


def _connect(path: Path) -> sqlite3.Connection:
    # A clean end leaves no -wal file behind; only after another end is a full look worth its time.
    suspicion = _suspicion(path)
    # SQLite would let everybody read it, also in a folder that others may enter; -wal and -shm get its mode.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    doubtful = suspicion.exists() or path.with_name(FILE_NAME + "-wal").exists()
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        if doubtful:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if answer != "ok":
                raise _DamageError(answer)
            suspicion.unlink(missing_ok=True)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{path}: was made by a newer genretag (schema {version}, known {SCHEMA_VERSION}); "
                "update genretag or set GENRETAG_HOME to another folder"
            )
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
    except BaseException:
        connection.close()
        raise
    return connection


class _DamageError(sqlite3.DatabaseError):
    """The database opens, but its pages contradict each other."""


def _is_damage(error: sqlite3.Error) -> bool:
    # The low byte of an extended code is the plain one.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, _DamageError) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _move_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    number = 0
    while (aside := path.with_name(f"{FILE_NAME}.damaged-{stamp}{f'-{number}' if number else ''}")).exists():
        number += 1
    # The main file goes last: a stop in between leaves it to be found damaged again.
    for ending in ("-wal", "-shm", ""):
        part = path.with_name(FILE_NAME + ending)
        if part.exists():
            part.rename(aside.with_name(aside.name + ending))
    _suspicion(path).unlink(missing_ok=True)
    return aside


def _suspicion(path: Path) -> Path:
    """A note that a page was found damaged, so that the next opening looks at all of them."""
    return path.with_name(FILE_NAME + ".suspect")


def _marks(row: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(row))


def _dump_error(error: FileError) -> str:
    # Messages name paths; bytes of a name that are not UTF-8 have no place in SQLite's text, but in JSON.
    return json.dumps((error.code, error.message))


def _load_error(text: str | None) -> FileError | None:
    return None if text is None else FileError(*json.loads(text))


def _path_bytes(path: Path) -> bytes:
    return os.fsencode(path.absolute())


def _signed(number: int) -> int:
    return (number & (2**64 - 1)) - ((number & 2**63) << 1)
