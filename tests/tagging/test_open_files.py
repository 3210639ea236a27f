"""Writers found by real processes that have a file open."""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from genretag.errors import WriteError
from genretag.tagging.open_files import Lease, has_writer, without_writer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports who has a file open")

PR_SET_DUMPABLE = 4
HOLD = """
import mmap, os, sys
file = open(sys.argv[1], sys.argv[2])
if len(sys.argv) > 3:
    memory = mmap.mmap(file.fileno(), 0)
    file.close()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.mp3"
    path.write_bytes(b"some sound")
    return path


@contextmanager
def held(path: Path, mode: str, *options: str) -> Iterator[None]:
    """Another process that has the file open."""
    command = [sys.executable, "-c", HOLD, str(path), mode, *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield
        process.communicate("")


@pytest.mark.parametrize("mode", ["ab", "r+b"])
def test_a_file_open_for_writing_has_a_writer(song: Path, mode: str) -> None:
    assert not has_writer(song)
    with held(song, mode):
        assert has_writer(song)
    assert not has_writer(song)


def test_a_mapping_counts_after_its_descriptor_was_closed(song: Path) -> None:
    with held(song, "r+b", "mapped"):
        assert has_writer(song)


def test_readers_are_no_writers(song: Path) -> None:
    with held(song, "rb"):
        assert not has_writer(song)


def test_a_descriptor_of_this_process_counts(song: Path) -> None:
    with song.open("ab"):
        assert has_writer(song)


def test_links_lead_to_the_file(song: Path) -> None:
    link = song.with_name("link.mp3")
    link.symlink_to(song)
    with held(song, "ab"):
        assert has_writer(link)


def test_a_missing_file_and_a_pipe_have_no_writer(tmp_path: Path) -> None:
    assert not has_writer(tmp_path / "missing.mp3")
    os.mkfifo(tmp_path / "pipe.mp3")
    assert not has_writer(tmp_path / "pipe.mp3")


def test_the_error_names_the_file(song: Path) -> None:
    descriptor = os.open(song, os.O_RDONLY)
    with (
        held(song, "ab"),
        pytest.raises(WriteError, match="another program has it open") as caught,
        without_writer(song, descriptor),
    ):
        pass
    os.close(descriptor)
    assert caught.value.code == "in-use"


def test_a_program_that_opens_the_file_meanwhile_waits_and_is_noticed(song: Path) -> None:
    """The lease breaks without a signal that ends this process, and the writer goes ahead afterwards."""
    descriptor = os.open(song, os.O_RDONLY)
    with without_writer(song, descriptor) as lease:
        if not lease.granted:
            pytest.skip("no leases on this file system")
        assert lease.undisturbed()
        writer = threading.Thread(target=lambda: song.open("ab").close())
        writer.start()
        while lease.undisturbed():
            writer.join(0.01)
        assert writer.is_alive()
    writer.join(30)
    assert not writer.is_alive()
    os.close(descriptor)


def test_nothing_is_left_of_a_lease_that_was_released(song: Path) -> None:
    descriptor = os.open(song, os.O_RDONLY)
    lease = Lease(descriptor)
    lease.release()
    lease.release()
    assert fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_UNLCK
    os.close(descriptor)


def as_another_user(work: Callable[[], bool]) -> bool:
    """The answer of a child that has neither the file nor root's rights, and so gets no lease."""
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        # A process that changed its user may not look at itself in /proc.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 1)
    return bool(code)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_without_a_lease_the_open_files_of_processes_are_searched(song: Path) -> None:
    for folder in song.parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)
    song.chmod(0o666)

    def with_writer() -> bool:
        with song.open("ab"):
            return has_writer(song)

    def with_reader() -> bool:
        with song.open("rb") as file:
            assert not Lease(file.fileno()).granted
            return has_writer(song)

    assert as_another_user(with_writer)
    assert not as_another_user(with_reader)
