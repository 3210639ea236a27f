from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foreign_tags import tag
from genretag.audio.payload import payload_digest
from genretag.errors import StoreError
from genretag.journal import Journal
from genretag.store import Store
from genretag.tagging import tags
from genretag.tagging.recover import recover
from genretag.tagging.undo import undo_run
from sounds import make_sound
from writing import left_over, write_genres

ROCK = ("Rock",)
POINTS = ("intended", "edited", "checked", "prepared", "replaced", "done")

Stop = Callable[[str], None]


class StoppingJournal(Journal):
    """A journal that tells where its process has come to."""

    stop: Stop

    def intend(self, *arguments: Any, **options: Any) -> int:
        write_id = super().intend(*arguments, **options)
        self.stop("intended")
        return write_id

    def prepared(self, *arguments: Any) -> None:
        super().prepared(*arguments)
        self.stop("prepared")

    def done(self, write_id: int) -> None:
        self.stop("replaced")
        super().done(write_id)
        self.stop("done")


def killed_at(point: str, home: Path, path: Path) -> None:
    """Write genres in a child that is killed, for good, when it comes to `point`."""
    ours, theirs = os.pipe()

    def stop(here: str) -> None:
        if here == point:
            os.write(theirs, b"here")
            signal.pause()

    def work() -> None:
        def edit(temp: Path) -> None:
            tags.write(temp, ROCK)
            stop("edited")

        journal = StoppingJournal(Store.open(home))
        journal.stop = stop
        with journal.run("tag", "musicnn-msd") as run_id:
            write_genres(journal, run_id, path, ROCK, edit=edit, check=lambda temp: stop("checked"))

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    os.close(theirs)
    assert os.read(ours, 4) == b"here"
    os.close(ours)
    child.kill()
    child.join(10)
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("suffix", [".mp3", ".opus"])
def test_a_kill_at_any_point_leaves_one_file_and_a_journal_that_knows_which(
    tmp_path: Path, suffix: str, point: str
) -> None:
    path, home = make_sound(tmp_path / f"song{suffix}", 1.0), tmp_path / "home"
    tag(path, ["Jazz"])
    before = path.read_bytes()
    killed_at(point, home, path)
    written = point in ("replaced", "done")
    assert tags.read(path).genres == (ROCK if written else ("Jazz",))
    assert written or path.read_bytes() == before
    with Store.open(home) as store:
        sentences = recover(store)
        assert "run 1 was interrupted" in sentences[0]
        assert recover(store) == []
        (run,) = Journal(store).runs()
        assert (run.status, run.written, run.failed) == ("interrupted", int(written), int(not written))
        assert left_over(tmp_path) == []
        assert [record.how for record in undo_run(store, run.id)] == ["bytes"] * written
    assert path.read_bytes() == before


