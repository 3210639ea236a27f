"""`genretag watch` as a process: what arrives is tagged, once, until Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from command import Command, command_line
from genretag.audio.payload import identify
from genretag.errors import FileError
from genretag.store import Store
from genretag.tagging import tags
from genretag.tagging.look import look, state_of
from genretag.tagging.scan import Found
from sounds import make_sound

OPTIONS = ("--settle", "0.3", "--model", "musicnn-msd", "--threshold", "0", "--json")


class Watch:
    """A watcher under way, after the words of `before`; its output is read by threads."""

    def __init__(self, *arguments: object, before: Sequence[str] = ()) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [*before, *command_line("watch", *OPTIONS, *arguments)],
            text=True,
            stdout=pipe,
            stderr=pipe,
            bufsize=1,
        )
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

    def begin(*arguments: object, before: Sequence[str] = ()) -> Watch:
        watches.append(Watch(*arguments, before=before))
        return watches[-1]

    yield begin
    for watch in watches:
        watch.process.kill()
        watch.process.wait()


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """A file to copy from."""
    return make_sound(tmp_path / "song.mp3", 8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to watch."""
    folder = tmp_path / "music"
    folder.mkdir()
    return folder


def in_namespace(*options: str) -> list[str]:
    """Words that start a command in a user namespace of its own, where the system allows that."""
    try:
        done = subprocess.run(
            ["unshare", *options, "true"], capture_output=True, text=True, check=False, timeout=60
        )
    except FileNotFoundError:
        pytest.skip("this system has no `unshare`")
    if done.returncode:
        pytest.skip(f"this system allows no user namespace: {done.stderr.strip()}")
    return ["unshare", *options]


def is_whole(path: Path, song: Path) -> bool:
    """Whether a file has a genre and all the audio of `song`."""
    return bool(tags.read(path).genres) and identify(path) == identify(song)


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows who has a file open")
@pytest.mark.parametrize("how", [(), ("--poll",)])
def test_a_file_is_not_touched_while_a_program_writes_it(
    song: Path, folder: Path, watching: Callable[..., Watch], how: tuple[str, ...]
) -> None:
    content, names = song.read_bytes(), ("one.mp3", "two.mp3")
    watch = watching(*how, folder)
    writers = [(folder / name).open("wb", buffering=0) for name in names]
    for writer in writers:
        writer.write(content[:25000])
    time.sleep(3)  # ten times as long as --settle
    assert watch.out == []
    for writer in writers:
        writer.write(content[25000:50000])
    time.sleep(1)
    for writer in writers:
        writer.write(content[50000:])
        writer.close()
    assert watch.records(2) == dict.fromkeys(names, "written")
    assert all(is_whole(folder / name, song) for name in names)
    assert watch.end() == 0


def test_a_file_that_changes_while_it_is_analysed_is_analysed_again(
    song: Path, folder: Path, watching: Callable[..., Watch]
) -> None:
    content = song.read_bytes()
    watch = watching(folder)
    (folder / "appended.mp3").write_bytes(content[:25000])
    (folder / "replaced.mp3").write_bytes(content[:25000])
    time.sleep(1.2)  # ready, and the model is not loaded yet
    with (folder / "appended.mp3").open("ab") as file:
        file.write(content[25000:])
    shutil.copy(song, folder / "new")
    (folder / "new").rename(folder / "replaced.mp3")
    watch.until(lambda: all(is_whole(folder / name, song) for name in ("appended.mp3", "replaced.mp3")))
    assert watch.end() == 0
    assert "failed" not in "".join(watch.out)


def test_a_file_arrives_under_its_last_name_only(
    song: Path, folder: Path, watching: Callable[..., Watch]
) -> None:
    watch = watching(folder)
    for name in (".song.mp3.Xa81", "song.mp3.part", "song.temp.mp3"):
        shutil.copy(song, folder / name)
        (folder / name).rename(folder / "song.mp3")
    assert watch.records(1) == {"song.mp3": "written"}
    assert is_whole(folder / "song.mp3", song)
    assert watch.end() == 0
    assert len(watch.out) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows who has a file open")
def test_what_is_not_complete_at_the_end_is_reported(
    song: Path, folder: Path, watching: Callable[..., Watch]
) -> None:
    watch = watching(folder)
    with (folder / "half.mp3").open("wb", buffering=0) as writer:
        writer.write(song.read_bytes()[:25000])
        make_sound(folder / "whole.flac", seed=1)
        assert watch.records(1) == {"whole.flac": "written"}
        assert watch.end() == 0
    assert "genretag: 1 file was still arriving, and not tagged; genretag tag does that later\n" in watch.err
    assert (folder / "half.mp3").read_bytes() == song.read_bytes()[:25000]


