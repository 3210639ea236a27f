"""Detection of programs that have a file open for writing.

On Linux a read lease is requested (fcntl(2), F_SETLEASE). The kernel refuses it while any process has the
file open for writing, and reports later whether one has tried to open it since. Leases need the file's owner
or CAP_LEASE, and a local file system. Without them, the open files of all processes that this one may inspect
are searched (/proc/PID/fd). Other systems have no such interface: there no writer is ever reported.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genretag.errors import WriteError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Lease:
    """A read lease on an open file, or the attempt to get one.

    Args:
        descriptor: The file, open for reading only, and not open for writing in this process.

    Raises:
        BlockingIOError: A process has the file open for writing.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.granted = _take_lease(descriptor)
        if not self.granted and _open_for_writing_elsewhere(os.fstat(descriptor)):
            raise BlockingIOError(errno.EAGAIN, "open for writing")

    def undisturbed(self) -> bool:
        """Return True if it is certain that no process has opened the file for writing since."""
        return self.granted and fcntl.fcntl(self._descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK

    def release(self) -> None:
        """Give the lease up; a process that waits to open the file for writing goes ahead."""
        if self.granted:
            self.granted = False
            with suppress(OSError):  # the kernel took it back
                fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


@contextmanager
def without_writer(path: Path, descriptor: int) -> Iterator[Lease]:
    """Hold a read lease for the block, if the system grants one.

    Args:
        path: The name to use in the error.
        descriptor: The file, open for reading only.

    Raises:
        WriteError: `in-use`, a process has the file open for writing.
    """
    try:
        lease = Lease(descriptor)
    except BlockingIOError:
        raise in_use(path) from None
    try:
        yield lease
    finally:
        lease.release()


def in_use(path: Path) -> WriteError:
    """Return the error for a file that another program writes."""
    return WriteError(f"{path}: another program has it open for writing; try again later", code="in-use")


def has_writer(path: Path) -> bool:
    """Return True if a process has the file open for writing; False if not, or if that cannot be known."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(os.path.realpath(path), flags)
    except OSError:
        return False
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            Lease(descriptor).release()
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def _take_lease(descriptor: int) -> bool:
    """Take a read lease; return False if this file system or this user cannot have one."""
    if sys.platform != "linux":
        return False
    try:
        # The kernel signals a lease that is to be broken, and SIGIO would end the process. SIGURG is ignored
        # unless somebody handles it.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _open_for_writing_elsewhere(status: os.stat_result) -> bool:
    """Search the open files of all processes that may be inspected."""
    if sys.platform != "linux":
        return False
    with suppress(OSError):
        return any(_writes(pid, status) for pid in os.listdir("/proc") if pid.isdigit())
    return False


def _writes(pid: str, status: os.stat_result) -> bool:
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # another user's process, or one that has ended
        return False
    for number in numbers:
        with suppress(OSError, ValueError, IndexError):
            link = f"/proc/{pid}/fd/{number}"
            # Sockets and pipes have no path, and devices may answer slowly.
            if os.readlink(link).startswith(("/dev/", "/proc/", "/sys/")) or os.readlink(link)[0] != "/":
                continue
            if os.path.samestat(os.stat(link), status) and _flags(pid, number) & os.O_ACCMODE != os.O_RDONLY:
                return True
    return False


def _flags(pid: str, number: str) -> int:
    """Return the flags with which a process opened a file (man 5 proc_pid_fdinfo)."""
    with open(f"/proc/{pid}/fdinfo/{number}", "rb") as lines:
        return next(int(line.split()[1], 8) for line in lines if line.startswith(b"flags:"))
