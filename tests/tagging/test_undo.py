from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from foreign_tags import TAGGABLE, picture, tag
from genretag.audio.payload import identify
from genretag.errors import UsageError
from genretag.journal import Journal
from genretag.store import FileKey, KnownFile, Store
from genretag.tagging import tags
from genretag.tagging.undo import UndoRecord, undo_run
from sounds import any_sound, make_sound
from writing import left_over, write_genres

ROCK = ("Rock", "Hip-Hop")
OLD_TIME = 1_400_000_000_987_654_321


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open() as store:
        yield store


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = make_sound(tmp_path / "song.mp3", 2.0)
    tag(path, ["Jazz"])
    return path


def write(store: Store, *paths: Path, genres: tuple[str, ...] = ROCK) -> int:
    journal = Journal(store)
    with journal.run("tag", "musicnn-msd") as run_id:
        for path in paths:
            write_genres(journal, run_id, path, genres)
    return run_id


def undo(store: Store, run_id: int) -> UndoRecord:
    (record,) = undo_run(store, run_id)
    return record


def skipped(store: Store, run_id: int, path: Path) -> UndoRecord:
    """The record of an undo that must leave the file alone."""
    content = path.read_bytes() if path.exists() else None
    record = undo(store, run_id)
    assert (path.read_bytes() if path.exists() else None) == content
    assert (record.status, record.how, record.genres) == ("skipped", None, record.previous)
    assert record.error is not None
    return record


@pytest.mark.parametrize("cover", [0, 150_000], ids=["plain", "cover"])
@pytest.mark.parametrize("suffix", TAGGABLE)
def test_the_very_bytes_come_back(store: Store, tmp_path: Path, suffix: str, cover: int) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    if cover:
        tag(path, ["Jazz", "Blues"], cover=picture(cover))
    path.chmod(0o640)
    os.utime(path, ns=(OLD_TIME, OLD_TIME))
    before, genres = path.read_bytes(), tags.read(path).genres
    run_id = write(store, path)
    assert path.read_bytes() != before
    assert undo(store, run_id) == UndoRecord(path, "undone", "bytes", genres, ROCK)
    assert path.read_bytes() == before
    assert (path.stat().st_mtime_ns, stat.S_IMODE(path.stat().st_mode)) == (OLD_TIME, 0o640)
    assert store.known_file(FileKey.of(path.stat())) == KnownFile(
        identify(path), tags.read(path).format, True, genres
    )
    assert left_over(tmp_path) == []


def test_the_last_written_goes_back_first_and_only_once(store: Store, tmp_path: Path) -> None:
    paths = [make_sound(tmp_path / f"{number}.mp3", 1.0) for number in range(3)]
    run_id = write(store, *paths)
    assert [record.path for record in undo_run(store, run_id)] == paths[::-1]
    assert list(undo_run(store, run_id)) == []
    runs = Journal(store).runs()
    assert [(run.command, run.written, run.undone) for run in runs] == [("undo", 3, 0), ("tag", 3, 3)]


