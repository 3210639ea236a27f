"""What is known of one file before a model has spoken: its recording and genres, or why it cannot be read."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from genretag.audio.audiofile import DecodedState, changed_error
from genretag.audio.payload import identify
from genretag.audio.remote import RemotePath
from genretag.errors import DecodeError, FileError, TagError
from genretag.store import FileKey, KnownFile, Store
from genretag.tagging import tags
from genretag.tagging.scan import Found

# Failures that follow from the bytes of a file: the same bytes fail again, so they are remembered. Those of
# the audio also spare another analysis. A full disk, a lost worker or a timeout are not among them.
AUDIO_FAILURES = frozenset({"empty", "not-audio", "decode-failed", "too-short", "silent"})
LASTING_FAILURES = AUDIO_FAILURES | {"bad-tags", "too-large", "not-taggable"}


@dataclass(frozen=True)
class Look:
    """One file as it stands: `key` and `known` where it could be looked at, else `error`."""

    path: Path
    key: FileKey | None = None
    known: KnownFile | None = None
    error: FileError | None = None

    @property
    def unread(self) -> bool:
        """Whether the file must still be read."""
        return self.known is None and self.error is None


@dataclass(frozen=True)
class Reading:
    """What a file itself says, wherever it was read; `state` as it stood then, in bytes and nanoseconds.

    Without `known` the file cannot be read, and `error` says why; with it `error` is about its tags.
    """

    known: KnownFile | None
    error: FileError | None = None
    state: tuple[int, int] | None = None


def look(found: Found, store: Store, *, use_cache: bool = True) -> Look:
    """What the store or else the file itself says of its recording and its genres; the store remembers it."""
    begun = begin(found, store, use_cache=use_cache)
    return finish(begun, read(begun.path), store) if begun.unread else begun


def begin(found: Found, store: Store, *, use_cache: bool = True) -> Look:
    """A look as far as it goes without reading the file."""
    path = found.path
    if found.error:
        return Look(path, error=found.error)
    try:
        key = FileKey.of(path.stat())
    except OSError as error:
        return Look(path, error=_unreadable(path, error))
    return Look(path, key, store.known_file(key, path) if use_cache else None)


def finish(begun: Look, reading: Reading, store: Store) -> Look:
    """The look whose file has been read; the store remembers it."""
    if begun.key is not None and reading.known is not None and not _is_current(begun.path, begun.key):
        # Perhaps it only got another mode or name. What is remembered must be of one state.
        begun = begin(Found(begun.path), store, use_cache=False)
        reading = read(begun.path)
        if begun.key is not None and not _is_current(begun.path, begun.key):
            return Look(begun.path, error=FileError.of(changed_error(begun.path)))
    if begun.key is None or reading.known is None:
        return Look(begun.path, error=begun.error or reading.error)
    known = replace(reading.known, error=reading.error) if reading.error else reading.known
    store.remember_file(begun.key, begun.path, known)
    return Look(begun.path, begun.key, known)


def read(path: Path) -> Reading:
    """Recording and genres of a file that the store does not know."""
    try:
        status = path.stat()
        audio_id = identify(path)
        state = tags.read(path)
        if isinstance(path, RemotePath) and path.is_replaced():
            return Reading(None, FileError.of(changed_error(path)))
    except DecodeError as error:
        return _unread(path, FileError.of(error))
    except OSError as error:
        return _unread(path, _unreadable(path, error))
    except TagError as error:
        if error.code == "unreadable":  # the disk or the network, and not what is in the file
            return _unread(path, FileError.of(error))
        return Reading(KnownFile(audio_id, "", False, ()), FileError.of(error), _state(status))
    return Reading(KnownFile(audio_id, state.format, state.taggable, state.genres), None, _state(status))


def look_again(path: Path, key: FileKey, known: KnownFile, store: Store, *, force: bool = False) -> Look:
    """Look at a file again just before it is written.

    Genres and recording are read again if the change time alone differs, or with `force`. A file whose size
    or modification time differs is left to the write, which refuses it.

    Args:
        path: The file.
        key: Its state when `known` was read.
        known: What is known of it.
        store: Remembers what is read.
        force: Read the file although its state is the same.

    Returns:
        The present state and what is known now, or the error: the file cannot be read, or (`changed`) it
        holds another recording.
    """
    try:
        now = FileKey.of(path.stat())
    except OSError as error:
        return Look(path, error=_unreadable(path, error))
    if (now == key and not force) or not now.same_content(key):
        return Look(path, key, known)
    reading = read(path)
    if reading.known is None:
        return Look(path, error=reading.error)
    if reading.known.audio_id != known.audio_id:
        return Look(path, error=FileError("changed", f"{path}: changed since it was analysed; run again"))
    return finish(Look(path, now), reading, store)


def only_ctime_differs(path: Path, key: FileKey) -> bool:
    """Return True if a file has the size and modification time of `key`, but another change time."""
    try:
        now = FileKey.of(path.stat())
    except OSError:
        return False
    return now != key and now.same_content(key)


def error_of(look: Look, decoded: DecodedState | None, error: FileError | None) -> FileError | None:
    """Return the error of an analysis: `changed` if it was not of the file that was looked at."""
    key, known = look.key, look.known
    if decoded is None or key is None or known is None:
        return error
    if decoded.is_of(key.size, key.mtime_ns, known.audio_id, failed=error is not None):
        return error
    return FileError.of(changed_error(look.path))


def state_of(key: FileKey | None, known: KnownFile) -> str:
    """What failed: a recording in a file of this size and age. Another file may hold it undamaged."""
    assert key is not None
    return f"{known.audio_id} {key.size} {key.mtime_ns}"


def audio_failure(store: Store, key: FileKey | None, known: KnownFile) -> FileError | None:
    """Return the remembered reason why this version cannot analyse a file in this state, if there is one."""
    failure = store.cached_failure(state_of(key, known))
    return failure if failure is not None and failure.code in AUDIO_FAILURES else None


def _is_current(path: Path, key: FileKey) -> bool:
    """Return whether a file that has just been read is still the one with this key."""
    try:
        return FileKey.of(path.stat()) == key
    except OSError:
        return False


def _unread(path: Path, error: FileError) -> Reading:
    """Return the reading of a file that cannot be read, or that was replaced on remote storage meanwhile."""
    with suppress(OSError):
        # Ranges of the old version may not exist in the new one.
        if isinstance(path, RemotePath) and path.is_replaced():
            return Reading(None, FileError.of(changed_error(path)))
    return Reading(None, error)


def _state(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> FileError:
    reason = error.strerror or type(error).__name__
    code = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    return FileError(code, f"{path}: cannot be read ({reason})")
