"""One file replaced by a tagged copy of itself: a crash at any point leaves the old file or the new one.

Or, where its owner wants that (`in_place`), changed into it: see `inplace`.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from genretag.audio.packets import same_audio
from genretag.audio.payload import identify
from genretag.database import sync_folder
from genretag.errors import GenretagError, WriteError
from genretag.journal import Change, Journal
from genretag.store import FileKey
from genretag.tagging.delta import make_delta
from genretag.tagging.inplace import LeftAloneError, taken, write_into

TEMP_PREFIX = ".genretag-"
BLOCK = 1 << 20
# Long "suffixes" are ends of titles; with the rest of the name they must fit into the 255 bytes of a name.
MAX_SUFFIX = 32

_CODES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "no-space"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "read-only"),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), "missing"),
    errno.ENAMETOOLONG: "too-long",
}
_HINTS = {
    "no-space": "free some space and run again",
    "read-only": "make the file and its folder writable",
    "missing": "scan the folder again",
    "too-long": "move it up some folders",
}

_HALF = "It may be half written; a whole copy lies beside it, and the next start of genretag sets it right"

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2

Step = Callable[[Path], None]


@dataclass(frozen=True)
class WriteOutcome:
    """What became of one write: the file now, and what could not be kept.

    `changed` is False where the new file would have been the old one, so nothing was done. `links_broken`:
    other names of the file (hard links) still show the old content. `owner_changed`: only root could keep it.
    """

    path: Path
    key: FileKey
    changed: bool
    links_broken: bool = False
    owner_changed: bool = False


def safe_write(
    path: Path,
    edit: Step,
    check: Step,
    *,
    expected: FileKey,
    change: Change,
    journal: Journal,
    run_id: int,
    preserve_mtime: bool = False,
    mtime_ns: int | None = None,
    in_place: bool = False,
) -> WriteOutcome:
    """Replace the file at `path` by a copy that `edit` changed and `check` accepted (both get its path).

    `in_place`: write into the file what the copy holds, so that it stays the same file with all its names.

    The sound of the copy must be the same, bit for bit. Behind a symbolic link the target is replaced.
    `mtime_ns` sets the time of change; `preserve_mtime` keeps it. Whatever fails, the file stays as it was,
    the copy goes, and the error is a WriteError (`read-only`, `no-space`, `changed`, `verify-failed`,
    `missing`, `io-error`), the GenretagError of `edit`, or StoreError. Only where a disk fails in the middle
    of a write in place the copy stays, for the next start to finish from.
    """
    target = Path(os.path.realpath(path))
    temp = _temp_beside(target)
    with _reported(path, temp):
        status = _unchanged(path, target, expected, change.audio_id)
        _refuse_read_only(path, target, status)
        with suppress(FileNotFoundError):
            temp.lstat()  # a path that is too long for the system must not get into the journal
    write_id = journal.intend(run_id, target, temp, change, status.st_mtime_ns, in_place=in_place)
    replacing = False
    try:
        with _reported(path, temp), taken(path, target):
            before = _copy(target, temp)
            edit(temp)
            _check(path, temp, check)
            if not same_audio(target, temp):
                _unchanged(path, target, expected, change.audio_id)
                raise _failed(path, "it would not sound the same")
            after = hash_file(temp)
            if after == before:
                temp.unlink()
                # The journal must not say more than a disk keeps: it is told after the folder is safe.
                sync_folder(target.parent)
                journal.withdrawn(write_id)
                return WriteOutcome(target, expected, changed=False)
            owner_kept = in_place or _keep_metadata(target, temp, status)
            if preserve_mtime or mtime_ns is not None:
                os.utime(temp, ns=(status.st_atime_ns, status.st_mtime_ns if mtime_ns is None else mtime_ns))
            sync_file(temp)
            key = FileKey.of(temp.stat())
            delta = make_delta(target, temp)
            if in_place:
                _require_way_back(path, delta)
                # Before the file itself changes, its copy must be safe by name too.
                sync_folder(target.parent)
            journal.prepared(write_id, before, after, delta)
            # After the journal, which takes its time: what others do to the file meanwhile must be seen.
            _unchanged(path, target, expected, change.audio_id)
            replacing = True
            if in_place:
                key = _write_into(path, target, temp, status, after)
            else:
                _replace(path, target, temp, expected, change.audio_id)
    except BaseException as error:
        if in_place:
            if not replacing or _holds(target, before) or isinstance(error, LeftAloneError):
                _discard(journal, write_id, temp, error)
            elif isinstance(error, WriteError):
                raise WriteError(f"{error}. {_HALF}", code=error.code) from error
        elif not replacing or _has_key(temp, key):
            _discard(journal, write_id, temp, error)
        elif not os.path.lexists(temp):  # interrupted right after the replacement
            sync_folder(target.parent)
            journal.done(write_id)
        # Else interrupted between the two: recovery tells by their content which file stands where.
        raise
    sync_folder(target.parent)
    journal.done(write_id)
    return WriteOutcome(target, key, True, status.st_nlink > 1 and not in_place, not owner_kept)


def hash_file(path: Path) -> bytes:
    """SHA-256 of the whole file (32 bytes). Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


# Whether to begin


def _unchanged(path: Path, target: Path, expected: FileKey, audio_id: str) -> os.stat_result:
    status = target.stat()
    now = FileKey.of(status)
    # Network file systems may number a file anew at any time: then its sound has to tell.
    renumbered = (now.size, now.mtime_ns) == (expected.size, expected.mtime_ns)
    if now != expected and not (renumbered and identify(target) == audio_id):
        raise WriteError(f"{path}: changed since it was analysed; run again", code="changed")
    return status


