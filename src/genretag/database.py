"""The SQLite file of the store: opened, made, brought up to date, and put aside where it is damaged."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from genretag.errors import StoreError

FILE_NAME = "genretag.sqlite3"
SCHEMA_VERSION = 3
BUSY_SECONDS = 60.0

_SCHEMA = """
CREATE TABLE files (
  device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  path BLOB NOT NULL, audio_id TEXT NOT NULL, format TEXT NOT NULL, taggable INTEGER NOT NULL,
  genres TEXT NOT NULL, error TEXT, seen REAL NOT NULL,
  ctime_ns INTEGER, duplicate INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (device, inode)
) WITHOUT ROWID;
CREATE INDEX files_by_path ON files (path);
CREATE INDEX files_by_audio ON files (audio_id);
CREATE TABLE other_paths (
  device INTEGER NOT NULL, inode INTEGER NOT NULL, path BLOB NOT NULL, seen REAL NOT NULL,
  PRIMARY KEY (device, inode, path)
) WITHOUT ROWID;
CREATE TABLE scores (
  audio_id TEXT NOT NULL, model_hash TEXT NOT NULL, coverage TEXT NOT NULL,
  scores BLOB NOT NULL, n_windows INTEGER NOT NULL, duration REAL,
  PRIMARY KEY (audio_id, model_hash, coverage)
) WITHOUT ROWID;
CREATE TABLE encodings (
  audio_id TEXT NOT NULL, encoder_hash TEXT NOT NULL, coverage TEXT NOT NULL,
  encoded BLOB NOT NULL, n_windows INTEGER NOT NULL, duration REAL,
  PRIMARY KEY (audio_id, encoder_hash, coverage)
) WITHOUT ROWID;
CREATE TABLE failures (
  audio_id TEXT PRIMARY KEY, error TEXT NOT NULL, version TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, command TEXT NOT NULL, model TEXT, version TEXT NOT NULL, lock TEXT NOT NULL,
  started REAL NOT NULL, finished REAL, status TEXT NOT NULL, process INTEGER, host TEXT, places TEXT
);
CREATE TABLE writes (
  id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL REFERENCES runs (id),
  path BLOB NOT NULL, temp BLOB NOT NULL, audio_id TEXT NOT NULL, format TEXT NOT NULL, old_raw BLOB NOT NULL,
  old_genres TEXT NOT NULL, new_genres TEXT NOT NULL, before_mtime_ns INTEGER NOT NULL,
  state TEXT NOT NULL, code TEXT, before_hash BLOB, after_hash BLOB, delta BLOB,
  undoes INTEGER REFERENCES writes (id), how TEXT, undone_by INTEGER REFERENCES writes (id),
  in_place INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX writes_by_run ON writes (run_id);
CREATE INDEX writes_by_path ON writes (path);
CREATE INDEX writes_by_audio ON writes (audio_id);
CREATE UNIQUE INDEX writes_claims ON writes (path) WHERE state IN ('intended', 'prepared');
"""
_TABLES = tuple(re.findall(r"CREATE TABLE (\w+)", _SCHEMA))
# What makes a database of this version one of the next.
_UPGRADES = {
    1: """
ALTER TABLE runs ADD COLUMN process INTEGER;
ALTER TABLE runs ADD COLUMN host TEXT;
ALTER TABLE runs ADD COLUMN places TEXT;
ALTER TABLE writes ADD COLUMN in_place INTEGER NOT NULL DEFAULT 0;
""",
    # A file given up for lack of time, or because a worker died, may be a good one, and one called silent may
    # have music between the windows that were decoded.
    2: """
ALTER TABLE files ADD COLUMN ctime_ns INTEGER;
ALTER TABLE files ADD COLUMN duplicate INTEGER NOT NULL DEFAULT 0;
CREATE TABLE other_paths (
  device INTEGER NOT NULL, inode INTEGER NOT NULL, path BLOB NOT NULL, seen REAL NOT NULL,
  PRIMARY KEY (device, inode, path)
) WITHOUT ROWID;
CREATE TABLE encodings (
  audio_id TEXT NOT NULL, encoder_hash TEXT NOT NULL, coverage TEXT NOT NULL,
  encoded BLOB NOT NULL, n_windows INTEGER NOT NULL, duration REAL,
  PRIMARY KEY (audio_id, encoder_hash, coverage)
) WITHOUT ROWID;
DELETE FROM failures WHERE error LIKE '["timeout",%' OR error LIKE '["worker-died",%'
  OR error LIKE '["silent",%';
""",
}


def sync_folder(folder: Path) -> None:
    """Make safe from the loss of power what was made, renamed and removed in a folder, where it can be."""
    if sys.platform != "win32":
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make the folder of a store and those above it, safe from the loss of power."""
    # Its name must be safe before anything is written: with it all that the journal keeps would go.
    if not folder.is_dir():
        make_folder(folder.parent)
        # What a person listens to is nobody else's business.
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder.parent)


