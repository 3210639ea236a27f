"""Ctrl-C, SIGTERM and a closed terminal, sent to real processes at many moments."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from command import Command, command_line
from genretag.audio.payload import identify
from genretag.journal import Journal
from genretag.store import Store
from genretag.tagging import tags
from sounds import make_sound

FILES = 40
LINE = "; what was finished is kept, and the same command goes on from here\n"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan for 40 files; what is said of them does not fit into a small pipe that nobody reads."""
    (tmp_path / "music").mkdir()
    song = make_sound(tmp_path / "music" / "00.mp3", 0.5).read_bytes()
    paths = [tmp_path / "music" / f"{number:02}.mp3" for number in range(FILES)]
    for path in paths:
        path.write_bytes(song)
    plan = tmp_path / "plan.jsonl"
    line = {"genres": ["Rock"], "audio": identify(paths[0])}
    plan.write_text("".join(json.dumps({"path": str(path), **line}) + "\n" for path in paths))
    return plan


def written(plan: Path) -> list[Path]:
    return [path for path in sorted((plan.parent / "music").iterdir()) if tags.read(path).genres]


def begun(*arguments: object) -> subprocess.Popen[str]:
    """The command line, when its first file is written; it cannot end before it is read on."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(command_line(*arguments), text=True, stdout=pipe, stderr=pipe, bufsize=1)
    assert process.stdout is not None
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    assert '"status": "' in process.stdout.readline()
    return process


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_the_first_signal_finishes_the_file_under_way_and_says_what_was_done(
    genretag: Command, plan: Path, name: str, code: int
) -> None:
    process = begun("apply", "--json", plan)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    count = 1 + out.count('"written"')
    assert 1 <= count < FILES
    files = "1 file" if count == 1 else f"{count} files"
    assert err == f"genretag: interrupted: {files} done ({count} written){LINE}"
    assert len(written(plan)) == count, "what it said is what it did"
    with Store.open() as store:
        (run,) = Journal(store).runs()
    assert (run.status, run.written, run.failed) == ("interrupted", count, 0)
    assert genretag("apply", "--quiet", plan).code == 0
    assert len(written(plan)) == FILES
    undone = genretag("undo", "2")
    assert undone.code == 0
    assert f"{FILES - count} undone" in undone.err


def test_an_undo_can_be_interrupted_too(genretag: Command, plan: Path) -> None:
    assert genretag("apply", "--quiet", plan).code == 0
    process = begun("undo", "--json")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"done ({1 + out.count('undone')} undone)" in err
    assert genretag("undo", "1").code == 0
    assert written(plan) == []


def test_the_second_signal_ends_at_once(genretag: Command, plan: Path) -> None:
    """While the first waits for the output to be read: nobody reads it, and nobody ever will."""
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    os.write(theirs, bytes(4096 - 100))
    process = subprocess.Popen(command_line("apply", "--json", plan), text=True, stdout=theirs, stderr=-1)
    try:
        while not written(plan):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        time.sleep(0.4)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    finally:
        process.kill()
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 130
    assert (
        err == "genretag: ended at once; what was finished is kept, and the next start clears up the rest\n"
    )
    assert genretag("history").code == 0
    assert not list(plan.parent.rglob(".genretag-*"))
    assert genretag("apply", "--quiet", plan).code == 0


def test_a_signal_passed_on_twice_is_one_request(plan: Path) -> None:
    """`timeout` and others send it to the process and to its group."""
    process = begun("apply", "--json", plan)
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert err.endswith(LINE)


def test_what_is_ignored_stays_ignored(plan: Path) -> None:
    """nohup, or a job in the background of a shell."""
    process = subprocess.Popen(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command_line("apply", "--json", plan)],
        text=True,
        stdout=-1,
        bufsize=1,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert len(written(plan)) == FILES


def wait_until_it_listens(process: subprocess.Popen[str]) -> None:
    """Before its first lines of Python have run nobody can promise anything."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        pytest.skip("no list of handled signals here")
    while not int(status.read_text().split("SigCgt:")[1].split()[0], 16) >> (signal.SIGTERM - 1) & 1:
        time.sleep(0.005)


@pytest.mark.parametrize("seed", range(4))
def test_at_any_moment_it_ends_in_a_line_and_goes_on(genretag: Command, plan: Path, seed: int) -> None:
    """From before the first import to after the last file; every other time twice."""
    name = random.Random(seed).choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    process = subprocess.Popen(command_line("apply", "--json", plan), text=True, stdout=-1, stderr=-1)
    wait_until_it_listens(process)
    time.sleep(0.15 * seed)
    process.send_signal(name)
    if seed % 2:
        time.sleep(0.3)
        process.send_signal(name)
    _, err = process.communicate(timeout=30)
    # The last moments of the interpreter, when all is done, are no longer ours.
    assert process.returncode in (0, 128 + name, -name)
    assert "Traceback" not in err
    # At most that it was interrupted and that it ended at once; a summary may stand before.
    assert sum(line.startswith("genretag: ") for line in err.splitlines()) <= 2
    again = genretag("apply", "--quiet", plan)
    assert again.code == 0
    assert len(written(plan)) == FILES
    assert not list(plan.parent.rglob(".genretag-*"))


def test_a_closed_terminal_ends_it_in_good_order(plan: Path) -> None:
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        command_line("apply", plan), stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=own_terminal
    )
    os.close(theirs)
    os.read(ours, 1)
    while len(written(plan)) < 2:
        time.sleep(0.01)
    os.close(ours)
    # The end of the terminal can be met in writing, before the signal comes.
    assert process.wait(30) in (129, 1)
    with Store.open() as store:
        (run,) = Journal(store).runs()
    assert run.status == "interrupted"
    assert 2 <= run.written < FILES
    assert not list(plan.parent.rglob(".genretag-*"))
