from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foreign_tags import TAGGABLE, picture, tag
from genretag.audio.payload import identify, payload_digest
from genretag.errors import TagError, WriteError
from genretag.journal import Journal
from genretag.store import FileKey, Store
from genretag.tagging import open_folder, tags
from genretag.tagging.open_folder import OpenFolder
from genretag.tagging.recover import recover
from genretag.tagging.write import WriteOutcome
from sounds import any_sound, make_sound
from writing import change_of, left_over, write_genres

ROCK = ("Rock", "Hip-Hop")


@pytest.fixture
def journal() -> Iterator[Journal]:
    with Store.open() as store:
        yield Journal(store)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = make_sound(tmp_path / "song.mp3", 2.0)
    tag(path, ["Jazz"])
    return path


def write(journal: Journal, path: Path, **options: Any) -> WriteOutcome:
    with journal.run("tag", "musicnn-msd") as run_id:
        return write_genres(journal, run_id, path, ROCK, **options)


def refused(journal: Journal, path: Path, **options: Any) -> WriteError:
    """The error of a write that must leave everything as it is."""
    target = Path(os.path.realpath(path))
    before = (target.read_bytes(), target.stat()) if target.exists() else None
    with pytest.raises(WriteError) as caught:
        write(journal, path, **options)
    if before is not None:
        after = target.stat()
        assert target.read_bytes() == before[0]
        assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (
            before[1].st_ino,
            before[1].st_mode,
            before[1].st_mtime_ns,
        )
    assert left_over(path.parent) == []
    assert str(path) in str(caught.value)
    assert ".genretag-" not in str(caught.value)
    return caught.value


# What is written


@pytest.mark.parametrize("suffix", TAGGABLE)
def test_a_write_changes_the_genre_and_nothing_of_the_sound(
    journal: Journal, tmp_path: Path, suffix: str
) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    audio, old = (identify(path), payload_digest(path)), path.read_bytes()
    outcome = write(journal, path)
    assert tags.read(path).genres == ROCK
    assert (identify(path), payload_digest(path)) == audio
    assert outcome == WriteOutcome(path, FileKey.of(path.stat()), changed=True)
    (run,) = journal.runs()
    (noted,) = journal.writes(run.id)
    assert (noted.state, noted.path, noted.change.new_genres) == ("done", path, ROCK)
    assert journal.delta(noted.id) is not None
    assert left_over(tmp_path) == []
    assert old != path.read_bytes()


def test_what_is_there_already_is_not_written(journal: Journal, song: Path) -> None:
    write(journal, song)
    before = song.stat()
    outcome = write(journal, song, edit=lambda temp: None)
    assert not outcome.changed
    assert outcome.key == FileKey.of(before)
    assert song.stat().st_ino == before.st_ino
    assert len(journal.runs()) == 1
    assert left_over(song.parent) == []


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o777])
def test_the_mode_is_kept(journal: Journal, song: Path, mode: int) -> None:
    song.chmod(mode)
    write(journal, song)
    assert stat.S_IMODE(song.stat().st_mode) == mode


def test_the_copy_is_private_and_keeps_the_suffix(journal: Journal, song: Path) -> None:
    seen = []

    def edit(temp: Path) -> None:
        (copy,) = left_over(song.parent)
        assert os.path.samefile(copy, temp)
        seen.append((copy.parent, copy.suffix, stat.S_IMODE(copy.stat().st_mode), copy.name[0]))
        tags.write(temp, ROCK)

    write(journal, song, edit=edit)
    assert seen == [(song.parent, ".mp3", 0o600, ".")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_is_kept(journal: Journal, song: Path) -> None:
    os.chown(song, 12345, 23456)
    outcome = write(journal, song)
    assert (song.stat().st_uid, song.stat().st_gid) == (12345, 23456)
    assert not outcome.owner_changed


def test_extended_attributes_are_kept(journal: Journal, song: Path) -> None:
    try:
        os.setxattr(song, "user.rating", b"5 \xff stars")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error}")
    write(journal, song)
    assert os.getxattr(song, "user.rating") == b"5 \xff stars"


def acl(*entries: tuple[int, int, int]) -> bytes:
    """A POSIX access list as Linux stores it: version 2, then (tag, rights, id) each."""
    packed = b"".join(
        t.to_bytes(2, "little") + r.to_bytes(2, "little") + (i & 0xFFFFFFFF).to_bytes(4, "little")
        for t, r, i in entries
    )
    return (2).to_bytes(4, "little") + packed


