"""`genretag watch` as a process: what arrives is tagged, once, until Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command import Command, start
from genretag.tagging import tags
from sounds import make_sound

pytest.importorskip("watchfiles", reason="watchfiles is not installed")
OPTIONS = ("--settle", "0.3", "--model", "musicnn-msd", "--threshold", "0", "--json")


class Watch:
    """A watcher under way; its output is read by threads."""

    def __init__(self, *arguments: object) -> None:
        self.process = start("watch", *OPTIONS, *arguments, bufsize=1)
        self.out: list[str] = []
        self.err: list[str] = []
        self.threads = [
            threading.Thread(target=lines.extend, args=(stream,), daemon=True)
            for lines, stream in ((self.out, self.process.stdout), (self.err, self.process.stderr))
        ]
        for thread in self.threads:
            thread.start()
        self.until(lambda: any("Ctrl-C ends it" in line for line in self.err))

    def until(self, reached: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < end, (self.out, self.err)
            assert self.process.poll() is None, (self.out, self.err)
            time.sleep(0.05)

    def records(self, count: int) -> dict[str, str]:
        self.until(lambda: len(self.out) >= count)
        return {Path(record["path"]).name: record["status"] for record in map(json.loads, self.out)}

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(how)
        code = self.process.wait(60)
        for thread in self.threads:
            thread.join()
        return code


@pytest.fixture
def watching() -> Iterator[Callable[..., Watch]]:
    watches: list[Watch] = []

    def begin(*arguments: object) -> Watch:
        watches.append(Watch(*arguments))
        return watches[-1]

    yield begin
    for watch in watches:
        watch.process.kill()
        watch.process.wait()


def test_what_arrives_is_tagged_once_and_ctrl_c_ends_it(
    genretag: Command, tmp_path: Path, watching: Callable[..., Watch]
) -> None:
    folder, elsewhere = tmp_path / "music", tmp_path / "elsewhere"
    folder.mkdir()
    (elsewhere / "Album").mkdir(parents=True)
    old = make_sound(folder / "old.flac", seed=1)
    make_sound(elsewhere / "Album" / "moved.flac", seed=2)
    watch = watching(folder)

    make_sound(folder / "copied.mp3", seed=1)
    assert watch.records(1) == {"copied.mp3": "written"}
    (elsewhere / "Album").rename(folder / "Album")
    (folder / "broken.mp3").write_text("this is no music, it is a text that calls itself a song\n" * 40)
    assert watch.records(3) == {"copied.mp3": "written", "moved.flac": "written", "broken.mp3": "failed"}
    (folder / "Album").rename(folder / "Renamed")
    make_sound(folder / "Renamed" / "last.m4a", seed=3)
    # The renamed one comes by another name, and has its genre.
    assert watch.records(5) == {
        "copied.mp3": "written",
        "moved.flac": "kept",
        "broken.mp3": "failed",
        "last.m4a": "written",
    }
    time.sleep(2)  # our own writes would have come back by now
    assert len(watch.out) == 5

    assert watch.end() == 1  # one failed
    said = "".join(watch.err)
    assert "3 written, 1 failed, 1 kept" in said
    runs = re.search(r"runs 1 to (\d); take one back with: genretag undo \1\n", said)
    assert runs is not None
    assert "Traceback" not in said
    assert not tags.read(old).genres
    assert tags.read(folder / "Renamed" / "last.m4a").genres
    genretag("undo", runs[1])
    assert not tags.read(folder / "Renamed" / "last.m4a").genres
    assert tags.read(folder / "copied.mp3").genres


def test_what_is_there_already_with_initial_and_a_folder_that_goes_and_comes_back(
    tmp_path: Path, watching: Callable[..., Watch]
) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    name = os.fsdecode(b"\xe9.flac")
    make_sound(folder / name, seed=1)
    watch = watching("--initial", folder)
    assert watch.records(1) == {name: "written"}
    (folder / name).rename(folder / "1.flac")
    assert watch.records(2)["1.flac"] == "kept"
    shutil.rmtree(folder)
    watch.until(lambda: any("has gone" in line for line in watch.err))
    folder.mkdir()
    watch.until(lambda: sum("Ctrl-C ends it" in line for line in watch.err) == 2)
    make_sound(folder / "new.flac", seed=2)
    assert watch.records(3)["new.flac"] == "written"
    assert watch.end(signal.SIGTERM) == 0
    assert "3 files in" in "".join(watch.err)


def test_what_cannot_be_meant_is_refused(genretag: Command, tmp_path: Path) -> None:
    for arguments, said in (
        ((tmp_path / "none",), f"genretag: {tmp_path / 'none'}: no such folder; give one that exists\n"),
        (
            ("--settle", "-1", tmp_path),
            "genretag: --settle -1: give seconds from 0 up, such as 5\n",
        ),
        (("--top", "0", tmp_path), "genretag: --top 0: give a whole number from 1 up\n"),
    ):
        answer = genretag("watch", *arguments)
        assert (answer.code, answer.err) == (2, said)
