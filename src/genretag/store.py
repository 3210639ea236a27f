"""The one SQLite file: what is known of files and recordings (a cache), and the tables of the journal.

What the cache loses in a crash is found again, so its rows wait in memory and are written some hundred at a
time, scores a few at a time; the journal's are written at once.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock
import platformdirs

from genretag import __version__, rows
from genretag.database import BUSY_SECONDS, FILE_NAME, is_damage, make_folder, open_or_replace, suspicion
from genretag.errors import FileError, StoreError
from genretag.mounts import require_local
from genretag.store_records import CachedEncoding, CachedScores, FileKey, KnownFile

__all__ = ["CachedEncoding", "CachedScores", "FileKey", "KnownFile", "Store", "home"]

FLUSH_ROWS = 500
FLUSH_SECONDS = 1.0
# What was analysed is dear: a kill must not cost more of it than a few recordings. Of those that come in one
# moment, from many machines or because they waited for one before them, it may be more.
FLUSH_SCORES = 4
FLUSH_SCORES_SECONDS = 0.1
FLUSH_MOMENT = 0.02
FLUSH_SCORES_AT_ONCE = 16
# Of the encoding of one recording: eight windows of musicnn have 6 KiB, a song at full coverage 70 KiB.
MAX_ENCODING_BYTES = 16 << 10


def home() -> Path:
    """The folder of the store: `GENRETAG_HOME`, or the user's data folder."""
    named = os.environ.get("GENRETAG_HOME")
    return Path(named) if named else Path(platformdirs.user_data_dir("genretag", appauthor=False))


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
        self._other_paths: dict[tuple[int, int, bytes], tuple[Any, ...]] = {}
        self._scores: dict[tuple[str, str, str], tuple[Any, ...]] = {}
        self._encodings: dict[tuple[str, str, str], tuple[Any, ...]] = {}
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
            make_folder(folder)
            # Two processes must not both move a damaged database: the second would move the new one.
            with filelock.FileLock(folder / "open.lock", timeout=BUSY_SECONDS):
                connection, warning = open_or_replace(path)
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

    def known_file(self, key: FileKey, path: Path | None = None) -> KnownFile | None:
        """Return what was remembered of the file in exactly this state, or None.

        With `path`, that path is remembered too: as the path of the file if it is no longer at the recorded
        one (it was moved), else beside it (a hard link, another mount).
        """
        with self._lock:
            row = self._file_row(key)
            if row is None or (row[2], row[3]) != (key.size, key.mtime_ns):
                return None
            if key.ctime_ns is not None and row[11] != key.ctime_ns:
                return None
            if (fields := rows.known_file(row[5:10])) is None:
                return None
            known = KnownFile(*fields)
            if path is not None and self._recorded_path(key, _path_bytes(path)) != row[4]:
                self.remember_file(key, path, known)
        return known

    def _file_row(self, key: FileKey) -> Any:
        query = "SELECT * FROM files WHERE device = ? AND inode = ?"
        return self._files.get((key.device, key.inode)) or self.row(query, (key.device, key.inode))

    def _recorded_path(self, key: FileKey, path: bytes) -> bytes:
        """Return the path to record for a file seen at `path`: the recorded one while it is there."""
        row = self._file_row(key)
        if row is None or row[4] == path or not _is_at(row[4], key):
            return path
        name = (key.device, key.inode, path)
        query = "SELECT 1 FROM other_paths WHERE device = ? AND inode = ? AND path = ?"
        if self.row(query, name) is None:
            self._other_paths[name] = (*name, time.time())
            self._flush_when_due()
        recorded: bytes = row[4]
        return recorded

    def _is_duplicate(self, key: FileKey, audio_id: str) -> bool:
        """Return True for a second file with a recording whose first file is where it was seen."""
        row = self._file_row(key)
        if row is not None and row[5] == audio_id:
            return bool(row[12])
        query = "SELECT device, inode, path FROM files WHERE audio_id = ? AND NOT duplicate LIMIT 16"
        return any(
            (device, inode) != (key.device, key.inode) and _is_at(path, FileKey(device, inode, 0, 0))
            for device, inode, path in self.rows(query, (audio_id,))
        )

    def remember_file(self, key: FileKey, path: Path, known: KnownFile) -> None:
        """Remember a file; another state of it, or another file at this path, is forgotten."""
        with self._lock:
            here = self._recorded_path(key, _path_bytes(path))
            row = (
                *(key.device, key.inode, key.size, key.mtime_ns, here),
                *(known.audio_id, known.format, int(known.taggable), json.dumps(known.genres)),
                *(None if known.error is None else _dump_error(known.error), time.time()),
                *(key.ctime_ns, int(self._is_duplicate(key, known.audio_id))),
            )
            # At the end: a row that comes later holds, also where the place of a file is another's by now.
            self._files.pop((key.device, key.inode), None)
            self._files[key.device, key.inode] = row
            self._flush_when_due()

    def forget_file(self, path: Path) -> None:
        """Drop what is known of the file at `path`."""
        self.flush()
        with self.transaction(durable=False) as connection:
            connection.execute("DELETE FROM files WHERE path = ?", (_path_bytes(path),))

    def paths_of(self, audio_id: str) -> list[Path]:
        """Return the paths at which files with this recording were seen; they may be gone.

        The newest come first, further paths of a file after all others. Files that were copies of another
        one when they were first seen are left out.
        """
        self.flush()
        found = self.rows(
            "SELECT path, 0 AS other, seen FROM files WHERE audio_id = ?1 AND NOT duplicate UNION ALL "
            "SELECT other_paths.path, 1, other_paths.seen FROM other_paths JOIN files USING (device, inode) "
            "WHERE audio_id = ?1 AND NOT duplicate ORDER BY other, seen DESC",
            (audio_id,),
        )
        return rows.paths(found)

    def every_path(self) -> list[Path]:
        """Where files were seen, in the order of their paths; they may be gone."""
        self.flush()
        return rows.paths(self.rows("SELECT path FROM files ORDER BY path"))

    # Recordings

    def cached_scores(
        self, audio_id: str, model_hash: str, coverage: str, labels: int | None = None
    ) -> CachedScores | None:
        """Scores remembered for this recording, checkpoint and coverage; those for `labels` labels."""
        key = (audio_id, model_hash, coverage)
        with self._lock:
            query = "SELECT * FROM scores WHERE audio_id = ? AND model_hash = ? AND coverage = ?"
            row = self._scores.get(key) or self.row(query, key)
        fields = None if row is None else rows.cached_scores(row[3:], labels)
        return None if fields is None else CachedScores(*fields)

    def remember_scores(self, audio_id: str, model_hash: str, coverage: str, known: CachedScores) -> None:
        """Remember the scores of a recording; that its analysis failed once is forgotten."""
        key = (audio_id, model_hash, coverage)
        with self._lock:
            self._scores[key] = (*key, known.scores.astype("<f4").tobytes(), known.n_windows, known.duration)
            self._failures.pop(audio_id, None)
            self._flush_when_due()

    def cached_encoding(self, audio_id: str, encoder_hash: str, coverage: str) -> CachedEncoding | None:
        """Return what was remembered of a recording's encoding by this encoder and coverage, or None."""
        key = (audio_id, encoder_hash, coverage)
        with self._lock:
            query = "SELECT * FROM encodings WHERE audio_id = ? AND encoder_hash = ? AND coverage = ?"
            row = self._encodings.get(key) or self.row(query, key)
        fields = None if row is None else rows.cached_encoding(row[3:])
        return None if fields is None else CachedEncoding(*fields)

    def remember_encoding(
        self, audio_id: str, encoder_hash: str, coverage: str, known: CachedEncoding
    ) -> None:
        """Remember the encoding of a recording, unless it is larger than MAX_ENCODING_BYTES."""
        content = known.encoded.astype("<f4").tobytes()
        if len(content) > MAX_ENCODING_BYTES:
            return
        key = (audio_id, encoder_hash, coverage)
        with self._lock:
            self._encodings[key] = (*key, content, len(known.encoded), known.duration)
            self._flush_when_due()

    def cached_failure(self, audio_id: str, *, any_version: bool = False) -> FileError | None:
        """Return why the recording failed with this version of genretag, or with `any_version`.

        Another version tries again.
        """
        with self._lock:
            query = "SELECT * FROM failures WHERE audio_id = ?"
            row = self._failures.get(audio_id) or self.row(query, (audio_id,))
        if row is None or not (any_version or row[2] == __version__):
            return None
        with suppress(ValueError):
            return rows.file_error(row[1])
        return None

    def remember_failure(self, audio_id: str, error: FileError) -> None:
        """Remember that a recording failed, so that it is not tried or reported as new at every run."""
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
        """All or nothing, safe from the end of the process; where `durable`, also from the loss of power.

        The rows that wait in memory go with it.
        """
        with self._lock, self._errors():
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            try:
                # Inside, because a signal that comes during the call raises when the transaction has begun.
                self._connection.execute("BEGIN IMMEDIATE")
                self._write_waiting()
                yield self._connection
                self._connection.execute("COMMIT")
                self._files, self._other_paths, self._scores, self._failures = {}, {}, {}, {}
                self._encodings = {}
                self._flushed = time.monotonic()
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def flush(self) -> None:
        """Write the rows that wait in memory."""
        with self._lock:
            if self._waiting_rows():
                with self.transaction(durable=False):
                    pass

    def _write_waiting(self) -> None:
        execute = self._connection.execute
        for row in self._files.values():
            execute(
                "DELETE FROM files WHERE path = ? AND (device, inode) != (?, ?)", (row[4], row[0], row[1])
            )
            execute(f"INSERT OR REPLACE INTO files VALUES ({_marks(row)})", row)
        for row in self._other_paths.values():
            execute(f"INSERT OR REPLACE INTO other_paths VALUES ({_marks(row)})", row)
        for row in self._scores.values():
            execute(f"INSERT OR REPLACE INTO scores VALUES ({_marks(row)})", row)
            execute("DELETE FROM failures WHERE audio_id = ?", (row[0],))
        for row in self._encodings.values():
            execute(f"INSERT OR REPLACE INTO encodings VALUES ({_marks(row)})", row)
        for row in self._failures.values():
            execute(f"INSERT OR REPLACE INTO failures VALUES ({_marks(row)})", row)

    def _waiting_rows(self) -> int:
        count = len(self._files) + len(self._other_paths) + len(self._scores)
        return count + len(self._encodings) + len(self._failures)

    def _flush_when_due(self) -> None:
        waiting = self._waiting_rows()
        patience = FLUSH_SECONDS
        if self._scores:
            patience = FLUSH_MOMENT if len(self._scores) >= FLUSH_SCORES else FLUSH_SCORES_SECONDS
        full = waiting >= FLUSH_ROWS or len(self._scores) >= FLUSH_SCORES_AT_ONCE
        if full or time.monotonic() - self._flushed > patience:
            self.flush()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        path = self.folder / FILE_NAME
        try:
            yield
        except sqlite3.Error as error:
            if is_damage(error):
                with suppress(OSError):
                    suspicion(path).touch()
                raise StoreError(
                    f"{path}: is damaged ({error}); start again: it is then moved aside and a new one begun"
                ) from error
            with rows.checked(path, "a value"):
                if not hasattr(error, "sqlite_errorcode"):  # not from SQLite: text that is not UTF-8
                    raise ValueError(error) from error
            raise StoreError(
                f"{path}: cannot be used ({error}); free some space or set GENRETAG_HOME"
            ) from error


def _marks(row: tuple[Any, ...]) -> str:
    return ", ".join("?" * len(row))


def _dump_error(error: FileError) -> str:
    # Messages name paths; bytes of a name that are not UTF-8 have no place in SQLite's text, but in JSON.
    return json.dumps((error.code, error.message))


def _path_bytes(path: Path) -> bytes:
    return os.fsencode(path.absolute())


def _is_at(path: object, key: FileKey) -> bool:
    """Return True if this very file is at a path."""
    try:
        return FileKey.of(rows.path(path).stat()).same_file(key)
    except (OSError, ValueError):
        return False