def test_access_lists_are_kept_and_none_is_added(journal: Journal, tmp_path: Path) -> None:
    rights = acl((1, 6, -1), (2, 4, 1234), (4, 4, -1), (16, 4, -1), (32, 4, -1))
    with_list, without = (make_sound(tmp_path / name, 1.0) for name in ("with.mp3", "without.mp3"))
    try:
        os.setxattr(with_list, "system.posix_acl_access", rights)
        os.setxattr(tmp_path, "system.posix_acl_default", rights)
    except OSError as error:
        pytest.skip(f"no access lists here: {error}")
    write(journal, with_list)
    write(journal, without)
    assert os.getxattr(with_list, "system.posix_acl_access") == rights
    assert "system.posix_acl_access" not in os.listxattr(without)


def test_the_time_of_change_is_new_unless_it_is_to_be_kept(journal: Journal, song: Path) -> None:
    old = 1_500_000_000_123_456_789
    os.utime(song, ns=(old, old))
    write(journal, song, preserve_mtime=True)
    assert song.stat().st_mtime_ns == old
    write(journal, song, edit=lambda temp: tags.write(temp, ("Pop",)), check=lambda temp: None)
    assert song.stat().st_mtime_ns > old
    write(journal, song, mtime_ns=77)
    assert song.stat().st_mtime_ns == 77


def test_a_link_stays_and_its_target_is_written(journal: Journal, song: Path) -> None:
    folder = song.parent / "elsewhere"
    folder.mkdir()
    link = folder / "link.mp3"
    link.symlink_to(Path("..") / song.name)
    outcome = write(journal, link)
    assert link.is_symlink()
    assert outcome.path == song
    assert tags.read(song).genres == ROCK


def test_a_broken_hard_link_is_told(journal: Journal, song: Path) -> None:
    other = song.with_name("other.mp3")
    other.hardlink_to(song)
    assert write(journal, song).links_broken
    assert tags.read(other).genres == ("Jazz",)
    assert tags.read(song).genres == ROCK


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9.mp3", b"n" * 251 + b".mp3", b"Vol. " + b"9" * 248 + b"!", b" .mp3", "音楽 🎵.mp3".encode()],
)
def test_any_name_will_do(journal: Journal, tmp_path: Path, name: bytes) -> None:
    path = make_sound(tmp_path / "plain.mp3", 1.0).rename(tmp_path / os.fsdecode(name))
    write(journal, path)
    assert tags.read(path).genres == ROCK
    assert journal.writes(1)[0].path == path
    assert left_over(tmp_path) == []


# What is refused


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o555])
def test_a_read_only_file_is_left_alone_even_by_root(journal: Journal, song: Path, mode: int) -> None:
    song.chmod(mode)
    assert refused(journal, song).code == "read-only"


def test_a_file_in_a_read_only_folder_is_left_alone(journal: Journal, song: Path) -> None:
    song.parent.chmod(0o555)
    try:
        assert refused(journal, song).code == "read-only"
    finally:
        song.parent.chmod(0o755)


def in_child(work: Callable[[], int]) -> int:
    """The exit code of a forked child that does some work with rights or limits of its own."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
@pytest.mark.parametrize("whose", ["file", "folder"])
def test_what_only_another_user_may_write_is_left_alone(whose: str) -> None:
    """In a child without root's rights: mode bits alone do not stop root."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / "home").mkdir()
        song = make_sound(base / "song.mp3", 1.0)
        for path in (base, base / "home", song):
            path.chmod(0o777)
        (song if whose == "file" else base).chmod(0o755)

        def work() -> int:
            os.setgid(65534)
            os.setuid(65534)
            with Store.open(base / "home") as store:
                return {"read-only": 0}.get(refused(Journal(store), song).code, 1)

        assert in_child(work) == 0
        assert tags.read(song).genres == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_an_owner_that_cannot_be_kept_is_told() -> None:
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / "home").mkdir()
        song = make_sound(base / "song.mp3", 1.0)
        os.chown(song, 0, 65534)
        for path in (base, base / "home", song):
            path.chmod(0o777)

        def work() -> int:
            os.setgroups([65534])
            os.setgid(1)
            os.setuid(65534)
            with Store.open(base / "home") as store:
                return 0 if write(Journal(store), song).owner_changed else 1

        assert in_child(work) == 0
        assert tags.read(song).genres == ROCK
        assert (song.stat().st_uid, song.stat().st_gid) == (65534, 65534), (
            "the group can be kept by its member"
        )


