"""Where windows of features are read from, batch by batch: files of the cache, or one array in memory."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genretag.errors import FeatureError

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

# Every open map holds a file descriptor, of which a process often may have no more than 1,024.
OPEN_MAPS = 512


class WindowSource(Protocol):
    """A row of windows, all of one shape, that can be read in any order and from any thread."""

    def __len__(self) -> int: ...

    def gather(self, indices: Ints) -> Floats:
        """A copy of the windows at `indices`, in that order: float32 (indices, *shape)."""
        ...


class ArrayWindows:
    """Windows `rows` of an array in memory that several sources may share: float32 (any, *shape)."""

    def __init__(self, array: Floats, rows: Ints) -> None:
        self._array, self._rows = array, rows

    def __len__(self) -> int:
        return len(self._rows)

    def gather(self, indices: Ints) -> Floats:
        return self._array[self._rows[indices]]


@dataclass(frozen=True)
class StoredWindows:
    """A file that holds float32 (count, *shape) in C order from byte `offset` on."""

    path: Path
    offset: int
    count: int
    shape: tuple[int, ...]


class FileWindows:
    """Windows of several files one after the other, `rows` of each; read through memory maps.

    FeatureError where a file is gone or was cut off since.
    """

    def __init__(self, files: Sequence[StoredWindows], rows: Sequence[Ints]) -> None:
        self._files = tuple(files)
        self._shape = files[0].shape
        self._file = np.repeat(np.arange(len(files)), [len(some) for some in rows])
        self._row = np.concatenate(rows)

    def __len__(self) -> int:
        return len(self._row)

    def gather(self, indices: Ints) -> Floats:
        gathered = np.empty((len(indices), *self._shape), np.float32)
        files, rows = self._file[indices], self._row[indices]
        for place, (file, row) in enumerate(zip(files.tolist(), rows.tolist(), strict=True)):
            gathered[place] = _map(self._files[file])[row]
        return gathered


@functools.lru_cache(maxsize=OPEN_MAPS)
def _map(stored: StoredWindows) -> Floats:
    shape = (stored.count, *stored.shape)
    try:
        mapped = np.memmap(stored.path, np.float32, mode="r", offset=stored.offset, shape=shape)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is shorter than it was"
        raise FeatureError(f"{stored.path}: cached features cannot be read ({reason}); start again") from None
    # Indexing a plain array costs a tenth of what indexing a memmap does.
    return np.asarray(mapped)
