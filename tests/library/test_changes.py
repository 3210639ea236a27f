"""Which changes in watched folders are found without notifications, and when folders are scanned."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genretag import mounts
from genretag.library import changes
from genretag.library.arrivals import Arrivals
from genretag.library.changes import FolderWatcher, Schedule, Watchfiles
from genretag.tagging.scan import ScanOptions

TICK = 0.05
Begin = Callable[..., tuple[FolderWatcher, Arrivals, list[str]]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """A function that starts to watch folders; what it reports is in the list."""
    watchers = []

    def watch(*roots: Path, poll: bool = False) -> tuple[FolderWatcher, Arrivals, list[str]]:
        arrivals, said = Arrivals(roots, ScanOptions(), settle=0), list[str]()
        watchers.append(FolderWatcher(arrivals, poll=poll, quiet=False, report=said.append))
        watchers[-1].wait(TICK)
        return watchers[-1], arrivals, said

    yield watch
    for watcher in watchers:
        watcher.close()


def ready(watcher: FolderWatcher, arrivals: Arrivals, count: int) -> list[str]:
    """The names of files that are ready, once there are `count` of them."""
    names: list[str] = []
    end = time.monotonic() + 60
    while len(names) < count:
        assert time.monotonic() < end, names
        watcher.wait(TICK)
        names += [found.path.name for found in arrivals.ready(time.monotonic())]
    return sorted(names)


def test_a_scan_that_takes_long_is_repeated_less_often() -> None:
    schedule = Schedule(2)
    schedule.ended(100, 100.1)
    assert schedule.due == pytest.approx(102.1)
    schedule.ended(100, 101)
    assert schedule.due == 111


def test_shared_file_systems_are_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:2 / / rw - ext4 /dev/sda2 rw\n"
        f"31 22 0:27 / {tmp_path}/nas rw - nfs4 server:/music rw\n"
        f"32 22 0:28 / {tmp_path}/local/windows\\040share rw - cifs //server/share rw\n"
        f"33 22 0:29 / {tmp_path}/local/.hidden rw - nfs4 server:/x rw\n"
        f"34 22 0:30 / {tmp_path}/host rw - 9p host rw\n"
    )
    monkeypatch.setattr(mounts, "TABLE", table)
    monkeypatch.setattr(changes, "POLL_SECONDS", 0.1)
    folders = [tmp_path / name for name in ("nas", "local", "local/windows share", "local/.hidden", "host")]
    for folder in folders:
        folder.mkdir()
    roots = [tmp_path / name for name in ("nas", "local", "host")]
    watcher, arrivals, said = begin(*roots)
    where = "where changes by other machines are not reported; polling every 0.1 s"
    assert said == [
        f"{tmp_path / 'nas'}: on a shared file system (nfs4), {where}",
        f"{tmp_path / 'local/windows share'}: on a shared file system (cifs), {where}",
        f"{tmp_path / 'host'}: on a shared file system (9p), {where}",
        f"watching {', '.join(map(str, roots))}; Ctrl-C ends it",
    ]
    for number, folder in enumerate(folders):
        (folder / f"{number}.mp3").write_bytes(b"a")
    assert ready(watcher, arrivals, 4) == ["0.mp3", "1.mp3", "2.mp3", "4.mp3"]
    assert len(said) == 4


def test_polling_that_a_person_asks_for_needs_no_explanation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> None:
    monkeypatch.setattr(changes, "POLL_SECONDS", 0.1)
    watcher, arrivals, said = begin(tmp_path, poll=True)
    assert said == [f"watching {tmp_path}; Ctrl-C ends it"]
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "song.mp3").write_bytes(b"a")
    assert ready(watcher, arrivals, 1) == ["song.mp3"]


def test_a_full_scan_finds_what_was_not_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> None:
    monkeypatch.setattr(changes, "FULL_SCAN_SECONDS", 0.1)
    album = tmp_path / "album"
    album.mkdir()
    marker = album / ".genretagignore"
    marker.touch()
    (album / "cd1").mkdir()
    (album / "cd1" / "1.mp3").write_bytes(b"a")
    watcher, arrivals, _ = begin(tmp_path)
    assert list(arrivals.ready(time.monotonic())) == []
    marker.unlink()  # changes no audio file
    assert ready(watcher, arrivals, 1) == ["1.mp3"]


@pytest.mark.skipif(sys.platform != "linux", reason="inotify belongs to Linux")
def test_folders_that_move_are_watched_under_their_new_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> None:
    root, elsewhere = tmp_path / "music", tmp_path / "elsewhere"
    (root / "a" / "b").mkdir(parents=True)
    elsewhere.mkdir()
    watcher, arrivals, _ = begin(root)
    (root / "a").rename(root / "c")
    watcher.wait(TICK)
    (root / "c" / "b" / "1.mp3").write_bytes(b"a")
    assert ready(watcher, arrivals, 1) == ["1.mp3"]
    (root / "c").rename(elsewhere / "c")
    watcher.wait(TICK)
    (elsewhere / "c" / "b" / "2.mp3").write_bytes(b"a")
    name = os.fsdecode(b"\xe9.mp3")  # not UTF-8
    (root / name).write_bytes(b"a")
    assert ready(watcher, arrivals, 1) == [name]
    (elsewhere / "c").rename(root / "d")
    assert ready(watcher, arrivals, 2) == ["1.mp3", "2.mp3"]
    (root / "d" / "b" / "4.mp3").write_bytes(b"a")
    assert ready(watcher, arrivals, 1) == ["4.mp3"]


def test_the_package_for_other_systems_reports_changes(tmp_path: Path) -> None:
    notifier = Watchfiles([tmp_path], TICK)
    try:
        assert notifier.wait(TICK) == []
        (tmp_path / "song.mp3").write_bytes(b"a")
        end = time.monotonic() + 60
        while not (paths := notifier.wait(TICK)):
            assert time.monotonic() < end
        assert tmp_path / "song.mp3" in paths
    finally:
        notifier.close()
