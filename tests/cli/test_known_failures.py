"""Failures that earlier runs reported: kept in the records, but not in the exit code."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from command import Command
from genretag.database import FILE_NAME
from genretag.predict.engine import EngineOptions
from genretag.store import Store
from genretag.tagging import tags
from genretag.tagging.scan import scan
from genretag.tagging.tag import Tagging, TagOptions
from hostile_files import patched
from sounds import make_sound

SURE = ("--model", "musicnn-msd", "--threshold", "0", "--top", "2")
Make = Callable[[Path], Path]


def _text(folder: Path) -> Path:
    path = folder / "text.mp3"
    path.write_text("this is no music, it is a text that calls itself a song\n" * 40)
    return path


def _empty(folder: Path) -> Path:
    path = folder / "empty.mp3"
    path.touch()
    return path


def _no_sound(folder: Path) -> Path:
    path = make_sound(folder / "song.m4a", seed=1)
    path.write_bytes(patched(path.read_bytes(), b"stco", 12, ">I", 0xFFFFFF00))
    return path


def _bad_tags(folder: Path) -> Path:
    path = make_sound(folder / "tags.flac", seed=1)
    content = bytearray(path.read_bytes())
    at = content.index(b"Lavf")
    content[at - 4 : at] = b"\xff\xff\xff\x0f"  # the length of the vendor's name
    path.write_bytes(content)
    return path


def _huge_tags(folder: Path) -> Path:
    path = make_sound(folder / "huge.mp3", seed=1)
    tags.write(path, ["x" * (1 << 21)])
    return path


MADE: dict[str, Make] = {
    "not-audio": _text,
    "empty": _empty,
    "decode-failed": _no_sound,
    "silent": lambda folder: make_sound(folder / "silent.flac", level=0),
    "too-short": lambda folder: make_sound(folder / "short.flac", 0.02),
    "not-taggable": lambda folder: make_sound(folder / "song.au", seed=1),
    "bad-tags": _bad_tags,
    "too-large": _huge_tags,
}


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    return folder


def errors(records: list[dict[str, object]]) -> list[object]:
    return [record["error"] for record in records if record["error"]]


@pytest.mark.parametrize("code", MADE)
def test_only_the_first_run_fails_over_bytes(genretag: Command, music: Path, code: str) -> None:
    path = MADE[code](music)
    first = genretag("tag", "--json", *SURE, "--existing", "replace", music)
    assert first.code == 1
    (record,) = first.records
    assert (record["status"], record["error"]["code"], record["error"]["known"]) == ("failed", code, False)

    again = genretag("tag", "--json", *SURE, "--existing", "replace", music)
    assert again.code == 0
    (record,) = again.records
    assert (record["status"], record["error"]["code"], record["error"]["known"]) == ("failed", code, True)

    os.utime(path, (1, 1))
    touched = genretag("tag", "--json", *SURE, "--existing", "replace", music)
    assert touched.code == 1
    assert [error["known"] for error in errors(touched.records)] == [False]  # type: ignore[index]


@pytest.mark.parametrize("code", MADE)
def test_a_named_file_always_counts_and_is_printed(genretag: Command, music: Path, code: str) -> None:
    path = MADE[code](music)
    assert genretag("tag", "-n", *SURE, "--existing", "replace", music).code == 1
    assert genretag("tag", "-n", *SURE, "--existing", "replace", music).code == 0
    link = music.parent / "link"
    link.symlink_to(path)
    for named in (path, link):
        answer = genretag("tag", "--quiet", *SURE, "--existing", "replace", music, named)
        assert answer.code == 1
        assert f"[{code}]" in answer.err
    (record,) = genretag("tag", "--json", *SURE, "--existing", "replace", path).records
    assert record["error"]["known"] is True


def test_a_nightly_run_is_silent_and_an_interactive_one_counts(genretag: Command, music: Path) -> None:
    _text(music)
    make_sound(music / "good.flac", seed=1)
    assert genretag("tag", "--quiet", *SURE, music).code == 1
    nightly = genretag("tag", "--quiet", *SURE, music)
    assert (nightly.code, nightly.out, nightly.err) == (0, "", "")
    shown = genretag("tag", *SURE, music)
    assert shown.code == 0
    assert "1 kept, 1 failed (1 known from earlier runs)" in shown.err
    assert "genretag: [not-audio]" not in shown.err
    assert "--verbose lists these files" in shown.err
    verbose = genretag("tag", "-v", *SURE, music)
    assert verbose.code == 0
    assert "genretag: [not-audio]" in verbose.err

    _empty(music)
    one_more = genretag("tag", "--quiet", *SURE, music)
    assert one_more.code == 1
    assert one_more.err.startswith("genretag: [empty]")
    assert one_more.err.count("\n") == 1


def test_a_list_is_not_the_command_line(genretag: Command, music: Path) -> None:
    names = music.parent / "list.txt"
    names.write_text(f"{_text(music)}\n")
    assert genretag("tag", *SURE, "--files-from", names).code == 1
    assert genretag("tag", *SURE, "--files-from", names).code == 0


@pytest.mark.parametrize("earlier", [("-n",), ("--plan", "plan.jsonl"), ("--by", "album")])
def test_dry_runs_and_plans_are_earlier_runs(
    genretag: Command, music: Path, earlier: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(music.parent)
    _text(music)
    make_sound(music / "song.au", seed=1)
    assert genretag("tag", *earlier, *SURE, music).code == 1
    answer = genretag("tag", "--json", *SURE, music)
    assert answer.code == 0
    assert [error["known"] for error in errors(answer.records)] == [True, True]  # type: ignore[index]


def test_a_plan_keeps_known_and_one_without_it_is_read(genretag: Command, music: Path) -> None:
    make_sound(music / "good.flac", seed=1)
    text, plan = _text(music), music.parent / "plan.jsonl"
    genretag("tag", "-n", *SURE, music)
    assert genretag("tag", "--plan", plan, *SURE, music).code == 0
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    assert [line["error"]["known"] for line in lines if line["path"] == str(text)] == [True]
    for line in lines:
        if line["error"]:
            del line["error"]["known"]
    plan.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert genretag("apply", plan).code == 0
    lines[-1]["error"]["known"] = "yes"
    plan.write_text(json.dumps(lines[-1]))
    answer = genretag("apply", plan)
    assert answer.code == 2
    assert "known (true or false)" in answer.err


def test_errors_of_apply_and_undo_have_the_same_keys(genretag: Command, music: Path) -> None:
    song = make_sound(music / "good.flac", seed=1)
    plan = music.parent / "plan.jsonl"
    genretag("tag", "--plan", plan, *SURE, music)
    assert genretag("apply", plan).code == 0
    song.unlink()
    for arguments in (("apply", "--json", plan), ("undo", "--json")):
        answer = genretag(*arguments)
        assert answer.code == 1
        (record,) = answer.records
        assert record["error"]["code"] == "missing"
        assert record["error"]["known"] is False


def test_an_asked_for_retry_counts(genretag: Command, music: Path) -> None:
    _text(music)
    make_sound(music / "song.au", seed=1)
    genretag("tag", *SURE, music)
    again = genretag("tag", "--json", "--no-cache", *SURE, music)
    assert again.code == 1
    assert [error["known"] for error in errors(again.records)] == [False, False]  # type: ignore[index]
    assert genretag("tag", *SURE, music).code == 0


def test_copies_fail_for_the_first_time_together(genretag: Command, music: Path) -> None:
    for name in ("a.mp3", "b.mp3"):
        shutil.copy2(_text(music), music / name)
    answer = genretag("tag", "--json", *SURE, music)
    assert [error["known"] for error in errors(answer.records)] == [False] * 3  # type: ignore[index]


def test_another_version_tries_again_and_reports_only_what_is_new(genretag: Command, music: Path) -> None:
    _text(music)
    make_sound(music / "song.au", seed=1)
    genretag("tag", *SURE, music)
    store = Path(os.environ["GENRETAG_HOME"]) / FILE_NAME
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE failures SET version = '0'")
    connection.close()
    again = genretag("tag", "--json", *SURE, music)
    assert again.code == 0
    messages = [error["message"] for error in errors(again.records)]  # type: ignore[index]
    assert not [message for message in messages if "as before" in message]
    assert [error["known"] for error in errors(again.records)] == [True, True]  # type: ignore[index]


@pytest.mark.parametrize("code", ["timeout", "worker-died", "out-of-memory", "unreadable"])
def test_remembered_failures_of_the_machine_are_ignored(genretag: Command, music: Path, code: str) -> None:
    make_sound(music / "good.flac", level=0)
    genretag("tag", *SURE, music)
    store = Path(os.environ["GENRETAG_HOME"]) / FILE_NAME
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE failures SET error = ?", (json.dumps([code, "song: given up"]),))
    connection.close()
    answer = genretag("tag", "--json", *SURE, music)
    assert answer.code == 1
    ((error,),) = (errors(answer.records),)
    assert (error["code"], error["known"]) == ("silent", False)  # type: ignore[index]
    genretag("report", "--json", music)


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities and /proc are of Linux")
def test_what_cannot_be_read_is_reported_on_every_run(music: Path) -> None:
    make_sound(music / "song.flac", seed=1).chmod(0)
    folder = music / "closed"
    folder.mkdir()
    folder.chmod(0)
    (music / "disk error.mp3").symlink_to("/proc/self/mem")
    # Without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH permissions hold for root too.
    script = (
        "import ctypes, os, sys; libc = ctypes.CDLL(None); [libc.prctl(24, number) for number in (1, 2)];"
        "os.execv(sys.executable, [sys.executable, '-m', 'genretag', *sys.argv[1:]])"
    )
    line = [sys.executable, "-c", script, "tag", "-n", "--json", "--follow-symlinks", *SURE, str(music)]
    for _ in range(2):
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1, done.stderr
        found = [json.loads(line)["error"] for line in done.stdout.splitlines()]
        assert [(error["code"], error["known"]) for error in found] == [("unreadable", False)] * 3


def stop_workers(path: Path, number: int, times: int) -> None:
    """Send a signal to the worker that has a file open, and to the one that gets the file next."""
    sent: set[int] = set()
    while len(sent) < times:
        time.sleep(0.01)
        for pid in {child.pid for child in multiprocessing.active_children() if child.pid} - sent:
            with suppress(OSError):
                links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
                if str(path) in links:
                    os.kill(pid, number)
                    sent.add(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows which files a process has open")
@pytest.mark.parametrize(
    ("code", "number", "times"), [("worker-died", signal.SIGKILL, 2), ("timeout", signal.SIGSTOP, 1)]
)
def test_a_lost_worker_is_reported_on_every_run(music: Path, code: str, number: int, times: int) -> None:
    with wave.open(str(music / "second.wav"), "wb") as long:
        long.setparams((1, 2, 16000, 0, "NONE", ""))
        long.writeframes(np.random.default_rng(1).bytes(2 * 16000 * 1200))
    engine = EngineOptions(coverage="full", workers=1, timeout=2)
    options = TagOptions("musicnn-msd", write=False, engine=engine)
    for run in range(2):
        make_sound(music / f"{run}.flac", 1, seed=run)
        stopper = threading.Thread(target=stop_workers, args=(music / "second.wav", number, times))
        stopper.start()
        with Store.open() as store, closing(Tagging(options, store).records(scan([music]))) as records:
            assert [next(records).error for _ in range(run + 1)] == [None] * (run + 1)
            (record,) = records
            stopper.join()
            assert record.error is not None
            assert (record.error.code, record.error.known) == (code, False)
            assert store.row("SELECT count(*) FROM failures") == (0,)


def test_a_read_only_file_is_reported_on_every_run(genretag: Command, music: Path) -> None:
    make_sound(music / "song.flac", seed=1).chmod(0o444)
    for _ in range(2):
        answer = genretag("tag", "--json", *SURE, music)
        assert answer.code == 1
        ((error,),) = (errors(answer.records),)
        assert (error["code"], error["known"]) == ("read-only", False)  # type: ignore[index]
