"""Replace one file by a tagged copy, atomically: a crash at any point leaves the old file or the new one.

With `in_place` the file itself is changed into the copy instead: see `inplace`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from genretag.audio.payload import open_regular
from genretag.database import sync_folder
from genretag.errors import GenretagError, WriteError
from genretag.journal import Change, Journal
from genretag.journal_records import COPY_PREFIX
from genretag.store import FileKey
from genretag.tagging.delta import make_delta
from genretag.tagging.inplace import LeftAloneError, file_lock
from genretag.tagging.open_folder import OpenFolder
from genretag.tagging.staged_copy import StagedCopy, Step, plain

TEMP_PREFIX = COPY_PREFIX
# Long "suffixes" are ends of titles; with the rest of the name they must fit into the 255 bytes of a name.
MAX_SUFFIX = 32

_CODES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "no-space"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "read-only"),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), "missing"),
    # A link, or a pipe, in place of the file.
    **dict.fromkeys((errno.ELOOP, errno.EINVAL), "changed"),
    errno.ENAMETOOLONG: "too-long",
}
_HINTS = {
    "no-space": "free some space and run again",
    "read-only": "make the file and its folder writable",
    "missing": "scan the folder again",
    "changed": "another program replaced the file; run again",
    "too-long": "move it up some folders",
}

_HALF = "It may be half written; a whole copy is beside it, and the next start of genretag finishes it"


@dataclass(frozen=True)
class WriteOutcome:
    """The result of one write.

    Attributes:
        path: The file written; behind a symbolic link its target.
        key: The state of the file now.
        changed: False if the new file would have been the old one, so that nothing was done.
        links_broken: Other names of the file (hard links) still have the old content.
        owner_changed: The file belongs to this user now: only root can keep another owner.
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
    """Replace a file by a copy that was edited and checked; its audio must stay the same, bit for bit.

    Whatever fails, the file stays as it was and the copy is removed. Only if a disk fails in the middle of a
    write in place, the copy stays for the next start to finish from.

    Args:
        path: The file. Behind a symbolic link the target is replaced.
        edit: Changes the copy, whose path it gets.
        check: Raises GenretagError if the copy, whose path it gets, is not as it should be.
        expected: The state of the file when `change` was decided.
        change: What the journal keeps. If only the change time differs from `expected`, the recording and
            the genres of the file must be those of `change`.
        journal: The journal of the run `run_id`.
        run_id: A run that is open.
        preserve_mtime: Keep the modification time.
        mtime_ns: Set the modification time, in nanoseconds.
        in_place: Write the content of the copy into the file, so that it stays the same file with all its
            names.

    Raises:
        WriteError: `read-only`, `no-space`, `changed`, `in-use`, `verify-failed`, `missing`, `io-error`.
        GenretagError: What `edit` raised.
        StoreError: The journal cannot be used.
    """
    target = Path(os.path.realpath(path))
    temp = _temp_beside(target)
    with ExitStack() as opened:
        with _reported(path, {temp}):
            folder = opened.enter_context(OpenFolder(target.parent))
            staged = StagedCopy(path, target, temp, folder, expected, change)
            opened.callback(staged.close)
            staged.open_original()
            with suppress(FileNotFoundError):
                # Fails for a path that is too long for the system. Recovery could not use it either.
                temp.lstat()
        write_id = journal.intend(run_id, target, temp, change, staged.status.st_mtime_ns, in_place=in_place)
        try:
            with _reported(path, staged.paths), file_lock(path, staged.original):
                staged.make_copy(edit, check)
                if staged.after == staged.before:
                    folder.unlink(temp.name)
                    # The journal must not say more than a disk keeps: first make the folder durable.
                    sync_folder(target.parent)
                    journal.withdrawn(write_id)
                    return WriteOutcome(target, FileKey.of(staged.status), changed=False)
                if not in_place:
                    staged.copy_metadata()
                if preserve_mtime or mtime_ns is not None:
                    staged.set_mtime(staged.status.st_mtime_ns if mtime_ns is None else mtime_ns)
                os.fsync(staged.copy)
                delta = make_delta(staged.original_path, staged.copy_path)
                if in_place:
                    _require_undo(path, delta)
                    # Before the file itself changes, its copy must be durable by name too.
                    sync_folder(target.parent)
                journal.prepared(write_id, staged.before, staged.after, delta)
                # After the journal, which takes its time: changes by other programs since must be seen.
                key = staged.into_place() if in_place else staged.exchange()
        except BaseException as error:
            _settle_failure(staged, journal, write_id, error, in_place=in_place)
            raise
        sync_folder(target.parent)
        # A write whose old file could not be removed stays open in the journal: the next start removes it.
        if not staged.leftover:
            journal.done(write_id)
        links_broken = staged.status.st_nlink > 1 and not in_place
        return WriteOutcome(target, key, True, links_broken, not staged.owner_kept)


def hash_file(path: Path) -> bytes:
    """Return the SHA-256 of a whole regular file (32 bytes). Raises OSError; DecodeError for other files."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _settle_failure(
    staged: StagedCopy, journal: Journal, write_id: int, error: BaseException, *, in_place: bool
) -> None:
    """Settle a write that was broken off, as far as the files tell what became of it."""
    if in_place:
        if not staged.replacing or staged.original_holds_before() or isinstance(error, LeftAloneError):
            staged.discard(journal, write_id, error)
        elif isinstance(error, WriteError):
            raise WriteError(f"{error}. {_HALF}", code=error.code) from error
    elif not staged.replacing or staged.copy_is_unused():
        staged.discard(journal, write_id, error)
    elif not os.path.lexists(staged.temp):  # interrupted right after the replacement
        sync_folder(staged.target.parent)
        journal.done(write_id)
    # Else interrupted between the two: recovery finds out by their content which file has which name.


def _temp_beside(target: Path) -> Path:
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= MAX_SUFFIX else ""
    return target.with_name(f"{TEMP_PREFIX}{secrets.token_hex(8)}{suffix}")


def sync_file(temp: Path) -> None:
    """Make the content of a file durable. Raises OSError."""
    # Windows flushes only what is open for writing.
    with temp.open("r+b") as file:
        os.fsync(file.fileno())


def _require_undo(path: Path, delta: bytes | None) -> None:
    if delta is None:
        raise WriteError(
            f"{path}: so much of it would change that a stop in the middle could not be made good; "
            "write it without --in-place",
            code="in-place",
        )


@contextmanager
def _reported(path: Path, hidden: set[Path]) -> Iterator[None]:
    """Report errors with the name that a person knows, in place of those of the copy."""
    try:
        yield
    except GenretagError as error:
        raise type(error)(plain(str(error), path, hidden), code=error.code) from error
    except OSError as error:
        code = _CODES.get(error.errno or 0, "io-error")
        hint = _HINTS.get(code, "check the disk")
        raise WriteError(f"{path}: {error.strerror or error}; {hint}", code=code) from error
