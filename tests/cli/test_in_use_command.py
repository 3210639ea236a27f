"""Files that another process has open for writing, and files that may still be arriving."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from command import Command
from genretag.tagging import arriving, tags
from mp4_layouts import make_layout
from sounds import make_sound

SURE = ("--model", "musicnn-msd", "--threshold", "0", "--top", "1", "--existing", "replace")
HOLD = "import sys; file = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports who has a file open")


@pytest.fixture
def song(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    return make_sound(folder / "song.mp3", 3.0)


@contextmanager
def open_elsewhere(path: Path) -> Iterator[None]:
    """Another process has the file open for writing."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield
        process.communicate("")


@on_linux
@pytest.mark.parametrize("options", [(), ("--in-place",)], ids=["exchanged", "in place"])
def test_a_file_in_use_is_left_alone_by_tag_and_undo(
    genretag: Command, song: Path, options: tuple[str, ...]
) -> None:
    before = song.read_bytes()
    with open_elsewhere(song):
        answer = genretag("tag", "--json", *SURE, *options, song)
    assert answer.code == 1
    assert [record["error"]["code"] for record in answer.records] == ["in-use"]
    assert song.read_bytes() == before
    assert genretag("tag", "--json", *SURE, *options, song).records[0]["status"] == "written"
    written = song.read_bytes()
    with open_elsewhere(song):
        answer = genretag("undo", "--json")
    assert (answer.code, answer.records[0]["error"]["code"]) == (1, "in-use")
    assert song.read_bytes() == written
    assert genretag("undo").code == 0
    assert song.read_bytes() == before


@on_linux
def test_a_file_in_use_is_left_alone_by_apply(genretag: Command, song: Path, tmp_path: Path) -> None:
    plan, before = tmp_path / "plan.jsonl", song.read_bytes()
    genretag("tag", "--plan", plan, *SURE, song)
    with open_elsewhere(song):
        answer = genretag("apply", "--json", plan)
    assert (answer.code, answer.records[0]["error"]["code"]) == (1, "in-use")
    assert song.read_bytes() == before
    assert genretag("apply", plan).code == 0


@on_linux
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv")
def test_without_the_right_to_leases_a_writer_is_found(song: Path, tmp_path: Path) -> None:
    os.chown(song, 65534, 65534)
    limited = ["setpriv", "--inh-caps=-all", "--bounding-set=-lease"]
    line = [*limited, sys.executable, "-m", "genretag", "tag", "--json", *SURE, str(song)]
    for code, text in ((1, '"in-use"'), (0, '"written"')):
        with open_elsewhere(song) if code else open(os.devnull):
            done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stderr
        assert text in done.stdout


# Files that are shorter than their header states


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".wma", ".mp3"])
def test_short_files_of_other_formats_are_incomplete(genretag: Command, tmp_path: Path, suffix: str) -> None:
    song = make_sound(tmp_path / f"song{suffix}", 6.0)
    os.truncate(song, song.stat().st_size * 2 // 3)
    before = song.read_bytes()
    for options in ((), ("-n",)):
        answer = genretag("tag", "--json", *SURE, *options, song)
        error = answer.records[0]["error"]
        if suffix in (".wav", ".aiff") or not options:
            assert (answer.code, error["code"], error["known"]) == (1, "incomplete", False)
    assert song.read_bytes() == before


@pytest.mark.parametrize("suffix", [".flac", ".m4a"])
def test_a_short_file_is_incomplete_for_an_hour(
    genretag: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    song = tmp_path / f"song{suffix}"
    # The index first, as in files that can be played while they arrive.
    make_layout(song, "moov first", 6.0) if suffix == ".m4a" else make_sound(song, 6.0)
    os.truncate(song, song.stat().st_size * 2 // 3)
    before = song.read_bytes()
    answer = genretag("tag", "--json", *SURE, song)
    assert (answer.code, answer.records[0]["error"]["code"]) == (1, "incomplete")
    assert song.read_bytes() == before

    now = time.time
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: now() + 2 * arriving.RECENT_SECONDS)
        answer = genretag("tag", "--json", *SURE, song)
    assert (answer.code, answer.records[0]["status"]) == (0, "written")
    assert "shorter than its header states" in answer.err
    assert genretag("tag", "--json", *SURE, song).records[0]["status"] == "unchanged", "it is our own file"
    assert genretag("undo").code == 0, "undo does not wait"
    assert song.read_bytes() == before


def test_a_short_file_that_cannot_be_decoded_is_incomplete(genretag: Command, tmp_path: Path) -> None:
    song = make_sound(tmp_path / "song.m4a", 6.0)
    os.truncate(song, 2000)  # the index of this file is at its end
    answer = genretag("tag", "--json", *SURE, song)
    assert answer.records[0]["error"]["code"] == "incomplete"
    assert answer.records[0]["error"]["known"] is False


# Times that no 64 bits of nanoseconds hold


@pytest.mark.parametrize("year_ns", [-11_644_473_600 * 10**9, 10_413_792_000 * 10**9], ids=["1601", "2300"])
@pytest.mark.parametrize("options", [(), ("--in-place",)], ids=["exchanged", "in place"])
def test_odd_times_are_kept_and_come_back(
    genretag: Command, tmp_path: Path, year_ns: int, options: tuple[str, ...]
) -> None:
    folder = next((root for root in (Path("/dev/shm"), tmp_path) if root.is_dir()), tmp_path)
    music = folder / f"genretag-test-{os.getpid()}"
    music.mkdir()
    try:
        song = make_sound(music / "song.mp3", 2.0)
        os.utime(song, ns=(year_ns, year_ns))
        if song.stat().st_mtime_ns != year_ns:
            pytest.skip("this file system cannot hold the time")
        before = song.read_bytes()
        assert genretag("tag", *SURE, "--preserve-mtime", *options, music).code == 0
        assert song.stat().st_mtime_ns == year_ns
        assert tags.read(song).genres
        assert genretag("tag", *SURE, *options, music).code == 0
        assert genretag("undo").code == 0
        assert song.read_bytes() == before
        assert song.stat().st_mtime_ns == year_ns
    finally:
        shutil.rmtree(music)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv")
def test_a_file_of_another_owner_is_reported_as_it_became(song: Path) -> None:
    os.chown(song, 65534, 0)
    song.chmod(0o664)
    limited = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", sys.executable, "-m", "genretag"]

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        line = [*limited, *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)

    before = song.read_bytes()
    done = run("tag", "--in-place", *SURE, song)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("written")
    assert song.stat().st_uid == 65534
    assert run("undo").returncode == 0
    assert song.read_bytes() == before
    done = run("tag", *SURE, song)
    assert done.returncode == 0
    assert "belonged to another user and is now yours" in done.stderr
    assert song.stat().st_uid == 0
