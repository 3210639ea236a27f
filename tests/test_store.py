from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genretag.store
from genretag.database import FILE_NAME
from genretag.errors import FileError, StoreError
from genretag.store import CachedScores, FileKey, KnownFile, Store, home

KEY = FileKey(device=7, inode=8, size=9, mtime_ns=10)
JAZZ = KnownFile("audio", "mp3", True, ("Jazz", "Hip-Hop"))


def fill(store: Store, count: int) -> None:
    for number in range(count):
        known = KnownFile(f"audio {number}", "flac", True, ("Rock",))
        store.remember_file(FileKey(1, number, 2, 3), Path(f"/music/{number}.flac"), known)


def test_a_file_is_known_in_the_very_state_it_was_seen_in(tmp_path: Path) -> None:
    with Store.open() as store:
        store.remember_file(KEY, tmp_path / "song.mp3", JAZZ)
        assert store.known_file(KEY) == JAZZ
    with Store.open() as store:
        assert store.known_file(KEY) == JAZZ
        for other in (FileKey(6, 8, 9, 10), FileKey(7, 6, 9, 10), FileKey(7, 8, 6, 10), FileKey(7, 8, 9, 6)):
            assert store.known_file(other) is None


def make_file(path: Path, content: bytes = b"some sound") -> tuple[FileKey, Path]:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return FileKey.of(path.stat()), path


def test_a_real_file_is_known_after_its_folder_moved_and_not_after_a_change(tmp_path: Path) -> None:
    key, path = make_file(tmp_path / "album" / "song.mp3")
    with Store.open() as store:
        store.remember_file(key, path, JAZZ)
        path = path.parent.rename(tmp_path / "other") / path.name
        assert store.known_file(FileKey.of(path.stat()), path) == JAZZ
        assert store.paths_of("audio") == [path]
        path.write_bytes(b"another sound")
        assert store.known_file(FileKey.of(path.stat()), path) is None


def test_an_edit_that_restores_the_time_of_modification_is_noticed(tmp_path: Path) -> None:
    key, path = make_file(tmp_path / "song.mp3")
    with Store.open() as store:
        store.remember_file(key, path, JAZZ)
        path.write_bytes(b"same sound")
        os.utime(path, ns=(key.mtime_ns, key.mtime_ns))
        now = FileKey.of(path.stat())
        assert now.same_content(key)
        assert store.known_file(now, path) is None


def test_a_row_without_a_change_time_is_read_again(tmp_path: Path) -> None:
    key, path = make_file(tmp_path / "song.mp3")
    with Store.open() as store:
        store.remember_file(replace(key, ctime_ns=None), path, JAZZ)
        assert store.known_file(key, path) is None
        assert store.known_file(replace(key, ctime_ns=None)) == JAZZ


@pytest.mark.parametrize("order", ["recorded first", "link first"])
def test_another_name_of_a_file_is_remembered_beside_the_recorded_one(tmp_path: Path, order: str) -> None:
    _, path = make_file(tmp_path / "song.mp3")
    link = tmp_path / "link.mp3"
    os.link(path, link)
    key = FileKey.of(path.stat())
    names = (path, link) if order == "recorded first" else (link, path)
    with Store.open() as store:
        store.remember_file(key, names[0], JAZZ)
        for _ in range(2):
            assert store.known_file(key, names[1]) == JAZZ
            store.remember_file(key, names[1], JAZZ)
        assert store.paths_of("audio") == list(names)
        names[0].unlink()
        assert store.known_file(FileKey.of(names[1].stat())) is None, "its change time is another"
        store.remember_file(FileKey.of(names[1].stat()), names[1], JAZZ)
        assert store.paths_of("audio")[0] == names[1]


def test_a_copy_is_not_a_path_of_the_recording_while_the_first_file_is_there(tmp_path: Path) -> None:
    key, path = make_file(tmp_path / "song.mp3")
    with Store.open() as store:
        store.remember_file(key, path, JAZZ)
        store.flush()
        copied, copy = make_file(tmp_path / "copy.mp3")
        store.remember_file(copied, copy, JAZZ)
        assert store.known_file(copied, copy) == JAZZ
        assert store.paths_of("audio") == [path]
        path.rename(tmp_path / "away.mp3")
        moved, other = make_file(tmp_path / "moved to another disk.mp3")
        store.remember_file(moved, other, JAZZ)
        assert store.paths_of("audio") == [other, path]


def test_times_that_no_64_bits_of_nanoseconds_hold(tmp_path: Path) -> None:
    for year_ns in (-11_644_473_600 * 10**9, 10_413_792_000 * 10**9):
        numbers = (0o100644, 1, 2, 1, 0, 0, 9, 0, 0, 0)
        status = os.stat_result(numbers, {"st_mtime_ns": year_ns, "st_ctime_ns": year_ns})
        key = FileKey.of(status)
        with Store.open() as store:
            store.remember_file(key, tmp_path / "song.mp3", JAZZ)
            store.flush()
            assert store.known_file(FileKey.of(status)) == JAZZ


