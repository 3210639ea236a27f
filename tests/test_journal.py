from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from genretag.errors import BusyError, StoreError, WriteError
from genretag.journal import Change, Journal
from genretag.places import places_named
from genretag.store import Store

CHANGE = Change("audio", "mp3", '{"raw": 1}', ("Old",), ("New", "Genre"))


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open() as store:
        yield store


@pytest.fixture
def journal(store: Store) -> Journal:
    return Journal(store)


def intend(journal: Journal, run_id: int, path: Path, change: Change = CHANGE) -> int:
    return journal.intend(run_id, path, path.with_name(".genretag-temp.mp3"), change, 12345)


def write(journal: Journal, run_id: int, path: Path, change: Change = CHANGE) -> int:
    write_id = intend(journal, run_id, path, change)
    journal.prepared(write_id, b"before", b"after", b"delta")
    journal.done(write_id)
    return write_id


def test_a_write_is_told_as_it_was_noted(journal: Journal, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp3")
    change = replace(CHANGE, old_raw='{"odd": "\ud800"}', old_genres=("\udce9",))
    with journal.run("tag", "musicnn-msd") as run_id:
        write_id = write(journal, run_id, path, change)
        failed_id = intend(journal, run_id, tmp_path / "other.mp3")
        journal.abandoned(failed_id, "no-space")
    told, failed = journal.writes(run_id)
    assert (told.id, told.run_id, told.path, told.change) == (write_id, run_id, path, change)
    assert told.temp == tmp_path / ".genretag-temp.mp3"
    assert (told.before_mtime_ns, told.before_hash, told.after_hash) == (12345, b"before", b"after")
    assert (told.state, told.code, told.undone_by) == ("done", None, None)
    assert (failed.state, failed.code) == ("abandoned", "no-space")
    assert journal.delta(write_id) == b"delta"
    assert journal.pending(run_id) == []


def test_locks_of_runs_that_never_got_a_row_are_removed(store: Store, journal: Journal) -> None:
    forgotten = store.folder / "runs" / "forgotten.lock"
    with journal.run("tag", None):
        forgotten.touch()
        with journal.lost_runs() as lost:
            assert lost == []
        assert not forgotten.exists()
        assert len(list(forgotten.parent.iterdir())) == 1, "the lock of the run that goes on stays"
    assert list(forgotten.parent.iterdir()) == []


def test_a_run_meets_only_those_alive_in_its_places(store: Store, journal: Journal, tmp_path: Path) -> None:
    music, others = (places_named([tmp_path / name]) for name in ("music", "others"))
    with journal.run("tag", None, music):
        with pytest.raises(BusyError, match=f"process {os.getpid()} .genretag tag. has been"):
            journal.run("undo", None, music).__enter__()
        with journal.run("apply", None, others), journal.run("apply", None):
            pass
        assert len(list((store.folder / "runs").iterdir())) == 1, "who was refused leaves no lock"
        with store.transaction() as connection:
            connection.execute("UPDATE runs SET host = 'cellar', started = 1000000")
        with pytest.raises(BusyError, match=r" on cellar .* since 1970-01-1\d \d\d:\d\d; wait"):
            journal.run("undo", None, music).__enter__()
    with journal.run("tag", None, music) as first:
        write(journal, first, tmp_path / "music" / "song.mp3")
    with store.transaction() as connection:
        connection.execute("UPDATE runs SET status = 'running'")
    with journal.run("tag", None, music):
        pass


def test_where_nothing_can_be_locked_no_run_begins(store: Store, journal: Journal) -> None:
    (store.folder / "runs").touch()
    with pytest.raises(StoreError, match="no run can be locked"), journal.lost_runs():
        pass
    with pytest.raises(StoreError, match="no run can be locked"), journal.run("tag", None):
        pass
    assert store.row("SELECT count(*) FROM runs") == (0,)


def test_runs_are_told_newest_first_with_their_counts(journal: Journal, tmp_path: Path) -> None:
    with journal.run("tag", "musicnn-msd") as first:
        write(journal, first, tmp_path / "1.mp3")
        write(journal, first, tmp_path / "2.mp3")
        journal.abandoned(intend(journal, first, tmp_path / "3.mp3"), "read-only")
    with journal.run("apply", None) as second:
        write(journal, second, tmp_path / "1.mp3")
    assert [run.id for run in journal.runs()] == [second, first]
    run = journal.runs()[1].to_dict()
    assert run["finished"] >= run["started"] > 1.7e9
    del run["finished"], run["started"], run["version"]
    counts = {"written": 2, "undone": 0, "failed": 1}
    assert run == {"id": first, "command": "tag", "model": "musicnn-msd", "status": "done", **counts}
    assert journal.last_run() == second


def test_a_run_that_wrote_nothing_leaves_no_trace(journal: Journal, store: Store, tmp_path: Path) -> None:
    with journal.run("tag", None):
        pass
    with journal.run("tag", None) as run_id:
        journal.withdrawn(intend(journal, run_id, tmp_path / "song.mp3"))
    assert journal.runs() == []
    assert journal.last_run() is None
    assert list((store.folder / "runs").iterdir()) == []


def test_the_end_of_a_run_is_told(journal: Journal, tmp_path: Path) -> None:
    def broken_run(error: type[BaseException]) -> None:
        with journal.run("tag", None) as run_id:
            write(journal, run_id, tmp_path / "song.mp3")
            raise error

    for error, status in ((KeyboardInterrupt, "interrupted"), (ValueError, "failed")):
        with pytest.raises(error):
            broken_run(error)
        assert journal.runs()[0].status == status


def test_one_path_is_written_by_one_at_a_time(journal: Journal, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    other = Journal(store)
    with journal.run("tag", None) as mine, other.run("tag", None) as theirs:
        write_id = intend(journal, mine, path)
        with pytest.raises(WriteError, match="another run") as caught:
            intend(other, theirs, path)
        assert caught.value.code == "changed"
        journal.done(write_id)
        write(other, theirs, path)


def test_taking_back_and_taking_that_back(journal: Journal, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with journal.run("tag", None) as run:
        first = write(journal, run, path)
    with journal.run("undo", None) as undo:
        second = write(journal, undo, path, replace(CHANGE, undoes=first, how="bytes"))
    assert journal.writes(run)[0].undone_by == second
    assert (journal.last_run(), journal.last_write(path, "audio")) == (None, None)
    with journal.run("undo", None) as redo:
        third = write(journal, redo, path, replace(CHANGE, undoes=second, how="bytes"))
    assert journal.writes(undo)[0].undone_by == third
    assert journal.writes(run)[0].undone_by is None
    assert journal.last_run() == run
    assert [(told.written, told.undone) for told in journal.runs()] == [(1, 0), (1, 1), (1, 0)]


def test_the_last_write_is_found_by_path_and_after_a_move(journal: Journal, tmp_path: Path) -> None:
    here, moved, copy = (tmp_path / name for name in ("here.mp3", "moved.mp3", "copy.mp3"))
    here.write_bytes(b"sound")
    with journal.run("tag", None) as run_id:
        write(journal, run_id, here)
        newest = write(journal, run_id, here, replace(CHANGE, new_genres=("Newest",)))
        write(journal, run_id, tmp_path / "elsewhere.mp3", replace(CHANGE, audio_id="another"))
    last = journal.last_write(here, "audio")
    assert last is not None
    assert (last.id, last.change.new_genres) == (newest, ("Newest",))
    assert journal.last_write(here, "another recording") is None
    assert journal.last_write(copy, "audio") is None, "the file that was written is still in its place"
    here.rename(moved)
    assert journal.last_write(moved, "audio") == last
    (tmp_path / "link.mp3").symlink_to(here)
    assert journal.last_write(tmp_path / "link.mp3", "audio") == last


def test_a_later_run_over_the_same_file_is_known(journal: Journal, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with journal.run("tag", None) as first:
        write(journal, first, path)
    earlier = journal.writes(first)[0]
    assert journal.later_run(earlier) is None
    with journal.run("tag", None) as second:
        write(journal, second, path)
    assert journal.later_run(earlier) == second


CHILD = """
import sys, time
from pathlib import Path
from genretag.journal import Change, Journal
from genretag.places import places_named
from genretag.store import Store
journal = Journal(Store.open())
with journal.run("tag", None) as run_id:
    path = Path(sys.argv[1])
    journal.intend(run_id, path, path.with_name(".genretag-temp"), Change("a", "mp3", "", (), ("New",)), 0)
    print(run_id, flush=True)
    time.sleep(60)
"""


def test_a_run_is_lost_only_when_its_process_is_gone(journal: Journal, store: Store, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "song.mp3")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    run_id = int(child.stdout.readline())
    with journal.lost_runs() as lost:
        assert lost == []
    assert journal.runs()[0].status == "running"
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=10)
    child.stdout.close()
    with journal.lost_runs() as lost:
        assert lost == [run_id]
        with Journal(store).lost_runs() as lost_to_others:
            assert lost_to_others == [], "somebody settles it already"
        (write,) = journal.pending(run_id)
        journal.abandoned(write.id, "interrupted")
    assert journal.runs()[0].status == "interrupted"
    with journal.lost_runs() as lost:
        assert lost == []
    assert list((store.folder / "runs").iterdir()) == []
