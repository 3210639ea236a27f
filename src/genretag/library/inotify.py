"""Changes in folders as Linux reports them (see man 7 inotify)."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
import time
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_EVENT = struct.Struct("iIII")  # watch descriptor, mask, cookie, length of the name

_CLOSE_WRITE = 0x00000008
_MOVED_FROM = 0x00000040
_MOVED_TO = 0x00000080
_CREATE = 0x00000100
_Q_OVERFLOW = 0x00004000
_IGNORED = 0x00008000
_ONLYDIR = 0x01000000
_ISDIR = 0x40000000
# Reads and single writes are left out: of a file that is written, creating and closing it are enough.
_MASK = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _ONLYDIR
_BUFFER = 1 << 16
_LIMITS = Path("/proc/sys/fs/inotify")


class Inotify:
    """An inotify instance: add folders, one by one, then ask for changes."""

    def __init__(self) -> None:
        """Open the instance.

        Raises:
            OSError: EMFILE if the user has no instance left, ENOSYS if the system has no inotify.
        """
        self._folders: dict[int, bytes] = {}
        self._descriptor = _call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)

    def add(self, folder: Path) -> None:
        """Watch a folder, without the folders below it; a folder that cannot be read is left out.

        Raises:
            OSError: ENOSPC if the user has no watch left, ENOMEM.
        """
        name = os.fsencode(folder)
        try:
            watch = _call("inotify_add_watch", self._descriptor, name, _MASK)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                raise
        else:
            self._folders[watch] = name

    def wait(self, seconds: float) -> list[Path] | None:
        """Return the paths that changed by the end of this time; None if the system has lost some."""
        time.sleep(seconds)
        changed: dict[bytes, None] = {}
        complete = True
        while block := self._read():
            offset = 0
            while offset < len(block):
                watch, mask, _, length = _EVENT.unpack_from(block, offset)
                offset += _EVENT.size + length
                name = block[offset - length : offset].rstrip(b"\0")
                if mask & _Q_OVERFLOW:
                    complete = False
                elif mask & _IGNORED:
                    self._folders.pop(watch, None)
                elif (folder := self._folders.get(watch)) is not None:
                    path = os.path.join(folder, name)
                    if mask & _MOVED_FROM and mask & _ISDIR:
                        self._remove(path)
                    changed[path] = None
        return [Path(os.fsdecode(path)) for path in changed] if complete else None

    def close(self) -> None:
        """Close the instance; this frees its watches."""
        os.close(self._descriptor)

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _BUFFER)
        except BlockingIOError:
            return b""

    def _remove(self, folder: bytes) -> None:
        """Remove the watches of a folder that was renamed: it may have left the tree."""
        below = os.path.join(folder, b"")
        for watch in [at for at, name in self._folders.items() if name == folder or name.startswith(below)]:
            del self._folders[watch]
            try:
                _call("inotify_rm_watch", self._descriptor, watch)
            except OSError as error:
                if error.errno != errno.EINVAL:  # removed by the system already
                    raise


def explain(error: OSError) -> str:
    """Return the cause of a failure of Inotify, with the system setting to change if a limit was reached."""
    if error.errno == errno.ENOSPC:
        return _limit("watches", "max_user_watches", 524_288)
    if error.errno == errno.EMFILE:
        return _limit("instances", "max_user_instances", 1024)
    return f"inotify is not available ({error.strerror})"


def _limit(what: str, name: str, common: int) -> str:
    try:
        limit = int((_LIMITS / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        limit = 0
    higher = max(common, 2 * limit)
    return f"no inotify {what} left; to raise the limit: sudo sysctl fs.inotify.{name}={higher}"


def _call(name: str, *arguments: int | bytes) -> int:
    function = getattr(_LIBC, name, None)
    if function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    result: int = function(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