def test_numbers_of_all_64_bits_are_kept() -> None:
    status = os.stat_result((0o100644, 2**64 - 5, 2**63, 1, 0, 0, 100, 0, 0, 0), {"st_mtime_ns": 7})
    key = FileKey.of(status)
    with Store.open() as store:
        store.remember_file(key, Path("/song.mp3"), JAZZ)
    with Store.open() as store:
        assert store.known_file(key) == JAZZ
        assert (key.inode, key.device) == (-5, -(2**63))


def test_names_that_are_not_text_are_kept() -> None:
    path = Path(os.fsdecode(b"/music/caf\xe9.mp3"))
    unreadable = KnownFile("audio", "mp3", False, (), FileError("bad-tags", f"{path}: odd"))
    with Store.open() as store:
        store.remember_file(KEY, path, unreadable)
        store.remember_failure("audio", FileError("silent", f"{path}: silent"))
    with Store.open() as store:
        assert store.known_file(KEY) == unreadable
        assert store.paths_of("audio") == [path]
        assert store.cached_failure("audio") == FileError("silent", f"{path}: silent")


def test_what_stood_at_a_path_before_is_forgotten() -> None:
    path, after = Path("/music/song.mp3"), FileKey(7, 9, 9, 11)
    for flushed in (False, True):
        with Store.open() as store:
            store.remember_file(KEY, path, JAZZ)
            if flushed:
                store.flush()
            store.remember_file(after, path, KnownFile("other", "mp3", True, ()))
            assert store.paths_of("audio") == []
            assert store.paths_of("other") == [path]
            assert store.known_file(KEY) is None
            store.forget_file(path)
            assert store.known_file(after) is None


def test_a_place_on_the_disk_that_another_file_takes_over_is_its_own() -> None:
    one, other = Path("/music/1.mp3"), Path("/music/2.mp3")
    with Store.open() as store:
        store.remember_file(FileKey(1, 10, 2, 3), one, JAZZ)
        store.remember_file(FileKey(1, 11, 2, 3), other, JAZZ)
        # Each is replaced by a tagged copy; the second copy gets the place that the first file gave up.
        store.remember_file(FileKey(1, 12, 4, 5), one, JAZZ)
        store.remember_file(FileKey(1, 10, 4, 5), other, JAZZ)
    with Store.open() as store:
        assert store.every_path() == [one, other]
        assert store.known_file(FileKey(1, 10, 4, 5)) == JAZZ
        assert store.known_file(FileKey(1, 11, 2, 3)) is None


def test_paths_of_a_recording_come_newest_first() -> None:
    with Store.open() as store:
        for number in range(3):
            store.remember_file(FileKey(1, number, 2, 3), Path(f"/{number}.mp3"), JAZZ)
        assert store.paths_of("audio") == [Path("/2.mp3"), Path("/1.mp3"), Path("/0.mp3")]
        assert store.paths_of("unheard of") == []


def test_scores_come_back_bit_for_bit() -> None:
    scores = CachedScores(np.array([0.25, 1e-30, np.pi], np.float32), 5, None)
    with Store.open() as store:
        store.remember_scores("audio", "model", "fast", scores)
        store.remember_scores("audio", "model", "full", CachedScores(scores.scores * 2, 100, 240.5))
    with Store.open() as store:
        fast, full = (store.cached_scores("audio", "model", coverage) for coverage in ("fast", "full"))
        assert fast is not None
        assert full is not None
        assert fast.scores.dtype == np.float32
        assert np.array_equal(fast.scores, scores.scores)
        assert (fast.n_windows, fast.duration, full.n_windows, full.duration) == (5, None, 100, 240.5)
        assert store.cached_scores("audio", "another", "fast") is None
        assert store.cached_scores("another", "model", "fast") is None


def test_a_failure_is_kept_until_an_analysis_or_an_upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = FileError("too-short", "song.mp3: too short")
    with Store.open() as store:
        store.remember_failure("audio", failure)
        assert store.cached_failure("audio") == failure
        monkeypatch.setattr(genretag.store, "__version__", "99.0")
        assert store.cached_failure("audio") is None
        monkeypatch.undo()
        store.flush()
        store.remember_scores("audio", "model", "fast", CachedScores(np.zeros(2, np.float32), 1, 3.0))
        store.flush()
        assert store.cached_failure("audio") is None


