"""When a file that arrives is complete, and what does not bring it back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from genretag.audio.payload import identify
from genretag.errors import FileError
from genretag.library.arrivals import ARRIVING, MAYBE_PASSING, Arrivals
from genretag.tagging import tags
from genretag.tagging.plan import Record, Status
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


def failure(path: Path, code: str) -> Record:
    return Record(path, "failed", error=FileError(code, f"{path}: {code}"), audio="x")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows who has a file open")
def test_a_file_that_a_program_writes_is_not_ready_and_is_reported_once(
    arrivals: Arrivals, tmp_path: Path
) -> None:
    song = tmp_path / "song.mp3"
    with song.open("wb") as writer:
        writer.write(b"half")
        writer.flush()
        arrivals.seen(song, 0)
        for now in range(5, 610, 5):
            assert ready(arrivals, now) == []
            said = list(arrivals.held_up(now))
            reason = f"{song}: open for writing in another program; tagged once it is closed"
            assert said == ([reason] if now == 605 else [])
        assert arrivals.unfinished() == ([], 1)
    arrivals.seen(song, 610)  # it was closed
    assert ready(arrivals, 614) == []
    assert ready(arrivals, 615) == ["song.mp3"]
    assert arrivals.unfinished() == ([], 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows who has a file open")
def test_a_file_that_was_ready_is_checked_again_before_it_is_read(arrivals: Arrivals, tmp_path: Path) -> None:
    names = ("changed.mp3", "gone.mp3", "open.mp3", "same.mp3")
    for name in names:
        (tmp_path / name).write_bytes(b"a")
    arrivals.seen(tmp_path, 0)
    assert ready(arrivals, 5) == list(names)
    (tmp_path / "changed.mp3").write_bytes(b"ab")
    (tmp_path / "gone.mp3").unlink()
    with (tmp_path / "open.mp3").open("ab"):
        assert [arrivals.still_ready(tmp_path / name, 6) for name in names] == [False, False, False, True]
    assert ready(arrivals, 10) == []
    assert ready(arrivals, 11) == ["changed.mp3", "open.mp3"]


@pytest.mark.parametrize("code", sorted(ARRIVING))
def test_a_file_that_is_not_complete_yet_is_tried_until_it_is(
    arrivals: Arrivals, tmp_path: Path, code: str
) -> None:
    song = tmp_path / "song.mp3"
    song.write_bytes(b"a")
    arrivals.seen(song, 0)
    now, waits = 0, []
    for _ in range(7):
        since = now
        while not ready(arrivals, now):
            now += 1
        waits.append(now - since)
        assert not arrivals.done(failure(song, code), now)
        assert arrivals.unfinished() == ([failure(song, code)], 0)
    assert waits == [5, 5, 10, 20, 40, 60, 60]
    assert list(arrivals.held_up(604)) == []
    assert list(arrivals.held_up(605)) == [f"{song}: {code}; still trying"]
    assert list(arrivals.held_up(700)) == []
    arrivals.seen(song, 700)  # a change ends the longer wait
    assert ready(arrivals, 704) == []
    assert ready(arrivals, 705) == ["song.mp3"]
    assert arrivals.done(Record(song, "kept", audio="x"), 706)
    arrivals.seen(tmp_path, 707)
    assert ready(arrivals, 900) == []


@pytest.mark.parametrize("code", sorted(MAYBE_PASSING))
def test_a_failure_that_may_pass_is_final_the_third_time(
    arrivals: Arrivals, tmp_path: Path, code: str
) -> None:
    song = tmp_path / "song.mp3"
    song.write_bytes(b"a")
    arrivals.seen(song, 0)
    for now, final in ((5, False), (10, False), (20, True)):
        assert ready(arrivals, now - 1) == []
        assert ready(arrivals, now) == ["song.mp3"]
        assert arrivals.done(failure(song, code), now) == final
    arrivals.seen(tmp_path, 21)
    assert ready(arrivals, 900) == []


@pytest.mark.parametrize("status", ["failed", "kept", "planned", "unchanged", "unsure"])
def test_a_result_for_a_file_that_changed_meanwhile_is_dropped(
    arrivals: Arrivals, tmp_path: Path, status: Status
) -> None:
    song = tmp_path / "song.mp3"
    song.write_bytes(b"half")
    arrivals.seen(song, 0)
    assert ready(arrivals, 5) == ["song.mp3"]
    song.write_bytes(b"half and the rest")
    record = failure(song, "decode-failed") if status == "failed" else Record(song, status, audio="x")
    assert not arrivals.done(record, 6)
    assert ready(arrivals, 10) == []
    assert ready(arrivals, 11) == ["song.mp3"]
    assert arrivals.done(record, 12)


def test_a_file_that_was_renamed_meanwhile_is_no_failure(arrivals: Arrivals, tmp_path: Path) -> None:
    song = tmp_path / "song.temp.mp3"
    song.write_bytes(b"a")
    arrivals.seen(song, 0)
    assert ready(arrivals, 5) == ["song.temp.mp3"]
    song.rename(tmp_path / "song.mp3")
    assert not arrivals.done(failure(song, "missing"), 6)
    arrivals.seen(tmp_path, 6)
    assert ready(arrivals, 11) == ["song.mp3"]