def test_a_size_limit_is_a_full_disk(tmp_path: Path) -> None:
    song = make_sound(tmp_path / "song.wav", 2.0)

    def work() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        with Store.open() as store:
            return {"no-space": 0}.get(refused(Journal(store), song).code, 1)

    assert song.stat().st_size > 300_000
    assert in_child(work) == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount program")
def test_a_disk_that_is_full_for_the_copy(journal: Journal, small_disk: Path) -> None:
    song = make_sound(small_disk / "song.mp3", 2.0)
    (small_disk / "filler").write_bytes(bytes((1 << 20) - song.stat().st_size - 12_000))
    assert refused(journal, song).code == "no-space"


@pytest.mark.skipif(shutil.which("mount") is None, reason="no mount program")
@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".m4a", ".opus"])
def test_a_disk_that_is_full_for_the_tags(journal: Journal, small_disk: Path, suffix: str) -> None:
    song = make_sound(small_disk / f"song{suffix}", 1.0)
    tag(song, ["Jazz"], cover=picture(100_000))
    size = song.stat().st_size
    (small_disk / "filler").write_bytes(bytes((1 << 20) - 2 * size - 20_000))
    many = tuple(f"A genre of a long name, the {number}th" for number in range(2000))
    assert refused(journal, song, edit=lambda temp: tags.write(temp, many)).code == "no-space"
    write(journal, song)
    assert tags.read(song).genres == ROCK


def test_a_file_that_changed_is_left_alone_at_any_time(journal: Journal, song: Path) -> None:
    def touch(_temp: Path) -> None:
        os.utime(song, ns=(1, song.stat().st_mtime_ns + 1))

    def edit(temp: Path) -> None:
        tags.write(temp, ROCK)
        touch(temp)

    for options in ({"edit": edit}, {"check": touch}):
        with pytest.raises(WriteError, match="changed since") as caught:
            write(journal, song, **options)
        assert caught.value.code == "changed"
    expected, change = FileKey.of(song.stat()), change_of(song, ROCK)
    touch(song)
    assert refused(journal, song, expected=expected).code == "changed"
    song.unlink()
    assert refused(journal, song, expected=expected, change=change).code == "missing"
    assert left_over(song.parent) == []
    assert [noted.code for run in journal.runs() for noted in journal.writes(run.id)] == [
        "changed",
        "changed",
    ]


def test_a_file_that_another_one_replaced_is_left_alone(journal: Journal, song: Path) -> None:
    other = make_sound(song.with_name("other.mp3"), 1.0, seed=5)
    content = other.read_bytes()
    with pytest.raises(WriteError) as caught:
        write(journal, song, check=lambda temp: other.replace(song))
    assert caught.value.code == "changed"
    assert song.read_bytes() == content


def test_a_file_that_was_only_numbered_anew_is_written(journal: Journal, song: Path) -> None:
    """As sshfs and others do: then the sound tells whether it is still the file that was analysed."""
    expected, change = replace(FileKey.of(song.stat()), inode=1, device=2), change_of(song, ROCK)
    other = replace(change, audio_id="another recording")
    assert refused(journal, song, expected=expected, change=other).code == "changed"
    assert write(journal, song, expected=expected, change=change).changed


def test_a_copy_that_does_not_hold_the_genres_is_thrown_away(journal: Journal, song: Path) -> None:
    error = refused(journal, song, edit=lambda temp: tags.write(temp, ("Pop",)))
    assert error.code == "verify-failed"
    assert "holds other genres" in str(error)


