"""A database that somebody edited: one line and exit code 2, or the row is ignored."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from genretag import checkpoint
from genretag.__main__ import run
from genretag.audio.payload import payload_digest
from genretag.database import _SCHEMA, FILE_NAME, SCHEMA_VERSION
from genretag.errors import StoreError
from genretag.predict.engine import EngineOptions, Predictor
from genretag.store import Store
from genretag.tagging import tags
from genretag.tagging.plan import Existing
from genretag.tagging.scan import scan
from genretag.tagging.tag import Tagging, TagOptions
from sounds import make_sound

SURE = ("--model", "musicnn-msd", "--threshold", "0")
CACHE = ("files", "other_paths", "scores", "failures")
# An expression of SQL, or a value to bind.
INVALID_UTF8 = "CAST(x'ff' AS TEXT)"
VALUES: tuple[object, ...] = (
    *(None, -1, 2**63 - 1, float("inf"), "\x1b[2J\0", '["a", "b"]', '[["/", "all"]]', "[" * 50_000),
    *(b"\0\xff", b"1234567", b"/no/such/file"),
)


class Case(NamedTuple):
    """A home and music, with the bytes of both as they were."""

    home: Path
    music: Path
    outside: Path
    database: bytes
    songs: dict[Path, bytes]

    def restore(self) -> None:
        for path in self.home.iterdir():
            if path.name.startswith(FILE_NAME):
                path.unlink()
        (self.home / FILE_NAME).write_bytes(self.database)
        for path, content in self.songs.items():
            if path.read_bytes() != content:
                path.write_bytes(content)


def connect(case: Case) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(case.home / FILE_NAME, isolation_level=None))


def columns(*tables: str) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(_SCHEMA)
        found = re.findall(r"CREATE TABLE (\w+)", _SCHEMA)
        return [
            (table, name)
            for table in found
            if table in tables or (not tables and table not in (*CACHE, "encodings"))
            for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
        ]


def without_constraints(home: Path) -> bytes:
    """Let every column hold NULL, and return the database."""
    with closing(sqlite3.connect(home / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '')")
    return (home / FILE_NAME).read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """Three runs, the last of them an undo, over two songs and two files that fail."""
    folder = tmp_path_factory.mktemp("made")
    home, music, outside = folder / "home", folder / "music", folder / "outside"
    music.mkdir()
    outside.mkdir()
    for name in (".genretag-0123456789abcdef.mp3", "precious.lock", "song.mp3"):
        (outside / name).write_bytes(b"precious")
    make_sound(music / "a.mp3", 2, seed=1)
    make_sound(music / "b.flac", 2, seed=2)
    (music / "c.mp3").touch()
    make_sound(music / "d.au", 2, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRETAG_HOME", str(home))
        assert run(["tag", "--quiet", *SURE, "--top", "1", str(music)]) == 1
        os.link(music / "a.mp3", folder / "link.mp3")
        assert run(["tag", "--quiet", "-n", *SURE, str(folder / "link.mp3"), str(music / "a.mp3")]) == 0
        (folder / "link.mp3").unlink()
        again = ("--existing", "replace", "--top", "2", str(music))
        assert run(["tag", "--quiet", *SURE, *again]) == 0
        assert run(["undo", "--quiet", "2"]) == 0
        songs = {path: path.read_bytes() for path in music.iterdir()}
        yield Case(home, music, outside, without_constraints(home), songs)


@pytest.fixture
def case(made: Case, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.setenv("GENRETAG_HOME", str(made.home))
    made.restore()
    yield made
    for name in ("runs", "open.lock"):
        if (made.home / name).is_symlink():
            (made.home / name).unlink()


@pytest.fixture
def interrupted(case: Case) -> Case:
    """The same with a run that ended in the middle of two writes, of which one was in place."""
    with connect(case) as connection:
        connection.execute("UPDATE runs SET status = 'running', finished = NULL WHERE id = 3")
        connection.execute("UPDATE writes SET state = 'prepared', in_place = id % 2 WHERE run_id = 3")
        connection.execute("UPDATE writes SET undone_by = NULL WHERE run_id = 2")
    return case._replace(database=(case.home / FILE_NAME).read_bytes())


@pytest.fixture(scope="module")
def predictor() -> Iterator[Predictor]:
    with closing(Predictor(checkpoint.resolve("musicnn-msd"), EngineOptions(workers=1))) as opened:
        yield opened


@pytest.fixture
def answer(case: Case, capfd: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """Run a command line; it may fail, with one line if it cannot start, but not raise."""

    def command(*arguments: object) -> int:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert code in (0, 1, 2)
        assert "\x1b" not in out + err
        if code == 2:
            assert err.startswith("genretag: ")
            assert err.count("\n") == 1 or "was interrupted" in err
            assert all(line.startswith("genretag: ") for line in err.splitlines())
        return code

    return command


def spoil(case: Case, table: str, column: str, value: object) -> bool:
    """Put a value into a whole column; False if SQLite itself refuses it."""
    with connect(case) as connection:
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        try:
            if value == INVALID_UTF8:
                connection.execute(f"UPDATE {table} SET {column} = {INVALID_UTF8}")
            else:
                connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
        except sqlite3.Error:
            return False
    return True


def require_unharmed(case: Case) -> None:
    """What is outside is as it was, and each song sounds as it did and can be read."""
    assert sorted(path.name for path in case.outside.iterdir()) == [
        *(".genretag-0123456789abcdef.mp3", "precious.lock", "song.mp3")
    ]
    assert all(path.read_bytes() == b"precious" for path in case.outside.iterdir())
    assert sorted(case.music.iterdir()) == sorted(case.songs)
    for path, content in case.songs.items():
        now = path.read_bytes()
        if now != content:
            tags.read(path)
            sound = payload_digest(path)
            path.write_bytes(content)
            assert payload_digest(path) == sound


@pytest.mark.parametrize(("table", "column"), columns(*CACHE))
def test_rows_of_the_cache(
    case: Case, predictor: Predictor, answer: Callable[..., int], table: str, column: str
) -> None:
    options = TagOptions("musicnn-msd", write=False, existing=Existing.REPLACE)
    for value in (*VALUES, INVALID_UTF8):
        case.restore()
        if not spoil(case, table, column, value):
            continue
        try:
            with Store.open() as store:
                found = list(Tagging(options, store, predictor=predictor).records(scan([case.music])))
            assert len(found) == 4
        except StoreError:
            case.restore()
            assert spoil(case, table, column, value)
            assert answer("tag", "-n", *SURE, case.music) == 2
        case.restore()
        spoil(case, table, column, value)
        answer("report", "--model", "musicnn-msd")
        if column in ("path", "audio_id"):
            answer("undo", "1")
            require_unharmed(case)


@pytest.mark.parametrize(("table", "column"), columns())
def test_rows_of_the_journal(case: Case, answer: Callable[..., int], table: str, column: str) -> None:
    values = (*VALUES, INVALID_UTF8, *crafted(case, column))
    for value in values:
        case.restore()
        if not spoil(case, table, column, value):
            continue
        if table == "runs":
            answer("history", "--json")
            answer("history")
        else:
            answer("tag", "-n", *SURE, "--existing", "refresh", case.music)
        if column in ("id", "path", "audio_id", "old_genres", "state", "undone_by", "undoes"):
            answer("report", "--model", "musicnn-msd", case.music)
        answer("undo", "1")
        require_unharmed(case)


@pytest.mark.parametrize(("table", "column"), columns())
def test_rows_of_an_interrupted_run(
    interrupted: Case, answer: Callable[..., int], table: str, column: str
) -> None:
    for value in (*VALUES, INVALID_UTF8, *crafted(interrupted, column)):
        interrupted.restore()
        if not spoil(interrupted, table, column, value):
            continue
        answer("history")
        if table == "writes":
            answer("undo")
        require_unharmed(interrupted)


def crafted(case: Case, column: str) -> tuple[object, ...]:
    """Values that somebody would choose who wants to reach other files."""
    if column == "temp":
        return tuple(os.fsencode(path) for path in (*case.outside.iterdir(), *case.songs))
    if column == "path":
        return tuple(os.fsencode(path) for path in case.outside.iterdir())
    if column == "lock":
        outside = case.outside / "precious.lock"
        return (str(outside), "../../outside/precious.lock", f"../{FILE_NAME}", "..", ".lock", "a/.lock")
    if column in ("before_hash", "after_hash"):
        return tuple(hashlib.sha256(content).digest() for content in (b"precious", *case.songs.values()))
    if column == "delta":
        return tuple(deltas())
    return ()


def deltas() -> Iterator[bytes]:
    """Records of old bytes that lead nowhere."""
    yield b"gd1"
    yield b"gd1" + zlib.compress(b"")
    for count, *pieces in (
        *((-1,), (2**62,), (1,)),
        *((1, -5, 10, 0), (1, 0, -10, 0), (1, 0, 10, -10), (1, 2**63 - 1, 1, 0), (1, 0, 2**63 - 1, 0)),
        *((2, 2**63 - 1, 0, 0, 2**63 - 1, 0, 0), (1000, *(0,) * 1000, *(100_000,) * 1000, *(0,) * 1000)),
    ):
        yield b"gd1" + zlib.compress(struct.pack(f"<{1 + len(pieces)}q", count, *pieces))


@pytest.mark.parametrize(
    "statement",
    [
        *(f"DROP TABLE {table}" for table in re.findall(r"CREATE TABLE (\w+)", _SCHEMA)),
        *(f"DROP INDEX {index}" for index in re.findall(r"INDEX (\w+)", _SCHEMA)),
        "ALTER TABLE files DROP COLUMN genres",
        "ALTER TABLE writes RENAME COLUMN delta TO other",
        "ALTER TABLE scores ADD COLUMN other",
        "ALTER TABLE failures RENAME TO others; CREATE VIEW failures AS SELECT * FROM others",
        "ALTER TABLE writes RENAME TO others; CREATE TABLE writes (id TEXT)",
        "CREATE TRIGGER t AFTER INSERT ON writes BEGIN DELETE FROM writes; END",
        "CREATE VIEW v AS SELECT * FROM runs",
        "CREATE UNIQUE INDEX u ON writes (run_id)",
        f"PRAGMA user_version = {SCHEMA_VERSION + 1}",
        f"PRAGMA user_version = {SCHEMA_VERSION - 1}",
        *(f"PRAGMA user_version = {version}" for version in (-1, -(2**31), 0, 1, 2**31 - 1)),
    ],
)
def test_other_tables(case: Case, answer: Callable[..., int], statement: str) -> None:
    with connect(case) as connection:
        if "UNIQUE INDEX u" in statement:
            connection.execute("DELETE FROM writes WHERE id > 1")
        connection.executescript(statement)
    database = (case.home / FILE_NAME).read_bytes()
    for arguments in (("history",), ("tag", *SURE, case.music)):  # all commands open the store alike
        assert answer(*arguments) == 2
    assert (case.home / FILE_NAME).read_bytes()[100:] == database[100:]
    require_unharmed(case)


def test_tables_of_others_and_statistics_are_no_harm(case: Case, answer: Callable[..., int]) -> None:
    with connect(case) as connection:
        connection.executescript("ANALYZE; CREATE TABLE mine (x); CREATE INDEX by_code ON writes (code)")
    assert answer("history") == 0


def _directory(path: Path) -> None:
    path.mkdir()


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


MADE: dict[str, Callable[[Path], None]] = {
    "folder": _directory,
    "pipe": os.mkfifo,
    "link to nothing": _link("/no/such/folder/file"),
    "link to itself": _link("genretag.sqlite3"),
    "link to a device": _link("/dev/zero"),
    "link to a song": _link("../outside/song.mp3"),
    "link to a folder": _link("../outside"),
}


@pytest.mark.parametrize("name", [FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", "open.lock", "runs"])
@pytest.mark.parametrize("kind", MADE)
def test_other_things_in_place_of_files(
    case: Case,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[..., int],
    name: str,
    kind: str,
) -> None:
    home, music = tmp_path / "home", tmp_path / "music"
    shutil.copytree(case.home, home)
    shutil.copytree(case.music, music)
    shutil.copytree(case.outside, tmp_path / "outside")
    monkeypatch.setenv("GENRETAG_HOME", str(home))
    path = home / name
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    MADE[kind](path)
    for arguments in (("history",), ("tag", *SURE, "--existing", "replace", music), ("undo",)):
        assert answer(*arguments) in (0, 1, 2)
    for old in case.outside.iterdir():
        assert (tmp_path / "outside" / old.name).read_bytes() == b"precious"
    assert {found.name for found in (tmp_path / "outside").iterdir()} == {
        p.name for p in case.outside.iterdir()
    }
