"""Find out if a program has a file open for writing (Linux only)."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path


def has_writer(path: Path) -> bool:
    """Return True if a program on this machine has the file open for writing.

    False if there is none, and if it cannot be found out: on other systems than Linux, for programs on other
    machines, and for programs of other users if the file belongs to another user as well.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        descriptor = os.open(
            os.path.realpath(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        )
    except OSError:
        return False
    try:
        # If a program opens the file while the lease is held, the kernel sends a signal: one that is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, 23)  # SIGURG
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN or _open_in_proc(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    return False


def _open_in_proc(status: os.stat_result) -> bool:
    """Search the descriptors of all processes that may be inspected."""
    for process in filter(str.isdigit, os.listdir("/proc")):
        folder = f"/proc/{process}/fd"
        try:
            descriptors = os.listdir(folder)
        except OSError:
            continue
        for number in descriptors:
            try:
                if not os.path.samestat(os.stat(f"{folder}/{number}"), status):
                    continue
                with open(f"/proc/{process}/fdinfo/{number}", encoding="ascii") as info:
                    flags = next(int(line.split()[1], 8) for line in info if line.startswith("flags:"))
            except (OSError, StopIteration):
                continue
            if flags & os.O_ACCMODE != os.O_RDONLY:
                return True
    return False
