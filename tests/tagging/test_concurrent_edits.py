"""Edits by other programs, made between any two steps of a write, with the modification time restored."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mutagen
import pytest

from foreign_tags import tag
from genretag.errors import WriteError
from genretag.journal import Journal
from genretag.store import FileKey, KnownFile, Store
from genretag.tagging import staged_copy, tags
from genretag.tagging.open_folder import OpenFolder
from genretag.tagging.staged_copy import StagedCopy
from genretag.tagging.writer import GenreWriter, WriteOptions
from sounds import make_sound
from writing import change_of, left_over, write_genres

ROCK = ("Rock", "Hip-Hop")


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open() as store:
        yield store


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = make_sound(tmp_path / "song.mp3", 2.0)
    tag(path, ["Jazz"], title="Old title")
    return path


def restoring_times(path: Path, edit: Callable[[], object]) -> None:
    """Edit a file as taggers do that keep its time of modification."""
    before = path.stat()
    edit()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert FileKey.of(path.stat()).same_content(FileKey.of(before))


def write(store: Store, path: Path, **options: Any) -> None:
    journal = Journal(store)
    with journal.run("tag", "m") as run_id:
        write_genres(journal, run_id, path, ROCK, **options)


def test_a_genre_set_before_the_copy_is_not_lost(store: Store, song: Path) -> None:
    expected, change = FileKey.of(song.stat()), change_of(song, ROCK)
    restoring_times(song, lambda: tag(song, ["Soul"], title="Old title"))
    with pytest.raises(WriteError) as caught:
        write(store, song, expected=expected, change=change)
    assert caught.value.code == "changed"
    assert tags.read(song).genres == ("Soul",)


@pytest.mark.parametrize("when", ["edit", "check"])
def test_a_genre_set_while_the_copy_is_made_is_not_lost(store: Store, song: Path, when: str) -> None:
    def meddle(copy: Path) -> None:
        if when == "edit":
            tags.write(copy, ROCK)
        restoring_times(song, lambda: tag(song, ["Soul"], title="Old title"))

    with pytest.raises(WriteError) as caught:
        write(store, song, **{when: meddle})
    assert caught.value.code == "changed"
    assert tags.read(song).genres == ("Soul",)
    assert left_over(song.parent) == []


@pytest.mark.parametrize("in_place", [False, True])
def test_a_new_mode_or_name_does_not_stop_a_write(store: Store, song: Path, in_place: bool) -> None:
    """What a file manager, an indexer and a backup with hard links do."""
    link = song.with_name("backup.mp3")

    def meddle(_copy: Path) -> None:
        song.chmod(0o604)
        os.link(song, link)
        try:
            os.setxattr(song, "user.indexed", b"yes")
        except OSError:
            pytest.skip("no extended attributes here")

    if in_place:
        with pytest.raises(WriteError) as caught:
            write(store, song, check=meddle, in_place=True)
        assert caught.value.code == "changed", "the caller looks at the file again and tries once more"
        return
    write(store, song, check=meddle)
    assert tags.read(song).genres == ROCK
    assert song.stat().st_mode & 0o777 == 0o604
    assert os.getxattr(song, "user.indexed") == b"yes"
    assert tags.read(link).genres == ("Jazz",)


def test_a_new_state_before_the_write_is_read_again(store: Store, song: Path) -> None:
    expected, change = FileKey.of(song.stat()), change_of(song, ROCK)
    song.chmod(0o640)
    write(store, song, expected=expected, change=change)
    assert tags.read(song).genres == ROCK


@pytest.mark.parametrize("where", ["exchange_names", "lstat"])
def test_an_edit_at_the_last_moment_is_not_lost(
    store: Store, song: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """By another process: the lease makes it wait, and the file is put back under its name."""
    script = "import sys; open(sys.argv[1], 'r+b').write(b'theirs')"
    really, started = getattr(OpenFolder, where), []

    def meddle_first(*arguments: Any) -> Any:
        if not started and left_over(song.parent):
            started.append(subprocess.Popen([sys.executable, "-c", script, str(song)]))
            if where == "lstat":
                started[0].wait()
            else:
                _wait_for_break(started[0])
        return really(*arguments)

    monkeypatch.setattr(OpenFolder, where, meddle_first)
    try:
        write(store, song)
        code = None
    except WriteError as error:
        code = error.code
    assert started[0].wait(60) == 0
    assert song.read_bytes().startswith(b"theirs")
    assert code in ("in-use", "changed", None)
    assert left_over(song.parent) == []


@pytest.mark.parametrize("when", ["before the copy", "after the copy"])
def test_an_edit_between_the_check_and_the_copy_is_not_lost(
    store: Store, song: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The copy must hold what the change was decided by."""
    really = staged_copy._copy

    def meddle() -> None:
        restoring_times(song, lambda: tag(song, ["Soul"], title="Old title"))

    def copy(source: int, target: int) -> bytes:
        if when == "before the copy":
            meddle()
        digest = really(source, target)
        if when == "after the copy":
            meddle()
        return digest

    monkeypatch.setattr(staged_copy, "_copy", copy)
    with pytest.raises(WriteError) as caught:
        write(store, song)
    assert caught.value.code == "changed"
    assert tags.read(song).genres == ("Soul",)
    assert left_over(song.parent) == []


