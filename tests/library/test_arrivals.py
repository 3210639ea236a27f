"""When a file that arrives is complete, and what does not bring it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from genretag.audio.payload import identify
from genretag.errors import FileError
from genretag.library.arrivals import Arrivals
from genretag.tagging import tags
from genretag.tagging.plan import Record
from genretag.tagging.scan import ScanOptions
from sounds import make_sound


@pytest.fixture
def arrivals(tmp_path: Path) -> Arrivals:
    return Arrivals([tmp_path], ScanOptions(exclude=("Drafts",)), settle=5)


def ready(arrivals: Arrivals, now: float) -> list[str]:
    return [found.path.name for found in arrivals.ready(now)]


def test_a_file_is_ready_when_it_stood_still(arrivals: Arrivals, tmp_path: Path) -> None:
    song = tmp_path / "song.mp3"
    song.write_bytes(b"a")
    arrivals.seen(song, 10)
    assert ready(arrivals, 14) == []
    song.write_bytes(b"ab")
    assert ready(arrivals, 15) == []
    assert ready(arrivals, 19) == []
    assert ready(arrivals, 20) == ["song.mp3"]
    assert ready(arrivals, 30) == []


def test_an_empty_file_and_a_download_under_way_are_not_complete(arrivals: Arrivals, tmp_path: Path) -> None:
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "song.mp3").write_bytes(b"half")
    control = tmp_path / "song.mp3.part"
    control.touch()
    arrivals.seen(tmp_path, 0)
    assert ready(arrivals, 10) == []
    control.unlink()
    assert ready(arrivals, 14) == []
    assert ready(arrivals, 15) == ["song.mp3"]


def test_a_folder_brings_what_is_in_it_and_only_what_a_scan_would_find(
    arrivals: Arrivals, tmp_path: Path
) -> None:
    for name in (
        "a/b/1.mp3",
        "a/.b/2.mp3",
        "a/.3.mp3",
        "a/4.txt",
        "Drafts/5.mp3",
        "c/6.mp3",
        "a/b/7.mp3.part",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"a")
    (tmp_path / "c" / ".genretagignore").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for place in ("a", "Drafts", "c/6.mp3", "a/.b/2.mp3", "link", "link/b/1.mp3", "gone.mp3"):
        arrivals.seen(tmp_path / place, 0)
    arrivals.seen(Path("/elsewhere.mp3"), 0)
    assert ready(arrivals, 5) == ["1.mp3"]


def test_what_was_there_is_not_wanted(arrivals: Arrivals, tmp_path: Path) -> None:
    (tmp_path / "old.mp3").write_bytes(b"a")
    arrivals.know()
    (tmp_path / "new.mp3").write_bytes(b"a")
    arrivals.seen(tmp_path, 0)
    assert ready(arrivals, 5) == ["new.mp3"]


def test_a_file_that_vanishes_is_forgotten(arrivals: Arrivals, tmp_path: Path) -> None:
    song = tmp_path / "song.mp3"
    song.write_bytes(b"a")
    arrivals.seen(song, 0)
    song.unlink()
    assert ready(arrivals, 5) == []
    song.write_bytes(b"a")
    arrivals.seen(song, 6)
    assert ready(arrivals, 11) == ["song.mp3"]


def test_a_change_of_tags_does_not_bring_a_file_back_other_sound_does(
    arrivals: Arrivals, tmp_path: Path
) -> None:
    song = make_sound(tmp_path / "song.flac", 1, seed=1)
    arrivals.seen(song, 0)
    assert ready(arrivals, 5) == ["song.flac"]
    tags.write(song, ["Rock"])
    assert arrivals.done(Record(song, "written", audio=identify(song)), 5)
    arrivals.seen(song, 6)
    tags.write(song, ["A much longer genre of somebody's own"])
    arrivals.seen(song, 7)
    assert ready(arrivals, 7) == []
    assert ready(arrivals, 13) == []
    make_sound(song, 2, seed=2)
    arrivals.seen(song, 14)
    assert ready(arrivals, 19) == ["song.flac"]


def test_a_file_that_failed_is_tried_again_when_it_changes(arrivals: Arrivals, tmp_path: Path) -> None:
    song = tmp_path / "song.mp3"
    song.write_bytes(b"half of it")
    arrivals.seen(song, 0)
    assert ready(arrivals, 5) == ["song.mp3"]
    assert arrivals.done(Record(song, "failed", error=FileError("not-audio", "no"), audio="x"), 5)
    arrivals.seen(song, 6)
    assert ready(arrivals, 11) == []
    song.write_bytes(b"half of it and the rest")
    arrivals.seen(song, 12)
    assert ready(arrivals, 17) == ["song.mp3"]
