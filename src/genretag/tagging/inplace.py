"""A file made into its tagged copy without a new inode: hard links, birth time and all else of it stay.

In place there is a time in which the file is neither old nor new. So the whole copy lies synced beside it, by
a name that the journal knows, until every byte is written and synced; a stop in between is made good from it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from genretag.audio.payload import open_regular
from genretag.errors import WriteError
from genretag.store import FileKey
from genretag.tagging.delta import old_pieces
from genretag.tagging.open_folder import OpenFolder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

BLOCK = 1 << 20
PAGE = 1 << 12
# Written at once: the crash harness stops between two, so it must not be the whole of a small file.
PIECE = 1 << 14


@contextmanager
def file_lock(path: Path, descriptor: int) -> Iterator[None]:
    """Keep every other genretag, also one with another store, from writing an open file for the block.

    On a file system without such locks nothing is locked.

    Args:
        path: The name to use in the error.
        descriptor: The open file.

    Raises:
        WriteError: `changed`, another process has locked it.
    """
    if fcntl is None:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = f"{path}: another program has locked it; try again when that has ended"
        raise WriteError(message, code="changed") from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL):
            raise
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


class LeftAloneError(WriteError):
    """What has the name of the file now holds nothing of ours: others put or wrote it there."""

    code = "changed"


def write_into(folder: OpenFolder, name: str, copy: Path, expected: os.stat_result | None = None) -> None:
    """Make the content and modification time of a file those of a copy, and sync them.

    What the file grows by is written and synced first: that alone needs room, and if there is none the file
    is cut back to what it was.

    Args:
        folder: The folder of the file.
        name: The name of the file; a link is not followed.
        copy: The copy to read from.
        expected: The state in which the file must be.

    Raises:
        OSError: The file cannot be written.
        LeftAloneError: The file is not as `expected` (nothing was written), or it was moved or replaced
            meanwhile (it is whole then, but has another name).
    """
    target = folder.path / name
    descriptor = folder.open_regular(name, os.O_RDWR)
    with os.fdopen(descriptor, "r+b", buffering=0) as file, open_regular(copy) as whole:
        before, after = os.fstat(file.fileno()), os.fstat(whole.fileno())
        # Reading takes longer than writing what differs, so the state is compared afterwards.
        differences = list(_differences(file, whole, min(before.st_size, after.st_size)))
        if expected is not None and FileKey.of(os.fstat(file.fileno())) != FileKey.of(expected):
            raise LeftAloneError(f"{target}: changed since it was analysed; run again")
        try:
            for at in range(before.st_size, after.st_size, BLOCK):
                whole.seek(at)
                _write(file, at, whole.read(BLOCK))
            if after.st_size > before.st_size:
                os.fsync(file.fileno())
        except BaseException:
            file.truncate(before.st_size)
            _set_times(file, before.st_atime_ns, before.st_mtime_ns)
            raise
        for start, length in differences:
            for at in range(start, start + length, BLOCK):
                _write(file, at, _read(whole, at, min(BLOCK, start + length - at)))
        if after.st_size < before.st_size:
            file.truncate(after.st_size)
        _set_times(file, before.st_atime_ns, after.st_mtime_ns)
        os.fsync(file.fileno())
        with suppress(OSError):
            if os.path.samestat(folder.lstat(name), os.fstat(file.fileno())):
                return
        raise LeftAloneError(f"{target}: was moved or replaced while it was written; scan again")


def _set_times(file: BinaryIO, atime_ns: int, mtime_ns: int) -> None:
    # Only the owner of a file may set its times; others may write it, and its time is then that of the write.
    with suppress(PermissionError):
        os.utime(file.fileno() if os.utime in os.supports_fd else file.name, ns=(atime_ns, mtime_ns))


def is_half_written(target: Path, copy: Path, delta: bytes, before_hash: bytes) -> bool:
    """Whether `target` is what a stop in `write_into` leaves, and nobody else changed it since.

    Then each of its bytes is the one of `copy` or, by `delta`, the one of before at that place; where it had
    grown, a loss of power may have left zeros. Raises OSError.
    """
    digest, at = hashlib.sha256(), 0
    with open_regular(target) as file, open_regular(copy) as whole:
        try:
            for old in old_pieces(copy, delta):
                digest.update(old)
                here, new = file.read(len(old)), whole.read(len(old))
                if not _mixed(here, old, new):
                    return False
                at += len(old)
        except ValueError:
            return False
        sizes = sorted((at, os.fstat(whole.fileno()).st_size))
        if digest.digest() != before_hash or not sizes[0] <= os.fstat(file.fileno()).st_size <= sizes[1]:
            return False
        while here := file.read(BLOCK):
            if not _mixed(here, bytes(len(here)), whole.read(len(here))):
                return False
    return True


def _mixed(here: bytes, old: bytes, new: bytes) -> bool:
    """Whether each byte is the old one or the new one of its place."""
    found, before, after = (np.frombuffer(content, np.uint8) for content in (here, old, new))
    strange = found != before[: len(found)]
    strange[: len(after)] &= found[: len(after)] != after[: len(found)]
    return not strange.any()


def _differences(file: BinaryIO, whole: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges (offset, length), in pages, in which the first `size` bytes of both differ."""
    for start in range(0, size, BLOCK):
        count = min(BLOCK, size - start)
        old, new = (_read(handle, start, count) for handle in (file, whole))
        if old == new:
            continue
        pages = [at for at in range(0, count, PAGE) if old[at : at + PAGE] != new[at : at + PAGE]]
        while pages:
            length = next((n for n, at in enumerate(pages) if at != pages[0] + n * PAGE), len(pages))
            yield start + pages[0], min(length * PAGE, count - pages[0])
            pages = pages[length:]


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    content = file.read(count)
    if len(content) < count:
        raise OSError(errno.EIO, "the file shrank while it was written", file.name)
    return content


def _write(file: BinaryIO, at: int, content: bytes) -> None:
    file.seek(at)
    view = memoryview(content)
    while view:
        view = view[file.write(view[:PIECE]) :]