def test_another_title_set_before_the_copy_is_copied(
    store: Store, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = staged_copy._copy

    def copy(source: int, target: int) -> bytes:
        restoring_times(song, lambda: tag(song, ["Jazz"], title="New title"))
        return really(source, target)

    monkeypatch.setattr(staged_copy, "_copy", copy)
    write(store, song)
    assert tags.read(song).genres == ROCK
    assert mutagen.File(song).tags["TIT2"].text == ["New title"]


def test_a_write_in_place_does_not_begin_while_another_program_waits(
    store: Store, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys; open(sys.argv[1], 'r+b').write(b'theirs')"
    really, started = StagedCopy._require_names, []

    def meddle_first(copy: StagedCopy) -> None:
        started.append(subprocess.Popen([sys.executable, "-c", script, str(song)]))
        _wait_for_break(started[0])
        really(copy)

    monkeypatch.setattr(StagedCopy, "_require_names", meddle_first)
    before = song.read_bytes()
    with pytest.raises(WriteError) as caught:
        write(store, song, in_place=True)
    assert started[0].wait(60) == 0
    assert caught.value.code in ("in-use", "changed")
    assert song.read_bytes() == b"theirs" + before[6:]
    assert left_over(song.parent) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two names")
def test_the_old_file_is_kept_if_the_copy_was_replaced(
    store: Store, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, really, done = song.read_bytes(), OpenFolder.exchange_names, []

    def swap_first(folder: OpenFolder, first: str, second: str) -> bool:
        if not done:
            done.append(song.with_name("theirs"))
            done[0].write_bytes(b"theirs")
            done[0].rename(song.with_name(first))
        return really(folder, first, second)

    monkeypatch.setattr(OpenFolder, "exchange_names", swap_first)
    with pytest.raises(WriteError, match="the old file is kept as") as caught:
        write(store, song)
    assert caught.value.code == "changed"
    assert song.read_bytes() == b"theirs"
    (kept,) = song.parent.glob("genretag-*")
    assert str(kept) in str(caught.value)
    assert kept.read_bytes() == before
    assert left_over(song.parent) == []


@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_what_becomes_of_the_new_file_is_left_to_others(
    store: Store, song: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    really, done = OpenFolder.exchange_names, []

    def meddle_after(folder: OpenFolder, first: str, second: str) -> bool:
        exchanged = really(folder, first, second)
        if not done:
            done.append(song)
            song.unlink()
            if how == "replaced":
                song.write_bytes(b"theirs")
        return exchanged

    monkeypatch.setattr(OpenFolder, "exchange_names", meddle_after)
    if how == "replaced":
        with pytest.raises(WriteError, match="the old file is kept as"):
            write(store, song)
        assert song.read_bytes() == b"theirs"
    else:
        write(store, song)
        assert not song.exists()
        assert list(song.parent.glob("*genretag-*")) == []


def _wait_for_break(process: subprocess.Popen[bytes]) -> None:
    """Until the other process waits for the lease, or has ended because there is none."""
    wchan = Path(f"/proc/{process.pid}/syscall")
    while process.poll() is None:
        try:
            if wchan.read_text().split()[0] in ("257", "56"):  # openat
                return
        except (OSError, IndexError):
            return


def test_genres_are_read_again_before_they_are_written(store: Store, song: Path) -> None:
    known = KnownFile(change_of(song, ROCK).audio_id, "mp3", True, ("Polka",))
    with (
        GenreWriter(store, "tag", "m", WriteOptions()) as writer,
        pytest.raises(WriteError, match="its genre was changed") as caught,
    ):
        writer.write(song, FileKey.of(song.stat()), known, ROCK, None)
    assert caught.value.code == "changed"
    assert tags.read(song).genres == ("Jazz",)


def test_a_pipe_in_place_of_the_file_is_refused(store: Store, song: Path) -> None:
    expected, change = FileKey.of(song.stat()), change_of(song, ROCK)
    song.unlink()
    os.mkfifo(song)
    with pytest.raises(WriteError) as caught:
        write(store, song, expected=expected, change=change)
    assert caught.value.code == "changed"


@pytest.mark.parametrize("step", ["edit", "check"])
def test_a_pipe_that_takes_the_name_meanwhile_is_refused(store: Store, song: Path, step: str) -> None:
    def meddle(copy: Path) -> None:
        if step == "edit":
            tags.write(copy, ROCK)
        song.unlink()
        os.mkfifo(song)

    with pytest.raises(WriteError) as caught:
        write(store, song, **{step: meddle})
    assert caught.value.code == "changed"
    assert left_over(song.parent) == []


# Links that somebody with fewer rights puts in place of names, while root writes


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "secret.mp3"
    path.parent.mkdir()
    shutil.copy(make_sound(tmp_path / "other.mp3", 1.0, seed=4), path)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("kind", ["symlink", "hard link"])
@pytest.mark.parametrize("step", ["edit", "check", "before edit"])
def test_a_link_in_place_of_the_copy_leads_nowhere(
    store: Store, song: Path, secret: Path, kind: str, step: str
) -> None:
    before, status = secret.read_bytes(), secret.stat()
    song.chmod(0o666)
    if os.geteuid() == 0:
        os.chown(song, 12345, 12345)

    def swap(copy: Path) -> None:
        if step == "edit":
            tags.write(copy, ROCK)
        (temp,) = left_over(song.parent)
        temp.unlink()
        temp.symlink_to(secret) if kind == "symlink" else os.link(secret, temp)
        if step == "before edit":
            tags.write(copy, ROCK)

    options = {"check" if step == "check" else "edit": swap}
    with pytest.raises(WriteError):
        write(store, song, **options)
    after = secret.stat()
    assert secret.read_bytes() == before
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (
        status.st_mode,
        status.st_uid,
        status.st_mtime_ns,
    )
    assert tags.read(song).genres == ("Jazz",)


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(
    store: Store, song: Path, secret: Path, tmp_path: Path
) -> None:
    album = tmp_path / "album"
    album.mkdir()
    track = song.rename(album / "secret.mp3")
    before = secret.read_bytes()

    def swap(_copy: Path) -> None:
        album.rename(tmp_path / "album of before")
        album.symlink_to(secret.parent)

    write(store, track, check=swap)
    assert secret.read_bytes() == before
    assert sorted(path.name for path in secret.parent.iterdir()) == ["secret.mp3"]
    assert tags.read(tmp_path / "album of before" / "secret.mp3").genres == ROCK


def test_a_link_in_place_of_the_file_is_not_followed(store: Store, song: Path, secret: Path) -> None:
    before = secret.read_bytes()

    def swap(_copy: Path) -> None:
        song.unlink()
        song.symlink_to(secret)

    for in_place in (False, True):
        content = song.read_bytes()
        with pytest.raises(WriteError) as caught:
            write(store, song, check=swap, in_place=in_place)
        assert caught.value.code == "changed"
        assert secret.read_bytes() == before
        assert left_over(song.parent) == []
        song.unlink()
        song.write_bytes(content)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to set them")
def test_set_user_id_is_not_carried_over(store: Store, song: Path) -> None:
    os.chown(song, 12345, 12345)
    song.chmod(0o6755)
    write(store, song)
    assert song.stat().st_mode & 0o7777 == 0o755
    assert song.stat().st_uid == 12345
