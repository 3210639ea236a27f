"""The temporary directory of worker processes: after a kill, beside another run, beside other programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from command import command_line
from genretag.tempdir import LOCK, PREFIX
from sounds import make_sound

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no sockets in directories")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short path, in which sockets can be made."""
    with tempfile.TemporaryDirectory(prefix="gt", dir="/tmp") as folder:
        yield Path(folder)


def test_a_long_path_leaves_room_for_sockets(tmp_path: Path, song: Path) -> None:
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    run(folder, song)
    assert list(folder.iterdir()) == []


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return make_sound(tmp_path / "a.mp3", 20)


def environment(temporary: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temporary)}


@contextmanager
def held(temporary: Path, song: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A command that is stopped while its worker processes start, and the directory that it has made."""
    before = set(temporary.iterdir())
    process = subprocess.Popen(
        command_line("tag", "--model", "musicnn-msd", "-n", "--no-cache", song),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(temporary),
    )
    try:
        while not (made := [path for path in set(temporary.iterdir()) - before if has_socket(path)]):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        yield process, made[0]
    finally:
        process.kill()
        process.wait()


def has_socket(folder: Path) -> bool:
    return any(path.is_socket() for path in folder.glob("*"))


def run(temporary: Path, song: Path) -> None:
    answer = subprocess.run(
        command_line("tag", "--model", "musicnn-msd", "-n", "--no-cache", song),
        capture_output=True,
        text=True,
        env=environment(temporary),
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


def test_a_killed_run_s_directory_is_removed_by_the_next_and_nothing_else(
    temporary: Path, song: Path, tmp_path: Path
) -> None:
    foreign = temporary / "pymp-abcdefgh"
    foreign.mkdir()
    (foreign / "listener-x").touch()
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / LOCK).touch()
    (temporary / f"{PREFIX}link").symlink_to(outside)
    (temporary / f"{PREFIX}file").touch()
    unlocked = temporary / f"{PREFIX}nolock1"
    unlocked.mkdir(mode=0o700)
    pipe = temporary / f"{PREFIX}pipe"
    pipe.mkdir(mode=0o700)
    os.mkfifo(pipe / "x")
    (pipe / LOCK).symlink_to(outside / LOCK)
    others = set(temporary.iterdir())

    with held(temporary, song) as (process, made):
        assert made.name.startswith(PREFIX)
        assert made.stat().st_mode & 0o777 == 0o700
        assert has_socket(made)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert made.exists()
        with held(temporary, song) as (_, running):
            assert set(temporary.iterdir()) == {*others, running}
            run(temporary, song)
            assert set(temporary.iterdir()) == {*others, running}
            assert has_socket(running)
    run(temporary, song)
    assert set(temporary.iterdir()) == others
    assert (foreign / "listener-x").exists()
    assert (outside / LOCK).exists()


def test_a_directory_of_another_user_is_left_alone(temporary: Path, song: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make files of another user")
    other = temporary / f"{PREFIX}other"
    other.mkdir(mode=0o700)
    (other / LOCK).touch()
    os.chown(other, 65534, 65534)
    run(temporary, song)
    assert set(temporary.iterdir()) == {other}


def test_without_a_directory_to_write_to_there_is_one_line() -> None:
    script = (
        "import sys, tempfile; from genretag import tempdir; from genretag.errors import EngineError\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "try: tempdir.use_own_directory()\n"
        "except EngineError as error: print(error)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, "/tmp/no such folder"], capture_output=True, text=True, check=True
    )
    assert answer.stdout == (
        "no temporary directory can be made (No such file or directory); set TMPDIR to one you can write to\n"
    )