def open_or_replace(path: Path) -> tuple[sqlite3.Connection, str | None]:
    """The database at `path`, and what has to be said where a damaged one was put aside for a new one.

    Raises sqlite3.Error, OSError; StoreError where a newer genretag made it.
    """
    try:
        return _connect(path), None
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    aside = _move_aside(path)
    warning = (
        f"{path}: was damaged and is kept as {aside.name}; a new one was begun, so scores are computed again "
        "and earlier runs cannot be undone"
    )
    return _connect(path), warning


def _connect(path: Path) -> sqlite3.Connection:
    # A clean end leaves no -wal file behind; only after another end is a full look worth its time.
    doubt = suspicion(path)
    # SQLite would let everybody read it, also in a folder that others may enter; -wal and -shm get its mode.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    _require_regular(path)
    doubtful = doubt.exists() or path.with_name(FILE_NAME + "-wal").exists()
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        if doubtful:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if answer != "ok":
                raise _DamageError(answer)
            doubt.unlink(missing_ok=True)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < 0:
            raise StoreError(f"{path}: {_OTHER} (schema {version}); {_MOVE_AWAY}")
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{path}: was made by a newer genretag (schema {version}, known {SCHEMA_VERSION}); "
                "update genretag or set GENRETAG_HOME to another folder"
            )
        steps = "".join(_UPGRADES[known] for known in range(version, SCHEMA_VERSION)) if version else _SCHEMA
        if steps:
            connection.executescript(
                f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        if odd := _odd_objects(connection):
            raise StoreError(f"{path}: {_OTHER} ({odd}); {_MOVE_AWAY}")
    except BaseException:
        connection.close()
        raise
    return connection


_OTHER = "is not a database as genretag makes it"
_MOVE_AWAY = "move it away to begin a new one, or set GENRETAG_HOME to another folder"


def _require_regular(path: Path) -> None:
    """Raise StoreError if SQLite would write into something else than its own files."""
    real = os.path.realpath(path)
    for ending in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(real + ending).st_mode):
                raise StoreError(f"{real}{ending}: is not a regular file; {_MOVE_AWAY}")


def _odd_objects(connection: sqlite3.Connection) -> str:
    """Return what is missing from the tables of this version, or could change what is written to them."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(_SCHEMA)
        wanted = _objects(fresh)
    found = _objects(connection)
    if missing := sorted(wanted - found):
        return f"{missing[0][0]} {missing[0][1]} is missing or different"
    harmless = ("index", "table")
    kinds = {row[0] for row in connection.execute("SELECT type FROM sqlite_master")}
    unique = sorted(name for kind, name, *rest in found - wanted if kind == "index" and rest[1])
    return "".join(f"it holds a {kind}" for kind in sorted(kinds - set(harmless))[:1]) or "".join(
        f"index {name} is not its own" for name in unique[:1]
    )


def _objects(connection: sqlite3.Connection) -> set[tuple[Any, ...]]:
    """Return the columns and indices of genretag's tables, as far as statements depend on them."""
    objects: set[tuple[Any, ...]] = set()
    for table in _TABLES:
        columns = connection.execute(
            "SELECT cid, name, type, pk, hidden FROM pragma_table_xinfo(?)", (table,)
        )
        objects.add(("table", table, *columns))
        indices = connection.execute('SELECT name, "unique", partial FROM pragma_index_list(?)', (table,))
        objects |= {("index", name, table, unique, partial) for name, unique, partial in indices}
    return objects


class _DamageError(sqlite3.DatabaseError):
    """The database opens, but its pages contradict each other."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, not only in use or full."""
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
    suspicion(path).unlink(missing_ok=True)
    return aside


def suspicion(path: Path) -> Path:
    """A note that a page was found damaged, so that the next opening looks at all of them."""
    return path.with_name(FILE_NAME + ".suspect")
