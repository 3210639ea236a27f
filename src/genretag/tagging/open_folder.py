"""Files of one open folder: names resolved in that very folder, without following links.

Whoever may write into a music folder can rename it, or put links in place of files, while somebody with more
rights writes a file in it. Paths would lead elsewhere then; descriptors do not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from pathlib import Path
from types import TracebackType

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class OpenFolder:
    """An open folder; use it in a `with` statement. Names are those of its own entries.

    On systems that cannot open folders, the folder's path is used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        if os.open in os.supports_dir_fd:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _FLAGS)

    def __enter__(self) -> OpenFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def open_regular(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Open a regular file; return its descriptor.

        Raises:
            OSError: It cannot be opened; ELOOP for a link, EINVAL for anything else that is no regular file.
        """
        # Without O_NONBLOCK, opening a pipe waits for its other end.
        wait = getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(self._name(name), flags | wait | _FLAGS, dir_fd=self._descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file", str(self.path / name))
        return descriptor

    def create(self, name: str) -> int:
        """Create a new file that only this user can open; return its descriptor, for reading and writing.

        Raises:
            OSError: It cannot be created; EEXIST if there is anything of that name.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS
        return os.open(self._name(name), flags, 0o600, dir_fd=self._descriptor)

    def lstat(self, name: str) -> os.stat_result:
        """Return the status of an entry, of a link itself. Raises OSError."""
        return os.stat(self._name(name), dir_fd=self._descriptor, follow_symlinks=False)

    def unlink(self, name: str) -> None:
        """Remove a file, or a link itself. Raises OSError."""
        os.unlink(self._name(name), dir_fd=self._descriptor)

    def replace(self, first: str, second: str) -> None:
        """Rename `first` to `second`, whose file is replaced. Raises OSError."""
        if self._descriptor is None:
            os.replace(self._name(first), self._name(second))
        else:
            os.replace(first, second, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def exchange_names(self, first: str, second: str) -> bool:
        """Let two entries swap their names in one step; return False if this file system cannot.

        Linux only (renameat2, since 3.15). Raises OSError.
        """
        call = getattr(_LIBC, "renameat2", None)
        if call is None:
            return False
        folder = _AT_FDCWD if self._descriptor is None else self._descriptor
        names = (os.fsencode(self._name(first)), os.fsencode(self._name(second)))
        if call(folder, names[0], folder, names[1], _RENAME_EXCHANGE) == 0:
            return True
        code = ctypes.get_errno()
        if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM):  # the last in some sandboxes
            return False
        raise OSError(code, os.strerror(code), str(self.path / second))

    def _name(self, name: str) -> str:
        return name if self._descriptor is not None else str(self.path / name)


def descriptor_path(descriptor: int, path: Path) -> Path:
    """Return a path that opens the file of a descriptor, whatever has become of its name.

    Linux only; elsewhere `path` is returned.
    """
    pinned = Path(f"/proc/self/fd/{descriptor}")
    return pinned if sys.platform == "linux" and os.path.exists(pinned) else path