def test_a_failure_that_may_have_passed_is_not_taken_from_the_store(
    song: Path, folder: Path, watching: Callable[..., Watch]
) -> None:
    path = Path(shutil.copy(song, folder / "song.mp3"))
    with Store.open() as store:
        known = look(Found(path), store)
        assert known.known is not None
        error = FileError("timeout", f"{path}: took too long")
        store.remember_failure(state_of(known.key, known.known), error)
    watch = watching("--initial", folder)
    assert watch.records(1) == {"song.mp3": "written"}
    assert watch.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="inotify belongs to Linux")
@pytest.mark.parametrize(
    ("watches", "instances", "what", "setting"),
    [
        (100, 0, "instances", "max_user_instances"),
        (0, 128, "watches", "max_user_watches"),
        (5, 128, "watches", "max_user_watches"),
    ],
)
def test_folders_are_polled_when_a_limit_of_inotify_is_reached(
    song: Path,
    folder: Path,
    watching: Callable[..., Watch],
    watches: int,
    instances: int,
    what: str,
    setting: str,
) -> None:
    for number in range(12):
        (folder / str(number) / "sub").mkdir(parents=True)
    limits = "/proc/sys/user/max_inotify"
    script = f'echo {watches} > {limits}_watches; echo {instances} > {limits}_instances; exec "$@"'
    watch = watching(folder, before=[*in_namespace("-Ur"), "sh", "-c", script, "sh"])
    shutil.copy(song, folder / "0" / "first.mp3")
    shutil.copy(song, folder / "11" / "sub" / "last.mp3")
    assert watch.records(2) == {"first.mp3": "written", "last.mp3": "written"}
    assert watch.end() == 0
    warnings = [line for line in watch.err if "inotify" in line]
    start = f"genretag: polling every 2 s: no inotify {what} left; to raise the limit: sudo sysctl "
    assert len(warnings) == 1
    assert re.fullmatch(rf"{re.escape(start)}fs\.inotify\.{setting}=\d+\n", warnings[0])


@pytest.mark.skipif(sys.platform != "linux", reason="inotify belongs to Linux")
def test_a_limit_that_is_reached_by_new_folders_is_noticed(
    song: Path, folder: Path, watching: Callable[..., Watch]
) -> None:
    script = 'echo 5 > /proc/sys/user/max_inotify_watches; exec "$@"'
    watch = watching(folder, before=[*in_namespace("-Ur"), "sh", "-c", script, "sh"])
    assert not any("inotify" in line for line in watch.err)
    for number in range(12):
        (folder / str(number)).mkdir()
    watch.until(lambda: any("no inotify watches left" in line for line in watch.err))
    for number in range(12):
        shutil.copy(song, folder / str(number) / f"{number}.mp3")
    assert watch.records(12) == {f"{number}.mp3": "written" for number in range(12)}
    assert watch.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="inotify belongs to Linux")
def test_lost_notifications_lead_to_a_scan(song: Path, folder: Path, watching: Callable[..., Watch]) -> None:
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
    watch = watching(folder)
    watch.process.send_signal(signal.SIGSTOP)
    first, second = folder / "a.txt", folder / "b.txt"
    first.touch()
    for _ in range(queue // 4 + 10):  # of four events each
        first.rename(second)
        second.rename(first)
    shutil.copy(song, folder / "song.mp3")
    watch.process.send_signal(signal.SIGCONT)
    assert watch.records(1) == {"song.mp3": "written"}
    assert watch.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs a user namespace: root may read everything")
def test_a_folder_that_cannot_be_read_is_reported_and_the_others_are_watched(
    song: Path, folder: Path, watching: Callable[..., Watch]
) -> None:
    (folder / "a").mkdir()
    (folder / "a").chmod(0)
    others = "bcdef"
    for name in others:
        (folder / name).mkdir()
    # Without a mapping of users, root has no rights but those of the owner.
    watch = watching(folder, before=in_namespace("-U"))
    assert watch.records(1) == {"a": "failed"}
    for name in others:
        shutil.copy(song, folder / name / f"{name}.mp3")
    assert watch.records(6) == {"a": "failed"} | {f"{name}.mp3": "written" for name in others}
    (folder / "a").chmod(0o700)
    assert watch.end() == 1
