"""Files that may still be arriving: changed a short while ago, and shorter than their header states."""

from __future__ import annotations

import os
import time
from pathlib import Path

from genretag.audio.completeness import missing_data
from genretag.audio.remote import RemotePath
from genretag.errors import DecodeError, FileError, WriteError
from genretag.tagging.look import LASTING_FAILURES

# A download that stalls for longer is taken for a file that was cut.
RECENT_SECONDS = 3600.0


def missing(path: Path) -> str | None:
    """Return what a file lacks of the audio that its header promises; None if nothing is known to be missing.

    Raises:
        WriteError: The file cannot be read.
    """
    try:
        return missing_data(path)
    except (OSError, DecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a regular file"
        raise WriteError(f"{path}: cannot be read ({reason}); check the disk") from error


def is_recent(path: Path) -> bool:
    """Return True if a file, or its name or mode, changed within the last hour."""
    try:
        status, now = os.stat(path), time.time()
    except OSError:
        return False
    return any(abs(now - changed) < RECENT_SECONDS for changed in (status.st_mtime, status.st_ctime))


def arriving(path: Path, error: FileError) -> FileError:
    """Return the error of a file that cannot be analysed: `incomplete` if it may still be arriving."""
    # What is too large is so by intent, not because a part is missing.
    doubtful = error.code in LASTING_FAILURES - {"too-large"}
    if not doubtful or isinstance(path, RemotePath) or not is_recent(path):
        return error
    try:
        reason = missing(path)
    except WriteError:
        return error
    return error if reason is None else incomplete(path, reason)


def incomplete(path: Path, reason: str) -> FileError:
    """Return the error for a file that may still be arriving."""
    return FileError(
        "incomplete",
        f"{path}: incomplete: {reason}; it changed less than an hour ago and may still be arriving, "
        "so run again later",
    )