def test_the_next_run_may_write_what_the_killed_one_held(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.mp3", 1.0)
    killed_at("prepared", tmp_path / "home", path)
    with Store.open(tmp_path / "home") as store:
        recover(store)
        journal = Journal(store)
        with journal.run("tag", None) as run_id:
            assert write_genres(journal, run_id, path, ROCK).changed


@pytest.mark.parametrize("point", ["prepared", "replaced"])
def test_a_file_changed_after_the_kill_is_judged_by_the_copy(tmp_path: Path, point: str) -> None:
    path = make_sound(tmp_path / "song.mp3", 1.0)
    killed_at(point, tmp_path / "home", path)
    tag(path, ["Polka"])
    content = path.read_bytes()
    with Store.open(tmp_path / "home") as store:
        recover(store)
        assert [run.written for run in Journal(store).runs()] == [int(point == "replaced")]
        assert all(record.status == "skipped" for record in undo_run(store, 1))
    assert path.read_bytes() == content
    assert left_over(tmp_path) == []


def test_a_kill_between_replacing_and_removing_the_old_file_counts_as_written(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.mp3", 1.0)
    killed_at("prepared", tmp_path / "home", path)
    (copy,) = left_over(tmp_path)
    old, new = path.read_bytes(), copy.read_bytes()
    path.write_bytes(new)
    copy.write_bytes(old)
    with Store.open(tmp_path / "home") as store:
        recover(store)
        assert path.read_bytes() == new
        assert left_over(tmp_path) == []
        assert [record.how for record in undo_run(store, 1)] == ["bytes"]
    assert path.read_bytes() == old


def test_what_others_had_put_in_the_files_place_is_put_back(tmp_path: Path) -> None:
    """The kill came when the two had changed places, before it was seen that the old one was another's."""
    path = make_sound(tmp_path / "song.mp3", 1.0)
    killed_at("prepared", tmp_path / "home", path)
    (copy,) = left_over(tmp_path)
    copy.replace(path)
    theirs = make_sound(tmp_path / "theirs.mp3", 1.0, seed=5).rename(copy).read_bytes()
    with Store.open(tmp_path / "home") as store:
        assert "as others had left it" in recover(store)[-1]
        assert recover(store) == []
        assert [run.written for run in Journal(store).runs()] == [0]
    assert path.read_bytes() == theirs
    assert left_over(tmp_path) == []


def test_a_folder_that_is_away_is_settled_when_it_is_back(tmp_path: Path) -> None:
    drive, away = tmp_path / "drive", tmp_path / "away"
    drive.mkdir()
    path = make_sound(drive / "song.mp3", 1.0)
    before = path.read_bytes()
    killed_at("prepared", tmp_path / "home", path)
    drive.rename(away)
    with Store.open(tmp_path / "home") as store:
        for _ in range(2):
            assert "is not there now" in recover(store)[-1]
        away.rename(drive)
        assert "was left as it was" in recover(store)[-1]
        assert recover(store) == []
    assert path.read_bytes() == before
    assert left_over(tmp_path) == []


def test_only_names_of_our_own_are_removed(tmp_path: Path) -> None:
    path, precious = make_sound(tmp_path / "song.mp3", 1.0), tmp_path / "precious.mp3"
    precious.write_bytes(b"sound")
    killed_at("intended", tmp_path / "home", path)
    with Store.open(tmp_path / "home") as store:
        with store.transaction() as connection:
            connection.execute("UPDATE writes SET temp = ?", (os.fsencode(precious),))
        with pytest.raises(StoreError, match="write 1 is not as genretag wrote it"):
            recover(store)
    assert precious.exists()


def test_a_copy_that_cannot_be_removed_is_named_until_it_is_gone(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.mp3", 1.0)
    killed_at("edited", tmp_path / "home", path)
    (copy,) = left_over(tmp_path)
    copy.unlink()
    copy.mkdir()
    with Store.open(tmp_path / "home") as store:
        for _ in range(2):
            assert recover(store)[-1].startswith(f"{copy}: ")
        copy.rmdir()
        assert "was left as it was" in recover(store)[-1]
        assert recover(store) == []


def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    home, library, random_moment = tmp_path / "home", tmp_path / "music", random.Random(1)
    library.mkdir()
    suffixes = (".mp3", ".flac", ".ogg", ".m4a", ".opus", ".wma")
    paths = [make_sound(library / f"song{suffix}", 1.0) for suffix in suffixes]
    for path in paths:
        tag(path, ["Jazz"])
    before = {path: path.read_bytes() for path in paths}
    audio = {path: payload_digest(path) for path in paths}
    genres = dict.fromkeys(paths, ("Jazz",))

    def work(number: int) -> None:
        with Store.open(home) as store:
            recover(store)
            journal = Journal(store)
            with journal.run("tag", str(number)) as run_id:
                for path in paths:
                    write_genres(journal, run_id, path, (f"Genre {number}",))

    number = seen = 0
    # At least 20 kills; more where the machine is so busy that they come before anything is written.
    while number < 20 or (seen <= 5 and number < 300):
        number += 1
        child = multiprocessing.get_context("fork").Process(target=work, args=(number,))
        child.start()
        time.sleep(random_moment.uniform(0.005, 0.12))
        child.kill()
        child.join(10)
        for path in paths:
            now = tags.read(path).genres
            assert now in (genres[path], (f"Genre {number}",))
            assert payload_digest(path) == audio[path]
            seen += now != genres[path]
            genres[path] = now
    with Store.open(home) as store:
        recover(store)
        assert left_over(tmp_path) == []
        runs = Journal(store).runs()
        assert sum(run.written for run in runs) > 5
        for run in runs:
            assert {record.how for record in undo_run(store, run.id)} <= {"bytes"}
    assert {path: path.read_bytes() for path in paths} == before
    shutil.rmtree(library)
