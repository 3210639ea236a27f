"""The tagged copy of a file, from its creation beside the file until it takes the file's place."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from genretag.audio.packets import same_audio
from genretag.audio.payload import identify
from genretag.database import sync_folder
from genretag.errors import GenretagError, WriteError
from genretag.journal import Change, Journal
from genretag.store import FileKey
from genretag.tagging import tags
from genretag.tagging.inplace import write_into
from genretag.tagging.metadata import copy_metadata
from genretag.tagging.open_files import in_use, without_writer
from genretag.tagging.open_folder import OpenFolder, descriptor_path

BLOCK = 1 << 20
# Times that other programs may change the file's mode or attributes during one write.
ATTEMPTS = 5

Step = Callable[[Path], None]


class StagedCopy:
    """A file that is open, and its tagged copy.

    Both are read, edited and compared through their descriptors, so that a link that somebody puts in place
    of a name cannot lead to any other file.

    Args:
        path: The name of the file for messages.
        target: The file itself, without links.
        temp: The path of the copy, in the same folder.
        folder: That folder.
        expected: The state of the file when `change` was decided.
        change: The change that the journal keeps.
    """

    def __init__(
        self, path: Path, target: Path, temp: Path, folder: OpenFolder, expected: FileKey, change: Change
    ) -> None:
        self.path, self.target, self.temp = path, target, temp
        self.folder, self.expected, self.change = folder, expected, change
        self.original = self.copy = -1
        self.original_path, self.copy_path = target, temp
        self.before = self.after = b""
        self.copy_id: os.stat_result | None = None
        self.owner_kept = True
        self.replacing = self.leftover = False

    def close(self) -> None:
        """Close both files."""
        if self.original >= 0:
            os.close(self.original)
            self.original = -1
        self._close_copy()

    def _close_copy(self) -> None:
        if self.copy >= 0:
            self.copy_id = os.fstat(self.copy)
            os.close(self.copy)
            self.copy = -1

    @property
    def paths(self) -> set[Path]:
        """The paths of the copy and the original that a person does not know."""
        return {self.temp, self.copy_path, self.original_path} - {self.target}

    # The original

    def open_original(self) -> None:
        """Open the file and refuse what must not be written."""
        self.original = self.folder.open_regular(self.target.name)
        self.original_path = descriptor_path(self.original, self.target)
        self.status = os.fstat(self.original)
        self._require_expected(self.original_path)
        _refuse_read_only(self.path, self.target, self.status)
        with without_writer(self.path, self.original):
            pass

    def _require_expected(self, content: Path) -> None:
        now = FileKey.of(self.status)
        if now == self.expected:
            return
        # Network file systems may renumber a file at any time, and an edit can restore the modification time:
        # then the content decides.
        if not (
            now.same_content(self.expected)
            and identify(content) == self.change.audio_id
            and tags.read(content).raw == self.change.old_raw
        ):
            raise _changed(self.path)

    def _is_original(self, named: os.stat_result) -> bool:
        """Return True if a name leads to the file that was copied; a renumbered one counts by its content."""
        if os.path.samestat(named, self.status):
            return True
        key = FileKey.of(self.status)
        return stat.S_ISREG(named.st_mode) and FileKey.of(named).same_content(key) and self._holds_before()

    def _holds_before(self) -> bool:
        """Return True if the original still has the bytes that were copied."""
        now = os.fstat(self.original)
        return FileKey.of(now).same_content(FileKey.of(self.status)) and _hash(self.original) == self.before

    # The copy

    def make_copy(self, edit: Step, check: Step) -> None:
        """Create the copy, edit it and verify it; `before` and `after` are the hashes."""
        self.copy = self.folder.create(self.temp.name)
        self.copy_path = descriptor_path(self.copy, self.temp)
        self.copy_id = os.fstat(self.copy)
        self.before = _copy(self.original, self.copy)
        self._require_copied_expected()
        try:
            edit(self.copy_path)
            _check(self.path, self.paths, self.copy_path, check)
            same = same_audio(self.original_path, self.copy_path)
        except GenretagError as error:
            raise type(error)(self._plain(str(error)), code=error.code) from error
        if not same:
            self._require_unchanged()
            raise _failed(self.path, "its audio would not be the same")
        self.after = _hash(self.copy)

    def _require_copied_expected(self) -> None:
        """Raise if the file was edited since it was checked, so that `change` may not fit what was copied."""
        now = os.fstat(self.original)
        if FileKey.of(now) != FileKey.of(self.status):
            self.status = now
            self._require_expected(self.copy_path)
            # The edit may also have come after the copy was made.
            self._require_unchanged()

    def _plain(self, message: str) -> str:
        """Return a message with the name that a person knows in place of those of the copy."""
        return plain(message, self.path, self.paths)

    def _require_unchanged(self) -> None:
        if not self._holds_before():
            raise _changed(self.path)

    def copy_metadata(self) -> None:
        """Give the copy the owner, mode and attributes of the original."""
        self.owner_kept = copy_metadata(self.original, self.copy, self.status)

    def set_mtime(self, mtime_ns: int) -> None:
        times = (self.status.st_atime_ns, mtime_ns)
        os.utime(self.copy if os.utime in os.supports_fd else self.temp, ns=times)

    # The exchange

    def exchange(self) -> FileKey:
        """Put the copy in the place of the original; return the new state of the file."""
        for _ in range(ATTEMPTS):
            with without_writer(self.path, self.original) as lease:
                now = os.fstat(self.original)
                if _state(now) == _state(self.status):
                    self._require_names()
                    # Under the name of the file, it would be a file that somebody writes.
                    self._close_copy()
                    self.replacing = True
                    if not self.folder.exchange_names(self.temp.name, self.target.name):
                        if sys.platform == "win32":  # which renames no open file
                            self.close()
                        self.folder.replace(self.temp.name, self.target.name)
                        break
                    try:
                        if not lease.undisturbed():
                            self._require_no_writer()
                        if not self._is_original(self.folder.lstat(self.temp.name)):
                            raise _changed(self.path)
                    except BaseException:
                        self.folder.exchange_names(self.temp.name, self.target.name)
                        raise
                    self._require_copy_in_place()
                    self._remove_temp()
                    break
            # Its mode, owner or attributes changed, it was renamed or got another name; or its content was
            # changed and the modification time restored.
            self._require_unchanged()
            self.status = now
            self.copy_metadata()
            os.fsync(self.copy)
        else:
            raise _changed(self.path)
        return self._new_key()

    def _new_key(self) -> FileKey:
        """Return the state of the file that was put in place, also if it is gone again already."""
        assert self.copy_id is not None
        with suppress(OSError):
            now = self.folder.lstat(self.target.name)
            if self._is_copy(now):
                return FileKey.of(now)
        return replace(FileKey.of(self.copy_id), ctime_ns=None)

    def _is_copy(self, named: os.stat_result) -> bool:
        """Return True if a name leads to the copy; the number of a removed one is given to new files."""
        assert self.copy_id is not None
        same = FileKey.of(named).same_content(FileKey.of(self.copy_id))
        return same and os.path.samestat(named, self.copy_id)

    def _require_copy_in_place(self) -> None:
        """Keep the original under a visible name and raise if its name leads to anything but the copy.

        Another program replaced the copy just before the exchange, or it replaced the file or wrote into it
        just after the exchange.
        """
        try:
            named = self.folder.lstat(self.target.name)
        except OSError:  # somebody removed the new file
            return
        if self._is_copy(named):
            return
        kept = self.temp.with_name(self.temp.name.removeprefix("."))
        self.folder.replace(self.temp.name, kept.name)
        self.replacing = False
        message = f"{self.path}: another program changed it during the write; the old file is kept as {kept}"
        raise WriteError(message, code="changed")

    def _remove_temp(self) -> None:
        """Remove what the name of the copy leads to, if that is possible now."""
        try:
            self.folder.unlink(self.temp.name)
        except OSError:
            self.leftover = True

    def _require_names(self) -> None:
        """Raise if either name no longer leads to its file."""
        if not self.copy_is_unused():
            raise _failed(self.path, "another program removed or replaced it")
        if not self._is_original(self.folder.lstat(self.target.name)):
            raise _changed(self.path)

    def _require_no_writer(self) -> None:
        """Raise if the original was written, or is about to be, while no lease was held."""
        with without_writer(self.path, self.original):
            pass
        self._require_unchanged()

    # In place

    def into_place(self) -> FileKey:
        """Write the content of the copy into the file; return the new state of the file."""
        # The lease must be given up first: this process opens the file for writing itself.
        with without_writer(self.path, self.original) as lease:
            self._require_names()
            # A program that waits for the lease would write at the same time.
            if lease.granted and not lease.undisturbed():
                raise in_use(self.path)
        self.replacing = True
        write_into(self.folder, self.target.name, self.copy_path, self.status)
        if _hash(self.original) != self.after:
            raise WriteError(f"{self.path}: another program wrote into it at the same time", code="changed")
        self._remove_temp()
        return FileKey.of(os.fstat(self.original))

    # After a failure

    def copy_is_unused(self) -> bool:
        """Return True if the name of the copy still leads to the copy."""
        with suppress(OSError):
            return self.copy_id is not None and os.path.samestat(
                self.folder.lstat(self.temp.name), self.copy_id
            )
        return False

    def original_holds_before(self) -> bool:
        """Return True if the file has the bytes of before, whatever its times say."""
        with suppress(OSError):
            return _hash(self.original) == self.before
        return False

    def discard(self, journal: Journal, write_id: int, error: BaseException) -> None:
        """Remove the copy and settle the write."""
        # A copy that cannot be removed stays in the journal: the next start tries again.
        with suppress(OSError):
            with suppress(FileNotFoundError):
                self.folder.unlink(self.temp.name)
            sync_folder(self.temp.parent)
            code = error.code if isinstance(error, GenretagError) else "interrupted"
            journal.abandoned(write_id, code)


def _refuse_read_only(path: Path, target: Path, status: os.stat_result) -> None:
    """Replacing a file needs no right to write it, and root has every right; the owner's setting counts."""
    folder = target.parent
    for what, where, mode in (("it", target, status.st_mode), ("its folder", folder, folder.stat().st_mode)):
        if not mode & 0o222 or not os.access(where, os.W_OK):
            raise WriteError(
                f"{path}: {what} is read-only; make it writable or leave the file out", code="read-only"
            )


