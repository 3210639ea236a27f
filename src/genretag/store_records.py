"""Records of the store: files and their state, what is known of them, and what was computed of recordings."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genretag.errors import FileError


@dataclass(frozen=True)
class FileKey:
    """The identity and state of a file, as far as they are known without reading it.

    `ctime_ns` tells an edit that restored the modification time; it also changes with a rename, a new hard
    link and the file's mode. None: unknown, as for files on remote storage.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int | None = None

    @classmethod
    def of(cls, status: os.stat_result) -> FileKey:
        """Return the key of a file.

        SQLite's integers are signed: device and inode numbers may use all 64 bits, and times before 1678 or
        after 2262 do not fit into 64 bits of nanoseconds. All are taken modulo 2**64.
        """
        ctime: int | None = status.st_ctime_ns  # None where no system reported it
        return cls(
            signed_64(status.st_dev),
            signed_64(status.st_ino),
            status.st_size,
            signed_64(status.st_mtime_ns),
            None if ctime is None else signed_64(ctime),
        )

    def same_content(self, other: FileKey) -> bool:
        """Return True if size and modification time agree, whatever else may differ."""
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)

    def same_file(self, other: FileKey) -> bool:
        """Return True if both are the same inode of the same device."""
        return (self.device, self.inode) == (other.device, other.inode)


@dataclass(frozen=True)
class KnownFile:
    """Information read from a file; `error` is the reason why its tags could not be read."""

    audio_id: str
    format: str
    taggable: bool
    genres: tuple[str, ...]
    error: FileError | None = None


@dataclass(frozen=True)
class CachedScores:
    """Scores of one recording: float32 (labels,), from `n_windows` windows; `duration` in seconds."""

    scores: NDArray[np.float32]
    n_windows: int
    duration: float | None


@dataclass(frozen=True, eq=False)
class CachedEncoding:
    """Output of a frozen encoder for one recording: float32 (windows, width); `duration` in seconds."""

    encoded: NDArray[np.float32]
    duration: float | None


def signed_64(number: int) -> int:
    """Return the number modulo 2**64, as a signed 64-bit integer."""
    return (number & (2**64 - 1)) - ((number & 2**63) << 1)