@pytest.mark.parametrize("suffix", TAGGABLE)
def test_a_copy_whose_sound_was_touched_is_thrown_away(journal: Journal, tmp_path: Path, suffix: str) -> None:
    song = any_sound(tmp_path / f"song{suffix}")

    def edit(temp: Path) -> None:
        content = bytearray(temp.read_bytes())
        content[len(content) // 2] ^= 1
        temp.write_bytes(content)
        tags.write(temp, ROCK)

    assert refused(journal, song, edit=edit).code == "verify-failed"
    cut = refused(journal, song, edit=lambda temp: os.truncate(temp, 3000), check=lambda temp: None)
    assert cut.code == "verify-failed"


def test_errors_of_the_edit_name_the_file_that_the_person_knows(journal: Journal, song: Path) -> None:
    def edit(temp: Path) -> None:
        raise TagError(f"{temp}: odd tags", code="bad-tags")

    with pytest.raises(TagError, match=f"^{song}: odd tags$") as caught:
        write(journal, song, edit=edit)
    assert caught.value.code == "bad-tags"
    assert journal.writes(1)[0].code == "bad-tags"

    def remove(temp: Path) -> None:
        tags.write(temp, ROCK)
        left_over(song.parent)[0].unlink()

    assert refused(journal, song, edit=remove).code == "verify-failed"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_stop_in_the_middle_leaves_the_old_file(
    journal: Journal, song: Path, error: type[BaseException]
) -> None:
    before = song.read_bytes()

    def stop(temp: Path) -> None:
        tags.write(temp, ROCK)
        raise error

    with pytest.raises(error):
        write(journal, song, edit=stop)
    assert song.read_bytes() == before
    assert left_over(song.parent) == []
    assert [(run.written, run.failed) for run in journal.runs()] == [(0, 1)]


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_stop_right_after_the_replacement_counts_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanged: bool
) -> None:
    song, really_exchange = make_sound(tmp_path / "song.mp3", 1.0), OpenFolder.exchange_names

    def replace_and_stop(folder: OpenFolder, source: str, target: str) -> bool:
        if exchanged:
            assert really_exchange(folder, source, target)
        else:
            folder.replace(source, target)
        raise KeyboardInterrupt

    if exchanged and not can_exchange(tmp_path):
        pytest.skip("names cannot be exchanged here")
    monkeypatch.setattr(OpenFolder, "exchange_names", replace_and_stop)
    with Store.open() as store:
        journal = Journal(store)
        with pytest.raises(KeyboardInterrupt):
            write(journal, song)
        assert tags.read(song).genres == ROCK
        recover(store)
        assert [(run.status, run.written, run.failed) for run in journal.runs()] == [("interrupted", 1, 0)]
    assert left_over(tmp_path) == []


def can_exchange(folder: Path) -> bool:
    names = [folder / "first", folder / "second"]
    for name in names:
        name.touch()
    with OpenFolder(folder) as opened:
        return opened.exchange_names(*(name.name for name in names))


@pytest.mark.parametrize("meddling", ["replaced", "rewritten", "removed"])
def test_a_file_that_others_change_at_the_last_moment_is_theirs(
    journal: Journal, song: Path, monkeypatch: pytest.MonkeyPatch, meddling: str
) -> None:
    """After the last look at the file and before the two names change places."""
    if not can_exchange(song.parent):
        pytest.skip("names cannot be exchanged here: that moment stays open")
    theirs = make_sound(song.with_name("theirs.mp3"), 1.0, seed=5)
    content: bytes | None = theirs.read_bytes()
    really_exchange = OpenFolder.exchange_names

    def meddle_first(folder: OpenFolder, first: str, second: str) -> bool:
        nonlocal content
        monkeypatch.setattr(OpenFolder, "exchange_names", really_exchange)
        if meddling == "replaced":
            theirs.replace(song)
        elif meddling == "rewritten":
            song.write_bytes(theirs.read_bytes())
        else:
            song.unlink()
            content = None
        return really_exchange(folder, first, second)

    monkeypatch.setattr(OpenFolder, "exchange_names", meddle_first)
    with pytest.raises(WriteError) as caught:
        write(journal, song)
    assert caught.value.code == ("missing" if content is None else "changed")
    assert (song.read_bytes() if song.exists() else None) == content
    assert left_over(song.parent) == []
    assert [noted.state for noted in journal.writes(1)] == ["abandoned"]


def test_where_names_cannot_be_exchanged_the_file_is_replaced(
    journal: Journal, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_folder, "_LIBC", None)
    write(journal, song)
    assert tags.read(song).genres == ROCK
    assert left_over(song.parent) == []


def test_processes_that_write_one_file_take_turns(tmp_path: Path) -> None:
    song = make_sound(tmp_path / "song.flac", 1.0)
    audio = payload_digest(song)

    def work(name: str) -> int:
        written = 0
        with Store.open(tmp_path / "home") as store:
            journal = Journal(store)
            with journal.run("tag", name) as run_id:
                for number in range(5000):
                    try:
                        write_genres(journal, run_id, song, (f"{name} {number}",))
                        written += 1
                    except WriteError as error:
                        if error.code != "changed":
                            return 1
                        time.sleep(0.002)
                    if written == 10:
                        return 0
        return 2

    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=lambda name=name: os._exit(work(name))) for name in "ab"]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    assert payload_digest(song) == audio
    assert left_over(tmp_path) == []
    with Store.open(tmp_path / "home") as store:
        journal = Journal(store)
        done = [write for run in journal.runs() for write in journal.writes(run.id) if write.state == "done"]
        assert tags.read(song).genres == max(done, key=lambda write: write.id).change.new_genres
