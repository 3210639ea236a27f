"""After a crash: what interrupted runs left behind is settled, and said in words."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from genretag.journal import Journal, Write
from genretag.store import Store
from genretag.tagging.write import TEMP_PREFIX, hash_file


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
    copy_was_there = _remove(write.temp)
    if copy_was_there is None:
        return (
            f"{write.temp}: a temporary copy that an interrupted run left behind cannot be removed; delete it"
        )
    if write.state == "prepared" and _was_replaced(write, copy_was_there):
        journal.done(write.id)
        return f"{path}: had been written whole when run {write.run_id} was interrupted"
    journal.abandoned(write.id, "interrupted")
    return f"{path}: was left as it was when run {write.run_id} was interrupted"


def _remove(temp: Path) -> bool | None:
    """Whether there was a copy to remove; None where it cannot be removed."""
    if not temp.name.startswith(TEMP_PREFIX):
        return False
    try:
        temp.unlink()
    except FileNotFoundError:
        return False
    except OSError:
        return None
    return True


def _was_replaced(write: Write, copy_was_there: bool) -> bool:
    with suppress(OSError):
        content = hash_file(write.path)
        if content in (write.before_hash, write.after_hash):
            return content == write.after_hash
    # Changed or moved away since: the copy was used up if it is gone.
    return not copy_was_there
