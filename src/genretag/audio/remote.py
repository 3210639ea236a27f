"""Files on remote storage: paths that name them, and readers that fetch only the ranges that are asked for.

fsspec opens them (`s3://`, `gs://`, `https://`, ...); it is imported with the first such path.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genretag.errors import UsageError, install_hint

if sys.platform == "win32":
    from pathlib import WindowsPath as _NativePath
else:
    from pathlib import PosixPath as _NativePath

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
BLOCK = 1 << 15  # bytes; ranges are whole blocks: three seconds of MP3 at 128 kbit/s have one and a half
MOST_AHEAD = 64  # blocks that one range holds where a file is read on and on
KEPT = 512  # blocks that a process remembers: those at hand, of a few files
TRIES = 3  # over HTTP; what opens the other kinds tries again itself
PAUSE = 0.5  # seconds before the second try, twice as long before each further one
# What file systems of fsspec call that which changes with the content, the best first.
_VERSIONS = ("etag", "generation", "md5", "content-md5", "mtime", "lastmodified", "last-modified", "updated",
             "last_modified", "modified")  # fmt: skip
_SEEN = "seen"  # begins the version of a file of which the storage reports none
# These remember every folder they listed, unless they are told not to.
_LISTING = frozenset({"s3", "s3a", "gs", "gcs", "http", "https", "abfs", "az"})


class RemotePath(_NativePath):
    """An address such as `s3://bucket/folder/song.mp3` where a path is expected; it keeps its two slashes.

    It travels with what a listing said of the file, so that nobody has to ask again.
    """

    _url: str
    _state: RemoteState | None

    def __new__(cls, url: str, state: RemoteState | None = None) -> RemotePath:
        self = super().__new__(cls, url)
        self._url, self._state = url, state
        return self

    def __init__(self, url: str, state: RemoteState | None = None) -> None:
        if sys.version_info >= (3, 12):
            super().__init__(url)

    def __reduce__(self) -> tuple[type[RemotePath], tuple[str, RemoteState | None]]:
        return RemotePath, (self._url, self._state)

    def __str__(self) -> str:
        return self._url

    @property
    def parent(self) -> RemotePath:
        return RemotePath(self._url.rstrip("/").rpartition("/")[0])

    def absolute(self) -> RemotePath:
        return self

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Size, and numbers that are others for every address and every version. Raises OSError."""
        state = self.state()
        place, version = _number(self._url), _number(f"{state.version} {state.size}")
        # Mode, inode, device, links, owner, group, size, times.
        numbers = (stat.S_IFREG | 0o444, place, -1, 1, 0, 0, state.size, 0, 0, 0)
        return os.stat_result(numbers, {"st_mtime_ns": version})

    def state(self) -> RemoteState:
        """What the storage says of the file. OSError: there is none, it is a folder, or nobody answers."""
        if self._state is None:
            self._state = RemoteState.of(_asked(self._url, "info"))
        if self._state.folder:
            raise IsADirectoryError(0, "it is a folder", self._url)
        return self._state

    def ranges(self) -> RangeReader:
        """The file, open for reading. Raises OSError."""
        return RangeReader(self._url, self.state())

    def is_replaced(self) -> bool | None:
        """Ask the storage whether it now has another version than the one of `state`.

        Blocks that were fetched as those of a replaced version are dropped: a range that is asked for comes
        from whatever version there is. None if the storage does not report versions. Raises OSError.
        """
        before, now = self.state(), RemotePath(self._url).state()
        if before.size == now.size and not before.is_comparable(now):
            return None
        if before != now:
            _KEPT.drop(self._url, before.version)
        return before != now

    def listing(self) -> Iterator[RemotePath]:
        """What lies in this folder, in name order; of a file the file itself. Raises OSError."""
        if self._state is None:
            self._state = RemoteState.of(_asked(self._url, "info"))
        if not self._state.folder:
            yield self
            return
        base = self._url.rstrip("/")
        entries = [(str(entry["name"]).rstrip("/"), entry) for entry in _asked(self._url, "ls", detail=True)]
        for name, entry in sorted(entries, key=lambda named: named[0]):
            if name not in (base, base.partition("://")[2]):  # an object may have the name of its folder
                yield RemotePath(f"{base}/{name.rpartition('/')[2]}", RemoteState.of(entry))

    @property
    def is_folder(self) -> bool:
        """Whether a listing called it a folder."""
        return self._state is not None and self._state.folder


