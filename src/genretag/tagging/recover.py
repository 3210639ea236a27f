"""After a crash: what interrupted runs left behind is settled, and said in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genretag.database import sync_folder
from genretag.errors import DecodeError, WriteError
from genretag.journal import Journal, Write
from genretag.store import Store
from genretag.tagging.inplace import file_lock, is_half_written, write_into
from genretag.tagging.open_folder import OpenFolder, descriptor_path
from genretag.tagging.write import TEMP_PREFIX, hash_file, sync_file


def recover(store: Store) -> list[str]:
    """Settle the writes of runs whose process is gone; return sentences for the person.

    Temporary copies that the journal names are removed; whether a file is the old one or the new one is told
    by its hash. Where a folder is not there (a drive that is not plugged in), the write waits for the next
    start. Raises StoreError.
    """
    sentences: list[str] = []
    journal = Journal(store)
    with journal.lost_runs() as run_ids:
        for run_id in run_ids:
            findings = [_settle(journal, write) for write in journal.pending(run_id)]
            written = sum(write.state == "done" for write in journal.writes(run_id))
            if written or findings:
                files = f"{written} file{'' if written == 1 else 's'}"
                sentences.append(f"run {run_id} was interrupted; {files} had been written and stay so")
            sentences += findings
    return sentences


def _settle(journal: Journal, write: Write) -> str:
    path = write.path
    if not os.path.isdir(path.parent):
        return (
            f"{path}: it is not known whether run {write.run_id} wrote it, since its folder is not there now"
        )
    if write.state == "prepared" and write.in_place:
        return _settle_in_place(journal, write)
    if write.state == "prepared" and _put_back(write):
        journal.abandoned(write.id, "changed")
        return f"{path}: was put back as others had left it when run {write.run_id} was interrupted"
    was_replaced = write.state == "prepared" and _was_replaced(write)
    if not _remove(write.temp):
        return (
            f"{write.temp}: a temporary copy that an interrupted run left behind cannot be removed; delete it"
        )
    # A killed run may have left a replacement that the next loss of power takes back.
    sync_folder(path.parent)
    if was_replaced:
        journal.done(write.id)
        return f"{path}: had been written whole when run {write.run_id} was interrupted"
    journal.abandoned(write.id, "interrupted")
    return f"{path}: was left as it was when run {write.run_id} was interrupted"


def _settle_in_place(journal: Journal, write: Write) -> str:
    """A file that was being changed itself: as it was, whole, or to be finished from its whole copy."""
    run = f"run {write.run_id} was interrupted"
    try:
        if _content(write.path) not in (write.before_hash, write.after_hash):
            return _finish_half(journal, write, run)
        if _content(write.path) == write.after_hash:
            sync_file(write.path)
            return _end_in_place(journal, write, f"had been written whole when {run}", written=True)
        return _end_in_place(journal, write, f"was left as it was when {run}", written=False)
    except (OSError, DecodeError, WriteError) as error:
        reason = getattr(error, "strerror", None) or error
        return (
            f"{write.path}: cannot be set right now after {run} ({reason}); its whole copy is {write.temp}; "
            "make both writable or free some space, and start genretag again"
        )


def _finish_half(journal: Journal, write: Write, run: str) -> str:
    if _content(write.temp) != write.after_hash:
        journal.abandoned(write.id, "changed")
        return (
            f"{write.path}: is neither what it was nor what it was to become when {run}, and the copy beside "
            "it is gone; look whether it plays, and fetch it from a backup if not"
        )
    if write.path.is_symlink() or not write.path.is_file():
        return _keep_copy(journal, write, run)
    # Through descriptors: a link that somebody puts in place of a name after it was checked leads nowhere.
    with (
        OpenFolder(write.path.parent) as folder,
        _opened(folder, write.path.name) as descriptor,
        _opened(folder, write.temp.name) as copy,
        file_lock(write.path, descriptor),
    ):
        status = os.fstat(descriptor)
        half, whole = descriptor_path(descriptor, write.path), descriptor_path(copy, write.temp)
        if hash_file(whole) != write.after_hash or not _is_half(journal, write, half, whole):
            return _keep_copy(journal, write, run)
        write_into(folder, write.path.name, whole, status)
    return _end_in_place(journal, write, f"was half written when {run}; it is whole now", written=True)


@contextmanager
def _opened(folder: OpenFolder, name: str) -> Iterator[int]:
    descriptor = folder.open_regular(name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _end_in_place(journal: Journal, write: Write, words: str, *, written: bool) -> str:
    if write.temp.name.startswith(TEMP_PREFIX):
        write.temp.unlink(missing_ok=True)
    sync_folder(write.path.parent)
    if written:
        journal.done(write.id)
    else:
        journal.abandoned(write.id, "interrupted")
    return f"{write.path}: {words}"


def _is_half(journal: Journal, write: Write, half: Path, whole: Path) -> bool:
    delta = journal.delta(write.id)
    if delta is None or write.before_hash is None:
        return False
    return is_half_written(half, whole, delta, write.before_hash)


def _keep_copy(journal: Journal, write: Write, run: str) -> str:
    kept = write.temp.with_name(write.temp.name.removeprefix("."))
    if os.path.lexists(kept):
        kept = write.temp
    os.replace(write.temp, kept)
    sync_folder(kept.parent)
    journal.abandoned(write.id, "changed")
    return (
        f"{write.path}: was being written when {run}, and others have changed or moved it since; the whole "
        f"tagged copy is kept as {kept}"
    )


def _put_back(write: Write) -> bool:
    """Whether the copy's name holds what others had put in the file's place just before it was replaced."""
    taken = _content(write.temp) if write.temp.name.startswith(TEMP_PREFIX) else None
    if taken in (None, write.before_hash, write.after_hash) or _content(write.path) != write.after_hash:
        return False
    with suppress(OSError):
        os.replace(write.temp, write.path)
        sync_folder(write.path.parent)
        return True
    return False


def _was_replaced(write: Write) -> bool:
    content, copy = _content(write.path), _content(write.temp)
    if content in (write.before_hash, write.after_hash):
        return content == write.after_hash
    # Changed or moved away since: the copy was used up if its name is gone or holds the old file.
    return copy in (None, write.before_hash)


def _content(path: Path) -> bytes | None:
    """Return the SHA-256 of a regular file; None for anything else, also for a link to one."""
    with suppress(OSError, DecodeError):
        return None if path.is_symlink() else hash_file(path)
    return None


def _remove(temp: Path) -> bool:
    """Remove a temporary copy; False where it is there and cannot be removed."""
    if temp.name.startswith(TEMP_PREFIX):
        try:
            temp.unlink(missing_ok=True)
        except OSError:
            return False
    return True