def _state(status: os.stat_result) -> tuple[FileKey, int, int, int]:
    """Return everything that must not change while a file is written."""
    return FileKey.of(status), status.st_mode, status.st_uid, status.st_gid


def _changed(path: Path) -> WriteError:
    return WriteError(f"{path}: changed since it was analysed; run again", code="changed")


def _copy(source: int, target: int) -> bytes:
    """Copy the content of one open file into another one; return its SHA-256."""
    digest = hashlib.sha256()
    for block in _blocks(source):
        digest.update(block)
        view = memoryview(block)
        while view:
            view = view[os.write(target, view) :]
    return digest.digest()


def _hash(descriptor: int) -> bytes:
    """Return the SHA-256 of an open file."""
    digest = hashlib.sha256()
    for block in _blocks(descriptor):
        digest.update(block)
    return digest.digest()


def _blocks(descriptor: int) -> Iterator[bytes]:
    os.lseek(descriptor, 0, os.SEEK_SET)
    while block := os.read(descriptor, BLOCK):
        yield block


def _check(path: Path, hidden: set[Path], copy: Path, check: Step) -> None:
    try:
        check(copy)
    except GenretagError as error:
        reason = plain(str(error), path, hidden).removeprefix(f"{path}: ")
        raise _failed(path, reason) from error


def _failed(path: Path, reason: str) -> WriteError:
    message = f"{path}: the tagged copy is not as it should be ({reason}); the file was left as it was"
    return WriteError(message, code="verify-failed")


def plain(message: str, path: Path, hidden: set[Path]) -> str:
    # The longest first: one descriptor's path may be the beginning of another's.
    for name in sorted(map(str, hidden), key=len, reverse=True):
        message = message.replace(name, str(path))
    return message