@dataclass(frozen=True)
class RemoteState:
    """What a storage says of one file: its bytes, and what changes when these do (`version`)."""

    size: int
    version: str
    folder: bool = False

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> RemoteState:
        """From fsspec's description of a file."""
        named = {str(key).lower(): value for key, value in info.items()}
        version = next((f"{key} {named[key]}" for key in _VERSIONS if named.get(key)), None)
        if info.get("type") == "directory":
            return cls(0, "", folder=True)
        if info.get("size") is None:
            raise OSError(0, "the server does not say how long it is, so no part of it can be asked for")
        # A server that says nothing of versions may have another file at every look.
        return cls(int(info["size"]), version or f"{_SEEN} {time.time_ns()}")

    def is_comparable(self, other: RemoteState) -> bool:
        """Return whether both have a version of the same kind; a listing may report another than a query."""
        kind = self.version.partition(" ")[0]
        return kind == other.version.partition(" ")[0] != _SEEN


class RangeReader(io.RawIOBase):
    """A remote file that is read in blocks; `failure` is why one could not be had, whatever came of that.

    Decoders take a file that cannot be read on for one that ends there.
    """

    def __init__(self, url: str, state: RemoteState) -> None:
        self.name = url.rpartition("/")[2]  # decoders look at its ending
        self.failure: OSError | None = None
        self._url, self._state = url, state
        self._place = 0
        self._next, self._ahead = -1, 1

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._state.size}[whence]
        if base + offset < 0:
            raise OSError(22, "a place before the start", self._url)
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._state.size - self._place))
        if count == 0:
            return 0
        block = self._block(self._place // BLOCK)
        piece = block[self._place % BLOCK :][:count]
        view[: len(piece)] = piece
        self._place += len(piece)
        return len(piece)

    def _block(self, number: int) -> bytes:
        key = (self._url, self._state.version, number)
        if (known := _KEPT.get(key)) is not None:
            self._next += number == self._next
            return known
        if self.failure is not None:  # decoders try at other places, and each try may take a minute
            raise self.failure
        # On and on: ever longer ranges, because every request has its delay. Elsewhere: only what is wanted.
        self._ahead = min(2 * self._ahead, MOST_AHEAD) if number == self._next else 1
        wanted = range(number + 1, number + self._ahead)
        beyond = next((other for other in wanted if _KEPT.get((*key[:2], other))), number + self._ahead)
        start, end = number * BLOCK, min(beyond * BLOCK, self._state.size)
        try:
            data: bytes = _asked(self._url, "cat_file", start=start, end=end)
            if len(data) != end - start:
                raise OSError(5, f"{len(data):,} bytes came in place of {end - start:,}", self._url)
        except OSError as error:
            self.failure = error
            raise
        self._next = beyond
        blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
        _KEPT.put({(*key[:2], number + index): block for index, block in enumerate(blocks)})
        return blocks[0]


class _Kept:
    """The blocks last fetched in this process, for whoever opens the same file next."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()

    def get(self, key: tuple[str, str, int]) -> bytes | None:
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
            return self._blocks.get(key)

    def drop(self, url: str, version: str) -> None:
        with self._lock:
            for key in [key for key in self._blocks if key[:2] == (url, version)]:
                del self._blocks[key]

    def put(self, blocks: Mapping[tuple[str, str, int], bytes]) -> None:
        with self._lock:
            self._blocks.update(blocks)
            while len(self._blocks) > self._most:
                self._blocks.popitem(last=False)


_KEPT = _Kept(KEPT)


def place(text: str) -> Path:
    """The path that a person means: an address of remote storage, or a file of this machine."""
    return RemotePath(text) if _URL.match(text) else Path(text)


def require_storage(paths: Iterable[Path]) -> None:
    """UsageError where an address names a kind of storage that cannot be opened here."""
    for path in paths:
        if isinstance(path, RemotePath):
            _storage(str(path))


def _storage(url: str) -> Any:
    """The file system of an address, one for each kind in a process."""
    try:
        import fsspec
    except ImportError:
        raise UsageError(f"{url}: remote storage needs more packages; {install_hint('remote')}") from None
    protocol = url.partition("://")[0].lower()
    options = {"use_listings_cache": False} if protocol in _LISTING else {}
    try:
        return fsspec.core.url_to_fs(url, **options)[0]
    except ImportError:
        raise UsageError(
            f"{url}: {protocol}:// needs a package that is not installed; {install_hint('remote')}"
        ) from None
    except ValueError as error:
        raise UsageError(f"{url}: no storage that fsspec knows ({error})") from None


def _asked(url: str, question: str, **arguments: Any) -> Any:
    """An answer of the storage; OSError, in few words, whatever it raises."""
    tries = TRIES if url.lower().startswith(("http:", "https:")) else 1
    for again in range(tries):
        try:
            return getattr(_storage(url), question)(url, **arguments)
        except (FileNotFoundError, PermissionError):
            raise
        except UsageError as error:
            raise OSError(5, str(error), url) from None
        except MemoryError:
            raise
        except Exception as error:
            # Each kind of storage has its own exceptions for a network that fails.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            if again == tries - 1:
                raise OSError(5, reason, url) from error
        time.sleep(PAUSE * 2**again)
    raise AssertionError


def _number(text: str) -> int:
    """63 bits of a text."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big") >> 1