@pytest.mark.parametrize("suffix", TAGGABLE)
def test_other_fields_changed_since_are_kept(store: Store, tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    tag(path, ["Jazz", "Blues"])
    run_id = write(store, path)
    tag(path, list(ROCK), title="A title of today")
    assert undo(store, run_id) == UndoRecord(path, "undone", "values", ("Jazz", "Blues"), ROCK)
    assert tags.read(path).genres == ("Jazz", "Blues")
    assert any(
        "A title of today".encode(encoding) in path.read_bytes()
        for encoding in ("utf-8", "utf-16-le", "utf-16-be")
    )


def test_a_genre_changed_since_is_left_alone(store: Store, song: Path) -> None:
    run_id = write(store, song)
    tag(song, ["Polka"])
    record = skipped(store, run_id, song)
    assert record.genres == ("Polka",)
    assert record.error is not None
    assert record.error.code == "changed"
    assert "someone else" in record.error.message


def test_a_file_written_again_waits_for_the_later_run(store: Store, song: Path) -> None:
    first, before = write(store, song), song.read_bytes()
    second = write(store, song, genres=("Pop",))
    record = skipped(store, first, song)
    assert record.error is not None
    assert f"run {second}" in record.error.message
    assert undo(store, second).status == "undone"
    assert song.read_bytes() == before
    assert undo(store, first).genres == ("Jazz",)


@pytest.mark.parametrize("delta", [None, b"damaged"])
def test_without_the_old_bytes_the_old_genre_comes_back(
    store: Store, song: Path, delta: bytes | None
) -> None:
    run_id = write(store, song)
    with store.transaction() as connection:
        connection.execute("UPDATE writes SET delta = ?", (delta,))
    assert undo(store, run_id).how == "values"
    assert tags.read(song).genres == ("Jazz",)
    assert left_over(song.parent) == []
    assert [(run.command, run.written, run.undone) for run in Journal(store).runs()][1:] == [("tag", 1, 1)]


def test_a_delta_that_leads_elsewhere_is_noticed(store: Store, song: Path) -> None:
    run_id = write(store, song)
    with store.transaction() as connection:
        connection.execute("UPDATE writes SET before_hash = ?", (bytes(32),))
    assert undo(store, run_id).how == "values"
    assert tags.read(song).genres == ("Jazz",)


def test_a_file_that_was_moved_is_found_where_it_was_seen(store: Store, song: Path) -> None:
    before = song.read_bytes()
    run_id = write(store, song)
    moved = song.rename(song.with_name("moved.mp3"))
    record = skipped(store, run_id, song)
    assert record.error is not None
    assert record.error.code == "missing"
    store.remember_file(FileKey.of(moved.stat()), moved, KnownFile(identify(moved), "mp3", True, ROCK))
    assert undo(store, run_id) == UndoRecord(moved, "undone", "bytes", ("Jazz",), ROCK)
    assert moved.read_bytes() == before


def test_another_copy_of_the_recording_is_not_taken_for_the_file(store: Store, song: Path) -> None:
    copy = song.with_name("copy.mp3")
    copy.write_bytes(song.read_bytes())
    tag(copy, list(ROCK), title="with a genre that its owner chose")
    store.remember_file(FileKey.of(copy.stat()), copy, KnownFile(identify(copy), "mp3", True, ROCK))
    run_id, content = write(store, song), copy.read_bytes()
    song.unlink()
    skipped(store, run_id, song)
    assert copy.read_bytes() == content


def test_another_recording_of_that_name_is_left_alone(store: Store, song: Path) -> None:
    run_id = write(store, song)
    make_sound(song, 2.0, seed=9)
    tag(song, list(ROCK))
    record = skipped(store, run_id, song)
    assert record.error is not None
    assert "another recording" in record.error.message


def test_one_file_that_fails_does_not_stop_the_others(store: Store, tmp_path: Path) -> None:
    paths = [make_sound(tmp_path / f"{number}.mp3", 1.0) for number in range(3)]
    run_id = write(store, *paths)
    paths[1].chmod(0o444)
    records = {record.path: record for record in undo_run(store, run_id)}
    assert [records[path].status for path in paths] == ["undone", "failed", "undone"]
    error = records[paths[1]].error
    assert error is not None
    assert error.code == "read-only"
    paths[1].chmod(0o644)
    assert undo(store, run_id).path == paths[1]


def test_an_undo_that_was_broken_off_goes_on(store: Store, tmp_path: Path) -> None:
    paths = [make_sound(tmp_path / f"{number}.mp3", 1.0) for number in range(3)]
    before = [path.read_bytes() for path in paths]
    run_id = write(store, *paths)
    records = undo_run(store, run_id)
    assert isinstance(records, Iterator)
    next(records)
    records.close()
    assert Journal(store).runs()[0].status == "interrupted"
    assert [record.path for record in undo_run(store, run_id)] == paths[1::-1]
    assert [path.read_bytes() for path in paths] == before


def test_an_undo_can_be_taken_back_and_done_again(store: Store, song: Path) -> None:
    before = song.read_bytes()
    run_id = write(store, song)
    after = song.read_bytes()
    undo(store, run_id)
    undone_by = Journal(store).runs()[0].id
    assert undo(store, undone_by) == UndoRecord(song, "undone", "bytes", ROCK, ("Jazz",))
    assert song.read_bytes() == after
    undo(store, run_id)
    assert song.read_bytes() == before


def test_a_run_that_is_not_there(store: Store) -> None:
    with pytest.raises(UsageError, match="no run 17"):
        undo_run(store, 17)


def test_the_record_of_a_skipped_file(store: Store, tmp_path: Path) -> None:
    path = make_sound(tmp_path / "plain.mp3", 1.0).rename(tmp_path / os.fsdecode(b"caf\xe9.mp3"))
    run_id = write(store, path)
    path.unlink()
    record = undo(store, run_id).to_dict()
    assert record.pop("error")["code"] == "missing"
    assert record == {"path": str(path), "status": "skipped", "how": None, "genres": (), "previous": ()}
