"""What is known of one file before a model has spoken: its recording and genres, or why it cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genretag.audio.payload import identify
from genretag.errors import DecodeError, FileError, TagError
from genretag.store import FileKey, KnownFile, Store
from genretag.tagging import tags
from genretag.tagging.scan import Found


@dataclass(frozen=True)
class Look:
    """One file as it stands: `key` and `known` where it could be looked at, else `error`."""

    path: Path
    key: FileKey | None = None
    known: KnownFile | None = None
    error: FileError | None = None


def look(found: Found, store: Store, *, use_cache: bool = True) -> Look:
    """What the store or else the file itself says of its recording and its genres; the store remembers it."""
    path = found.path
    if found.error:
        return Look(path, error=found.error)
    try:
        key = FileKey.of(path.stat())
        known = store.known_file(key) if use_cache else None
        if known is None:
            known = _read(path)
            store.remember_file(key, path, known)
    except DecodeError as error:
        return Look(path, error=FileError.of(error))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        code = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return Look(path, error=FileError(code, f"{path}: cannot be read ({reason})"))
    return Look(path, key, known)


def state_of(key: FileKey | None, known: KnownFile) -> str:
    """What failed: a recording in a file of this size and age. Another file may hold it undamaged."""
    assert key is not None
    return f"{known.audio_id} {key.size} {key.mtime_ns}"


def _read(path: Path) -> KnownFile:
    """Recording and genres of a file that the store does not know. Raises OSError, DecodeError."""
    audio_id = identify(path)
    try:
        state = tags.read(path)
    except TagError as error:
        if error.code == "unreadable":  # the disk or the network, and not what is in the file
            raise DecodeError(str(error), code=error.code) from error
        return KnownFile(audio_id, "", False, (), FileError.of(error))
    return KnownFile(audio_id, state.format, state.taggable, state.genres)