def test_rows_reach_the_disk_by_the_hundred_without_a_close(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store, Store.open(tmp_path) as other:
        fill(store, genretag.store.FLUSH_ROWS + 10)
        assert other.known_file(FileKey(1, 0, 2, 3)) is not None
        assert store.known_file(FileKey(1, genretag.store.FLUSH_ROWS + 5, 2, 3)) is not None


def test_any_thread_may_use_the_store() -> None:
    def work(number: int) -> None:
        for step in range(300):
            key = FileKey(number, step, 1, 1)
            store.remember_file(key, Path(f"/{number}/{step}"), JAZZ)
            assert store.known_file(key) == JAZZ
            if step % 50 == 0:
                store.flush()

    with Store.open() as store:
        with ThreadPoolExecutor(4) as threads:
            for done in [threads.submit(work, number) for number in range(4)]:
                done.result()
        assert len(store.paths_of("audio")) == 1200


WRITER = """
import sys
from pathlib import Path
from typing import Any
from genretag.store import FileKey, KnownFile, Store
for step in range(40):
    with Store.open(Path(sys.argv[1])) as store:
        number = int(sys.argv[2]) * 1000 + step
        store.remember_file(FileKey(1, number, 1, 1), Path(f"/{number}"), KnownFile("audio", "mp3", True, ()))
"""


def test_processes_share_one_store(tmp_path: Path) -> None:
    """They also begin it together: the first to come makes the tables."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "new" / "home"), str(number)])
        for number in range(3)
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    with Store.open(tmp_path / "new" / "home") as store:
        assert len(store.paths_of("audio")) == 120


# Damage


def damaged_copies(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith(f"{FILE_NAME}.damaged-"))


@pytest.mark.parametrize("content", [b"not a database at all" * 200, random.Random(0).randbytes(20_000)])
def test_garbage_is_moved_aside_and_a_new_store_begun(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with Store.open(tmp_path) as store:
        assert store.warning is not None
        assert "damaged" in store.warning
        fill(store, 3)
    (aside,) = damaged_copies(tmp_path)
    assert aside.read_bytes() == content
    with Store.open(tmp_path) as store:
        assert store.warning is None
        assert store.known_file(FileKey(1, 2, 2, 3)) is not None


def test_a_truncated_store_is_moved_aside(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        fill(store, 2000)
    path = tmp_path / FILE_NAME
    os.truncate(path, path.stat().st_size // 2)
    with Store.open(tmp_path) as store:
        assert store.warning is not None
        assert store.known_file(FileKey(1, 1, 2, 3)) is None
    assert len(damaged_copies(tmp_path)) == 1


def test_a_page_found_damaged_in_use_is_an_error_only_once(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path) as store:
        fill(store, 3000)
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    content[4096 * 20 :] = bytes(len(content) - 4096 * 20)
    path.write_bytes(content)

    def read_all() -> None:
        with Store.open(tmp_path) as store:
            for number in range(3000):
                store.known_file(FileKey(1, number, 2, 3))

    with pytest.raises(StoreError, match="start again"):
        read_all()
    with Store.open(tmp_path) as store:
        assert store.warning is not None
        fill(store, 3000)
    read_all()
    assert len(damaged_copies(tmp_path)) == 1


def test_a_second_damage_within_a_second_overwrites_nothing(tmp_path: Path) -> None:
    for content in (b"first garbage" * 99, b"second garbage" * 99, b"third garbage" * 99):
        (tmp_path / FILE_NAME).write_bytes(content)
        Store.open(tmp_path).close()
    assert sorted(path.read_bytes()[:6] for path in damaged_copies(tmp_path)) == [
        b"first ",
        b"second",
        b"third ",
    ]


def test_a_process_that_died_leaves_a_store_that_opens(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from genretag.store import *\n"
        "store = Store.open(Path(sys.argv[1]))\n"
        "store.remember_file(FileKey(1, 2, 3, 4), Path('/a'), KnownFile('audio', 'mp3', True, ()))\n"
        "store.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60).returncode == -9
    assert (tmp_path / f"{FILE_NAME}-wal").exists()
    with Store.open(tmp_path) as store:
        assert store.warning is None
        assert store.known_file(FileKey(1, 2, 3, 4)) is not None


def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer genretag"):
        Store.open(tmp_path)
    assert damaged_copies(tmp_path) == []


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="GENRETAG_HOME") as caught:
        Store.open(tmp_path / "file" / "home")
    assert "\n" not in str(caught.value)


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENRETAG_HOME", str(tmp_path / "mine"))
    assert home() == tmp_path / "mine"
    monkeypatch.delenv("GENRETAG_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert home().name == "genretag"


def test_nobody_else_can_read_a_new_store(tmp_path: Path) -> None:
    with Store.open(tmp_path / "new" / "store") as store:
        store.remember_file(KEY, Path("/m/song.mp3"), JAZZ)
        store.flush()
        made = [tmp_path / "new", *(tmp_path / "new").rglob("*")]
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made}
    assert modes.keys() >= {"new", "store", "genretag.sqlite3", "genretag.sqlite3-wal"}
    assert modes["new"] == modes["store"] == 0o700
    assert {mode for name, mode in modes.items() if name.startswith("genretag.sqlite3")} == {0o600}


def test_a_store_of_the_version_before_is_brought_up_to_date(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.remember_file(KEY, tmp_path / "song.mp3", JAZZ)
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.executescript(
        "".join(f"ALTER TABLE runs DROP COLUMN {name};" for name in ("process", "host", "places"))
        + "ALTER TABLE writes DROP COLUMN in_place; PRAGMA user_version = 1;"
        "ALTER TABLE files DROP COLUMN ctime_ns; ALTER TABLE files DROP COLUMN duplicate;"
        "DROP TABLE other_paths; DROP TABLE encodings;"
        "INSERT INTO failures VALUES ('a', '[\"timeout\", \"slow\"]', '0.1');"
        "INSERT INTO failures VALUES ('b', '[\"worker-died\", \"lost\"]', '0.1');"
        "INSERT INTO failures VALUES ('c', '[\"silent\", \"still\"]', '0.1');"
        "INSERT INTO failures VALUES ('d', '[\"not-audio\", \"text\"]', '0.1');"
        "INSERT INTO runs VALUES (1, 'tag', 'm', '0.1', 'lock', 1.0, 2.0, 'done');"
        "INSERT INTO writes VALUES (1, 1, x'2f', x'2f', 'a', 'mp3', x'', '[]', '[]', 5, 'done', NULL, NULL, "
        "NULL, NULL, NULL, NULL, NULL)"
    )
    connection.close()
    for _ in range(2):
        with Store.open(tmp_path) as store:
            assert store.warning is None
            assert store.known_file(KEY) == JAZZ
            assert store.rows("SELECT audio_id FROM failures") == [("d",)]
            assert store.rows("SELECT status, places FROM runs") == [("done", None)]
            assert store.rows("SELECT state, in_place FROM writes") == [("done", 0)]


def test_a_kill_loses_the_scores_of_three_recordings_at_most(tmp_path: Path) -> None:
    scores = CachedScores(np.zeros(3, np.float32), 1, 2.0)
    with Store.open(tmp_path) as store, Store.open(tmp_path) as other:
        for number in range(10):
            time.sleep(genretag.store.FLUSH_MOMENT)  # of what comes within one, more may wait
            store.remember_scores(f"audio {number}", "model", "fast", scores)
            (there,) = other.row("SELECT count(*) FROM scores")
            assert number + 1 - there < 4
        for number in range(10, 40):
            store.remember_scores(f"audio {number}", "model", "fast", scores)
            (there,) = other.row("SELECT count(*) FROM scores")
            assert number + 1 - there < genretag.store.FLUSH_SCORES_AT_ONCE
        time.sleep(genretag.store.FLUSH_MOMENT)
        store.remember_scores("after them", "model", "fast", scores)
        (there,) = other.row("SELECT count(*) FROM scores")
        assert 41 - there < 4
        store.remember_scores("written", "model", "fast", scores)
        with store.transaction():
            pass
        assert other.cached_scores("written", "model", "fast") is not None, "it goes with every write"


def test_what_waits_survives_a_transaction_that_fails(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store, Store.open(tmp_path) as other:
        store.remember_file(KEY, tmp_path / "song.mp3", JAZZ)
        store.remember_file(KEY, tmp_path / "song.mp3", JAZZ)
        with pytest.raises(ZeroDivisionError), store.transaction():
            raise ZeroDivisionError
        assert store.known_file(KEY) == JAZZ
        store.flush()
        assert other.known_file(KEY) == JAZZ


class Interrupting(sqlite3.Connection):
    """A connection that gets a signal right after a statement, before the caller goes on."""

    statement = ""

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        cursor = super().execute(sql, *values)
        if self.statement and sql.startswith(self.statement):
            type(self).statement = ""
            os.kill(os.getpid(), signal.SIGINT)
        return cursor


@pytest.mark.parametrize("statement", ["PRAGMA synchronous", "BEGIN", "INSERT", "COMMIT"])
def test_the_store_can_be_used_after_a_signal_at_any_statement(
    monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **b: connect(*a, **b, factory=Interrupting))
    with Store.open() as store:
        store.remember_scores("audio", "model", "fast", CachedScores(np.zeros(2, np.float32), 1, 2.0))
        monkeypatch.setattr(Interrupting, "statement", statement)
        with pytest.raises(KeyboardInterrupt), store.transaction():
            pass
        assert Interrupting.statement == ""
        with store.transaction() as connection:
            assert connection.execute("SELECT count(*) FROM scores").fetchone() == (1,)
