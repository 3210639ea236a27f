"""Files changed themselves: hard links and all else of them stay, and a stop in the middle is made good."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import genretag.tagging.staged_copy
from foreign_tags import TAGGABLE, picture, tag
from genretag.audio.payload import payload_digest
from genretag.errors import WriteError
from genretag.journal import Journal, Write
from genretag.store import Store
from genretag.tagging import tags
from genretag.tagging.delta import make_delta
from genretag.tagging.inplace import is_half_written, write_into
from genretag.tagging.open_folder import OpenFolder
from genretag.tagging.recover import recover
from genretag.tagging.undo import undo_run
from genretag.tagging.write import hash_file
from sounds import any_sound, make_sound
from writing import left_over, write_genres

ROCK = ("Rock", "Hip-Hop")
# More than any padding takes in, so that the file grows.
MANY = tuple(f"A genre of a long name, the {number}th" for number in range(400))


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open() as store:
        yield store


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = make_sound(tmp_path / "song.mp3", 2.0)
    tag(path, ["Jazz"], cover=picture(60_000))
    return path


def write(store: Store, path: Path, genres: tuple[str, ...] = ROCK, **options: Any) -> int:
    journal = Journal(store)
    with journal.run("tag", "musicnn-msd") as run_id:
        write_genres(journal, run_id, path, genres, in_place=True, **options)
    return run_id


@pytest.mark.parametrize("genres", [ROCK, MANY], ids=["fits", "grows"])
@pytest.mark.parametrize("suffix", TAGGABLE)
def test_the_file_stays_the_same_one_there_and_back(
    store: Store, tmp_path: Path, suffix: str, genres: tuple[str, ...]
) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    os.utime(path, ns=(5, 1_400_000_000_987_654_321))
    other = path.with_name("other name")
    other.hardlink_to(path)
    before, status, sound = path.read_bytes(), path.stat(), payload_digest(path)
    run_id = write(store, path, genres)
    assert tags.read(path).genres == genres
    assert payload_digest(path) == sound
    assert other.read_bytes() == path.read_bytes() != before
    assert path.stat().st_mtime_ns > status.st_mtime_ns
    assert [record.how for record in undo_run(store, run_id)] == ["bytes"]
    assert path.read_bytes() == other.read_bytes() == before
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    assert left_over(tmp_path) == []


def test_what_was_replaced_can_go_back_in_place_and_the_other_way(store: Store, song: Path) -> None:
    before = song.read_bytes()
    journal = Journal(store)
    with journal.run("tag", None) as run_id:
        write_genres(journal, run_id, song, ROCK)
    inode = song.stat().st_ino
    assert [record.status for record in undo_run(store, run_id, in_place=True)] == ["undone"]
    assert (song.read_bytes(), song.stat().st_ino) == (before, inode)
    assert [write.in_place for run in journal.runs() for write in journal.writes(run.id)] == [True, False]


def test_no_link_is_reported_broken_and_the_time_can_be_kept(store: Store, song: Path) -> None:
    song.with_name("other.mp3").hardlink_to(song)
    os.utime(song, ns=(7, 77))
    journal = Journal(store)
    with journal.run("tag", None) as run_id:
        outcome = write_genres(journal, run_id, song, ROCK, in_place=True, preserve_mtime=True)
    assert not outcome.links_broken
    assert song.stat().st_mtime_ns == outcome.key.mtime_ns == 77


def test_a_read_only_file_is_left_alone(store: Store, song: Path) -> None:
    song.chmod(0o444)
    with pytest.raises(WriteError) as caught:
        write(store, song)
    assert caught.value.code == "read-only"


def test_a_file_that_another_genretag_holds_is_left_alone(store: Store, song: Path) -> None:
    """One with another store, which knows nothing of this journal."""
    before = song.read_bytes()
    with song.open("rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        for in_place in (True, False):
            journal = Journal(store)
            with (
                journal.run("tag", None) as run_id,
                pytest.raises(WriteError, match="locked it") as caught,
            ):
                write_genres(journal, run_id, song, ROCK, in_place=in_place)
            assert caught.value.code == "changed"
    assert song.read_bytes() == before
    assert left_over(song.parent) == []


def test_what_could_not_be_made_good_is_not_begun(store: Store, song: Path) -> None:
    """Without the old bytes nobody could tell a half written file from a changed one."""

    def edit(temp: Path) -> None:
        tags.write(temp, ROCK)

    before = song.read_bytes()
    really_make = genretag.tagging.write.make_delta
    genretag.tagging.write.make_delta = lambda old, new: None
    try:
        with pytest.raises(WriteError, match="without --in-place") as caught:
            write(store, song, edit=edit)
    finally:
        genretag.tagging.write.make_delta = really_make
    assert caught.value.code == "in-place"
    assert song.read_bytes() == before
    assert left_over(song.parent) == []


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount program")
def test_a_disk_that_is_full_for_what_it_grows_by(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no file system may be mounted here")
    try:
        song = make_sound(folder / "song.mp3", 1.0)
        before, status = song.read_bytes(), song.stat()

        def fill(_temp: Path) -> None:
            left = os.statvfs(folder)
            (folder / "filler").write_bytes(bytes(left.f_bavail * left.f_bsize))

        with pytest.raises(WriteError) as caught:
            write(store, song, MANY, check=fill)
        assert caught.value.code == "no-space"
        assert (song.read_bytes(), song.stat().st_mtime_ns) == (before, status.st_mtime_ns)
        assert left_over(folder) == []
        (folder / "filler").unlink()
        write(store, song, MANY)
        assert tags.read(song).genres == MANY
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


# Stops in the middle


@pytest.fixture
def half(store: Store, song: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, bytes, bytes]:
    """A file that a stopped run left half written, its copy, and the bytes of before and after."""
    before = song.read_bytes()
    after = b""

    def stop_in_the_middle(folder: OpenFolder, name: str, copy: Path, _expected: object) -> None:
        nonlocal after
        target = folder.path / name
        after = copy.read_bytes()
        with target.open("r+b") as file:
            os.truncate(target, max(len(before), len(after)))
            file.write(after[: len(after) // 3])
        raise KeyboardInterrupt

    monkeypatch.setattr(genretag.tagging.staged_copy, "write_into", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        write(store, song, MANY)
    monkeypatch.undo()
    (copy,) = left_over(song.parent)
    assert song.read_bytes() not in (before, after)
    return song, copy, before, after


def settled(store: Store) -> Write:
    (run,) = Journal(store).runs()
    (noted,) = Journal(store).writes(run.id)
    return noted


def test_a_half_written_file_is_finished_from_its_copy(store: Store, half: Any) -> None:
    song, _, before, after = half
    assert "was half written" in recover(store)[-1]
    assert song.read_bytes() == after
    assert left_over(song.parent) == []
    assert settled(store).state == "done"
    assert recover(store) == []
    assert [record.how for record in undo_run(store, 1)] == ["bytes"]
    assert song.read_bytes() == before


def test_a_file_that_others_restored_stays_theirs(store: Store, half: Any) -> None:
    song, _, before, _ = half
    song.write_bytes(before)
    assert "was left as it was" in recover(store)[-1]
    assert song.read_bytes() == before
    assert left_over(song.parent) == []
    assert settled(store).state == "abandoned"


@pytest.mark.parametrize("how", ["changed", "shortened", "moved", "lost"])
def test_what_others_did_to_a_half_written_file_is_not_overwritten(store: Store, half: Any, how: str) -> None:
    song, copy, before, after = half
    if how == "changed":
        with song.open("r+b") as file:
            file.seek(len(before) // 2)
            file.write(b"words of somebody else")
    elif how == "shortened":
        os.truncate(song, 100)
    elif how == "moved":
        song.rename(song.with_name("moved.mp3"))
    else:
        copy.unlink()
    content = song.read_bytes() if song.exists() else None
    sentence = recover(store)[-1]
    assert (song.read_bytes() if song.exists() else None) == content
    assert left_over(song.parent) == []
    assert (settled(store).state, settled(store).code) == ("abandoned", "changed")
    assert recover(store) == []
    if how == "lost":
        assert "fetch it from a backup" in sentence
    else:
        kept = copy.with_name(copy.name.removeprefix("."))
        assert kept.read_bytes() == after
        assert str(kept) in sentence


@pytest.mark.parametrize("name", ["file", "copy"])
def test_a_link_that_comes_while_a_half_written_file_is_checked_leads_nowhere(
    store: Store, half: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Of the file: what it leads to would be overwritten; of the copy: what it leads to would be copied."""
    song, copy, _, after = half
    victim = tmp_path / "victim"
    victim.write_bytes(b"secret" * 9000)
    really = genretag.tagging.recover._is_half

    def swap(*arguments: Any) -> bool:
        found = really(*arguments)
        swapped = song if name == "file" else copy
        swapped.unlink()
        if name == "file":
            os.link(victim, song)
        else:
            copy.symlink_to(victim)
        return found

    monkeypatch.setattr(genretag.tagging.recover, "_is_half", swap)
    recover(store)
    assert victim.read_bytes() == b"secret" * 9000
    if name == "copy":
        assert song.read_bytes() == after


