"""Audio files, opened once for everything: decoders, state and identity all use the same descriptor.

A path may name another file at any moment. What is computed from a file is kept under the identity of its
recording, so that identity and samples must come from the same bytes.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from genretag.audio.payload import identify, identify_open, regular_descriptor
from genretag.audio.remote import RangeReader, RemotePath
from genretag.errors import DecodeError


@dataclass(frozen=True)
class DecodedState:
    """State of the file that was decoded: bytes, nanoseconds, and the identity of its recording.

    On remote storage `mtime_ns` stands for the version, as in `RemotePath.stat`, and `audio_id` is None if
    that is enough to tell one recording from another.
    """

    size: int
    mtime_ns: int
    audio_id: str | None

    def is_of(self, size: int, mtime_ns: int, audio_id: str, *, failed: bool = False) -> bool:
        """Return whether this was decoded from the file, known by these values, that was meant.

        A recording has the same scores in every file, so that its identity is enough. If decoding `failed`,
        the file must be in the same state too: another copy of the recording may be undamaged.
        """
        same_state = (self.size, self.mtime_ns) == (size, mtime_ns)
        same_audio = same_state if self.audio_id is None else self.audio_id == audio_id
        return same_audio and (same_state or not failed)


class LocalFile(io.FileIO):
    """A regular file, open for reading; `failure` is the last error of a read.

    Decoders treat a file that cannot be read any further as one that ends there.
    """

    failure: OSError | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(regular_descriptor(path), "rb")
        self.name = path.name  # FFmpeg uses the extension

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return super().read(-1 if size is None else size)
        except OSError as error:
            self.failure = error
            raise

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failure = error
            raise


ByteSource = LocalFile | RangeReader


def open_bytes(path: Path) -> ByteSource:
    """Open a regular file or one on remote storage. Raises OSError, ValueError, DecodeError."""
    return path.ranges() if isinstance(path, RemotePath) else LocalFile(path)


class AudioFile:
    """An open audio file with the state that it had when it was opened."""

    def __init__(self, path: Path, source: ByteSource) -> None:
        self.path, self.source = path, source
        self._status = os.fstat(source.fileno()) if isinstance(source, LocalFile) else path.stat()
        audio_id = _identity_of(source) if isinstance(source, LocalFile) else None
        self.state = DecodedState(self._status.st_size, self._status.st_mtime_ns, audio_id)

    def require_unchanged(self) -> None:
        """Raise DecodeError if what was read may be of two recordings, or not of the file at the path.

        Codes: `changed`, or `unreadable` if a part of the file could not be read.
        """
        failure = self.source.failure
        try:
            changed = self._has_changed()
        except OSError as error:
            failure, changed = failure or error, False
        if changed:
            raise changed_error(self.path)
        if failure is not None:
            raise _unreadable(self.path, failure)

    def _has_changed(self) -> bool:
        if isinstance(self.path, RemotePath):
            return self._has_new_version(self.path)
        before, now = self._status, os.fstat(self.source.fileno())
        if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            return True
        try:
            if _state(os.stat(self.path)) == _state(before):
                return False
            # Permissions, links or tags may have changed, or bytes of the audio by a program that sets the
            # old time again; or another file has taken the name, perhaps with the same recording.
            return identify(self.path) != self.state.audio_id
        except (FileNotFoundError, NotADirectoryError, DecodeError):
            return True

    def _has_new_version(self, path: RemotePath) -> bool:
        try:
            if (replaced := path.is_replaced()) is not None:
                return replaced
            # Without versions only the bytes tell.
            audio_id = _identity_of(self.source)
            self.state = replace(self.state, audio_id=audio_id)
            return identify(RemotePath(str(path))) != audio_id
        except FileNotFoundError:
            return True


@contextlib.contextmanager
def open_audio(path: Path) -> Iterator[AudioFile]:
    """Open a file for decoding, and check at the end that it did not change.

    Nothing but a regular file is opened, and never waited for. DecodeError, in one line: `missing`,
    `unreadable`, `changed`; an error of the caller's decoding is replaced by one of these if there is one.
    """
    try:
        source = open_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DecodeError(f"{one_line(path)}: no such file", code="missing") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    with source:
        try:
            audio = AudioFile(path, source)
        except OSError as error:
            raise _unreadable(path, error) from None
        try:
            yield audio
        except (DecodeError, OSError):
            audio.require_unchanged()  # its error explains the other one
            raise
        audio.require_unchanged()


def changed_error(path: Path) -> DecodeError:
    """Return the error of a file that is not the one that was looked up, or changed while it was read."""
    return DecodeError(f"{one_line(path)}: changed while it was analysed; run it again", code="changed")


def one_line(path: Path) -> str:
    """A path for a message: its name may hold line breaks."""
    return " ".join(str(path).splitlines())


def _identity_of(source: ByteSource) -> str:
    file = io.BufferedReader(source)
    try:
        return identify_open(file)
    finally:
        file.detach()


def _state(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _unreadable(path: Path, error: Exception) -> DecodeError:
    reason = getattr(error, "strerror", None) or error
    return DecodeError(f"{one_line(path)}: cannot be read ({reason})", code="unreadable")
