"""The temporary directory of the worker processes: locked while in use, removed by a later run otherwise.

multiprocessing keeps the sockets of its helper process in a temporary directory, which stays behind if this
process is killed. Under multiprocessing's own name it could belong to any program and must not be removed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import stat
import sys
import tempfile
import threading
from multiprocessing import util

from genretag.errors import EngineError

PREFIX = "genretag-pool-"  # short: the path of a socket has about a hundred bytes
LOCK = "lock"
LONGEST_PARENT = 60  # bytes: with the names of the directory and of a socket in it, about a hundred
SHORT_FOLDER = "/tmp"

_mutex = threading.Lock()
_in_use: str | None = None


def use_own_directory() -> None:
    """Make multiprocessing use a locked directory of this process, and remove those of killed processes.

    The first call does it, the others do nothing. On Windows multiprocessing needs no directory. EngineError
    if none can be made.
    """
    global _in_use
    if sys.platform == "win32":
        return
    with _mutex:
        if _in_use is not None:
            return
        try:
            _in_use = _create()
        except OSError as error:
            raise EngineError(
                f"no temporary directory can be made ({error.strerror}); set TMPDIR to one you can write to"
            ) from error
        # What multiprocessing.util.get_temp_dir returns, here and in the processes that are started here.
        getattr(multiprocessing.current_process(), "_config")["tempdir"] = _in_use  # noqa: B009
        util.Finalize(None, shutil.rmtree, (_in_use, True), exitpriority=-100)
    _remove_stale(os.path.dirname(_in_use))


def _parent() -> str | None:
    """Return the folder to make the directory in; None for the usual one.

    The path of a socket has about a hundred bytes, of which a long TMPDIR can leave too few.
    """
    usual = len(os.fsencode(tempfile.gettempdir()))
    return SHORT_FOLDER if usual > LONGEST_PARENT and os.access(SHORT_FOLDER, os.W_OK | os.X_OK) else None


if sys.platform != "win32":

    def _create() -> str:
        import fcntl

        # It gets the name by which it can be removed only when it is locked.
        unlocked = tempfile.mkdtemp(prefix=f".{PREFIX}", dir=_parent())
        lock = os.open(os.path.join(unlocked, LOCK), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with contextlib.suppress(OSError):  # without locks nobody can tell that it is not in use
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder, name = os.path.split(unlocked)
        locked = os.path.join(folder, name[1:])
        os.rename(unlocked, locked)
        return locked  # the lock is held until the process ends

    def _remove_stale(folder: str) -> None:
        """Remove directories of this user's processes that have ended."""
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                if name.startswith(PREFIX):
                    with contextlib.suppress(OSError):
                        _remove_if_unlocked(os.path.join(folder, name))

    def _remove_if_unlocked(path: str) -> None:
        import fcntl

        # Anybody can put links and files into the folder; what is in a directory of ours is ours.
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            status = os.fstat(directory)
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return
            lock = os.open(LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: in use
                shutil.rmtree(path)
            finally:
                os.close(lock)
        finally:
            os.close(directory)