def _refuse_read_only(path: Path, target: Path, status: os.stat_result) -> None:
    """Replacing a file needs no right to write it, and root has every right; what its owner set counts."""
    folder = target.parent
    for what, place, mode in (("it", target, status.st_mode), ("its folder", folder, folder.stat().st_mode)):
        if not mode & 0o222 or not os.access(place, os.W_OK):
            raise WriteError(
                f"{path}: {what} is read-only; make it writable or leave the file out", code="read-only"
            )


def _temp_beside(target: Path) -> Path:
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= MAX_SUFFIX else ""
    return target.with_name(f"{TEMP_PREFIX}{secrets.token_hex(8)}{suffix}")


# The copy


def _copy(target: Path, temp: Path) -> bytes:
    """Copy the file into a new private one; return its SHA-256."""
    digest = hashlib.sha256()
    binary = getattr(os, "O_BINARY", 0)
    descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | binary, 0o600)
    with open(descriptor, "wb") as copy, target.open("rb") as original:
        while block := original.read(BLOCK):
            digest.update(block)
            copy.write(block)
    return digest.digest()


def _check(path: Path, temp: Path, check: Step) -> None:
    try:
        check(temp)
    except GenretagError as error:
        raise _failed(path, str(error).removeprefix(f"{temp}: ")) from error


def _failed(path: Path, reason: str) -> WriteError:
    message = f"{path}: the tagged copy is not as it should be ({reason}); the file was left as it was"
    return WriteError(message, code="verify-failed")


def _keep_metadata(target: Path, temp: Path, status: os.stat_result) -> bool:
    """Give the copy the original's owner, mode and extended attributes; False where the owner is another."""
    owner_kept = True
    if sys.platform != "win32":
        now = temp.stat()
        if (now.st_uid, now.st_gid) != (status.st_uid, status.st_gid):
            owner_kept = _give(temp, status.st_uid, status.st_gid)
    os.chmod(temp, stat.S_IMODE(status.st_mode))
    if sys.platform == "linux":
        _copy_attributes(target, temp)
    return owner_kept


def _give(temp: Path, owner: int, group: int) -> bool:
    """Only root can give a file away; the group can be kept by its members."""
    try:
        os.chown(temp, owner, group)
        return True
    except PermissionError:
        with suppress(PermissionError):
            os.chown(temp, -1, group)
        return False


def _copy_attributes(target: Path, temp: Path) -> None:
    try:
        wanted, there = os.listxattr(target), os.listxattr(temp)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return
        raise
    for name in wanted:
        try:
            os.setxattr(temp, name, os.getxattr(target, name))
        except OSError as error:
            # Labels of a security module are the system's to set; what a person attached must not be lost.
            if not name.startswith("security.") or error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
    for name in set(there) - set(wanted):
        # Inherited from the folder's default access list.
        if name.startswith("system.posix_acl"):
            os.removexattr(temp, name)


def sync_file(temp: Path) -> None:
    """Make the content of a file safe from the loss of power. Raises OSError."""
    # Windows flushes only what is open for writing.
    with temp.open("r+b") as file:
        os.fsync(file.fileno())


def _replace(path: Path, target: Path, temp: Path, expected: FileKey, audio_id: str) -> None:
    """Put the copy in the file's place; WriteError where that was no longer the file that was copied.

    Two names change places, and only then is looked at what stood there: no moment is left for others to
    put a file there that would be lost.
    """
    if not exchange_names(temp, target):
        os.replace(temp, target)
        return
    try:
        _unchanged(path, temp, expected, audio_id)
    except BaseException:
        exchange_names(temp, target)
        raise
    temp.unlink()


def exchange_names(first: Path, second: Path) -> bool:
    """Let two files of one folder change names in one step; False where the system or its disk cannot.

    Linux only (renameat2, since 3.15). Raises OSError.
    """
    call = getattr(_LIBC, "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM):  # the last in some sandboxes
        return False
    raise OSError(code, os.strerror(code), os.fspath(second))


# In place


def _require_way_back(path: Path, delta: bytes | None) -> None:
    if delta is None:
        raise WriteError(
            f"{path}: so much of it would change that a stop in the middle could not be made good; "
            "write it without --in-place",
            code="in-place",
        )


def _write_into(path: Path, target: Path, temp: Path, status: os.stat_result, after: bytes) -> FileKey:
    """Change the file into its copy, look at it, and remove the copy; the file's new key."""
    write_into(target, temp, status)
    if hash_file(target) != after:
        raise WriteError(f"{path}: another program wrote into it at the same time", code="changed")
    key = FileKey.of(target.stat())
    temp.unlink()
    return key


def _holds(target: Path, content: bytes) -> bool:
    with suppress(OSError):
        return hash_file(target) == content
    return False


# When it fails


def _has_key(temp: Path, key: FileKey) -> bool:
    with suppress(OSError):
        return FileKey.of(temp.stat()) == key
    return False


def _discard(journal: Journal, write_id: int, temp: Path, error: BaseException) -> None:
    # A copy that cannot be removed stays in the journal: the next start tries again.
    with suppress(OSError):
        temp.unlink(missing_ok=True)
        sync_folder(temp.parent)
        code = error.code if isinstance(error, GenretagError) else "interrupted"
        journal.abandoned(write_id, code)


@contextmanager
def _reported(path: Path, temp: Path) -> Iterator[None]:
    """Errors that name the file that the person knows, not its copy."""
    try:
        yield
    except GenretagError as error:
        raise type(error)(str(error).replace(str(temp), str(path)), code=error.code) from error
    except OSError as error:
        code = _CODES.get(error.errno or 0, "io-error")
        hint = _HINTS.get(code, "check the disk")
        raise WriteError(f"{path}: {error.strerror or error}; {hint}", code=code) from error