def test_a_stop_after_the_last_byte_counts_as_written(store: Store, half: Any) -> None:
    song, copy, before, after = half
    song.write_bytes(after)
    copy.unlink()
    assert "had been written whole" in recover(store)[-1]
    assert settled(store).state == "done"
    assert [record.how for record in undo_run(store, 1)] == ["bytes"]
    assert song.read_bytes() == before


def test_a_copy_that_cannot_be_removed_in_place_is_named(store: Store, half: Any) -> None:
    song, copy, _, after = half
    song.write_bytes(after)
    copy.unlink()
    copy.mkdir()
    assert f"its whole copy is {copy}; make both writable" in recover(store)[-1]
    copy.rmdir()
    assert "had been written whole" in recover(store)[-1]


def test_without_a_way_to_the_old_bytes_the_copy_is_kept(store: Store, half: Any) -> None:
    song, copy, _, after = half
    content = song.read_bytes()
    with store.transaction() as connection:
        connection.execute("UPDATE writes SET delta = NULL")
    assert "is kept as" in recover(store)[-1]
    assert song.read_bytes() == content
    assert copy.with_name(copy.name.removeprefix(".")).read_bytes() == after


def test_what_cannot_be_finished_now_waits_with_its_copy(store: Store, half: Any) -> None:
    song, copy, _, after = half
    with song.open("rb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        for _ in range(2):
            assert "cannot be set right now" in recover(store)[-1]
            assert copy.read_bytes() == after
    assert "it is whole now" in recover(store)[-1]
    assert song.read_bytes() == after


def test_an_error_in_the_middle_is_said_and_made_good_at_the_next_start(
    store: Store, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: OpenFolder, name: str, copy: Path, _expected: object) -> None:
        with (folder.path / name).open("r+b") as file:
            file.write(copy.read_bytes()[:200])
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(genretag.tagging.staged_copy, "write_into", fail)
    with pytest.raises(WriteError, match=r"the next start of genretag finishes it$") as caught:
        write(store, song)
    monkeypatch.undo()
    assert caught.value.code == "io-error"
    recover(store)
    assert tags.read(song).genres == ROCK
    assert left_over(song.parent) == []


def test_a_file_moved_while_it_is_written_is_whole_where_it_is(
    store: Store, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_fsync, moved = os.fsync, song.with_name("moved.mp3")
    inode = song.stat().st_ino

    def sync_and_move(descriptor: int) -> None:
        really_fsync(descriptor)
        if os.fstat(descriptor).st_ino == inode and song.exists():
            song.rename(moved)

    monkeypatch.setattr(os, "fsync", sync_and_move)
    with pytest.raises(WriteError, match="moved or replaced") as caught:
        write(store, song)
    assert caught.value.code == "changed"
    assert tags.read(moved).genres == ROCK
    assert left_over(song.parent) == []
    assert recover(store) == []


@pytest.mark.parametrize("meddling", ["replaced", "rewritten"])
def test_a_file_that_others_change_at_the_last_moment_stays_theirs(
    store: Store, song: Path, monkeypatch: pytest.MonkeyPatch, meddling: str
) -> None:
    theirs = make_sound(song.with_name("theirs.mp3"), 1.0, seed=5)
    content, really_write = theirs.read_bytes(), write_into

    def meddle_first(folder: OpenFolder, name: str, copy: Path, expected: os.stat_result) -> None:
        if meddling == "replaced":
            theirs.replace(folder.path / name)
        else:
            (folder.path / name).write_bytes(content)
        really_write(folder, name, copy, expected)

    monkeypatch.setattr(genretag.tagging.staged_copy, "write_into", meddle_first)
    with pytest.raises(WriteError) as caught:
        write(store, song)
    assert caught.value.code == "changed"
    assert song.read_bytes() == content
    assert left_over(song.parent) == []


# What a half written file is


def fill(target: Path, copy: Path) -> None:
    with OpenFolder(target.parent) as folder:
        write_into(folder, target.name, copy)


def pair(folder: Path, old: bytes, new: bytes) -> tuple[Path, Path, bytes, bytes]:
    before, target, copy = folder / "before", folder / "target", folder / "copy"
    before.write_bytes(old)
    copy.write_bytes(new)
    delta = make_delta(before, copy)
    assert delta is not None
    return target, copy, delta, hash_file(before)


@pytest.mark.parametrize(("old_size", "new_size"), [(9000, 9000), (5000, 20_000), (20_000, 5000), (0, 3000)])
def test_any_stop_in_the_middle_is_known_and_finished(tmp_path: Path, old_size: int, new_size: int) -> None:
    """After a kill of what was written so far; after a loss of power of any of it, with zeros for growth."""
    old, new, chance = os.urandom(old_size), os.urandom(new_size), random.Random(old_size)
    target, copy, delta, before_hash = pair(tmp_path, old, new)
    grown = old + new[old_size:]
    stops = [grown[:at] for at in range(old_size, len(grown), 700)]
    stops += [new[:at] + grown[at:] for at in range(0, new_size + 1, 700)]
    for _ in range(30):
        size = chance.randint(min(old_size, new_size), max(old_size, new_size))
        sources = (old.ljust(size, b"\0"), new if new_size >= size else grown)
        stops.append(b"".join(chance.choice(sources)[at : at + 512] for at in range(0, size, 512))[:size])
    for content in stops:
        target.write_bytes(content)
        assert is_half_written(target, copy, delta, before_hash)
        fill(target, copy)
        assert target.read_bytes() == new
    for size in (min(old_size, new_size) - 1, max(old_size, new_size) + 1):
        if size >= 0:
            target.write_bytes(grown[:size].ljust(size, b"\0"))
            assert not is_half_written(target, copy, delta, before_hash)


def test_one_strange_byte_is_somebody_elses(tmp_path: Path) -> None:
    old, new = b"old" * 1000, b"new!" * 1000
    target, copy, delta, before_hash = pair(tmp_path, old, new)
    half = new[:500] + old[500:]
    for at in (0, 499, 500, 2999):
        target.write_bytes(half[:at] + b"?" + half[at + 1 :])
        assert not is_half_written(target, copy, delta, before_hash)
    target.write_bytes(half)
    assert is_half_written(target, copy, delta, before_hash)
    assert not is_half_written(target, copy, delta, bytes(32))
    assert not is_half_written(target, copy, b"damaged", before_hash)


def test_only_pages_that_differ_are_written(tmp_path: Path) -> None:
    size = 3 << 20
    old = bytearray(os.urandom(size))
    new = bytearray(old)
    new[10], new[5000], new[size - 1] = (byte ^ 1 for byte in (new[10], new[5000], new[size - 1]))
    target, copy = tmp_path / "target", tmp_path / "copy"
    target.write_bytes(old)
    copy.write_bytes(new)
    written = Path("/proc/self/io")
    if not written.exists():
        pytest.skip("no count of written bytes here")

    def count() -> int:
        return int(written.read_text().split("wchar: ")[1].split()[0])

    before = count()
    fill(target, copy)
    assert count() - before < 5 * 4096
    assert target.read_bytes() == new
