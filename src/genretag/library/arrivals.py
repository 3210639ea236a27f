"""Files that arrive in watched folders: which of them are complete, and which were seen to already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genretag.audio.payload import identify
from genretag.errors import DecodeError
from genretag.store import FileKey
from genretag.tagging.plan import Record
from genretag.tagging.scan import Found, ScanOptions, scan_at

# What browsers, download managers and torrent clients put behind the name of a file that is still coming.
UNDER_WAY = (".part", ".partial", ".crdownload", ".download", ".opdownload", ".aria2", ".!qb", ".!ut", ".tmp")


@dataclass(frozen=True)
class _Waiting:
    """A file that arrived: its state when last looked at, and since when (seconds) it has been that."""

    key: FileKey
    since: float


@dataclass(frozen=True)
class _Done:
    key: FileKey
    audio: str | None


class Arrivals:
    """Tell it where something happened (`seen`), ask it now and then what is `ready`, and tell what became
    of that (`done`).

    A file is ready when it has content, has kept size and time for `settle` seconds, and no download's
    file stands beside it ("song.mp3.part"). A file that was done comes again only with other sound: neither
    our own writes nor a person's edits of its tags bring it back.
    """

    def __init__(self, roots: Iterable[Path], options: ScanOptions, settle: float) -> None:
        self.roots = tuple(roots)
        self.options = options
        self.settle = settle
        self._waiting: dict[Path, _Waiting] = {}
        self._done: dict[Path, _Done] = {}

    def seen(self, path: Path, now: float) -> None:
        """Something happened at this file or folder, at the time `now` in seconds."""
        for root in self.roots:
            if path.is_relative_to(root):
                for found in scan_at(path, root, self.options):
                    self._look(found.path, now)
                return

    def know(self) -> None:
        """Take what is there now for done: only what comes later is wanted."""
        for root in self.roots:
            for found in scan_at(root, root, self.options):
                if found.error is None and (key := _key(found.path)) is not None:
                    self._done[found.path] = _Done(key, None)

    def ready(self, now: float) -> Iterator[Found]:
        """Files that are complete, each once; forget those that have gone."""
        for path in sorted(self._waiting):
            waiting = self._waiting[path]
            key = _key(path)
            if key is None:
                del self._waiting[path]
            elif key != waiting.key or _under_way(path):
                self._waiting[path] = _Waiting(key, now)
            elif now - waiting.since >= self.settle:
                del self._waiting[path]
                if key.size and not self._same_sound(path, key):
                    yield Found(path)

    def done(self, record: Record) -> None:
        """What became of a file; one that failed is tried again when it changes."""
        key = _key(record.path)
        if key is not None:
            self._done[record.path] = _Done(key, None if record.error else record.audio)

    def _look(self, path: Path, now: float) -> None:
        key = _key(path)
        done = self._done.get(path)
        if key is not None and (done is None or done.key != key) and path not in self._waiting:
            self._waiting[path] = _Waiting(key, now)

    def _same_sound(self, path: Path, key: FileKey) -> bool:
        """Whether a file that was done changed in its tags only."""
        done = self._done.get(path)
        if done is None or done.audio is None:
            return False
        try:
            same = identify(path) == done.audio
        except (OSError, DecodeError):
            return False
        if same:
            self._done[path] = _Done(key, done.audio)
        return same


def _key(path: Path) -> FileKey | None:
    try:
        return FileKey.of(path.stat())
    except OSError:
        return None


def _under_way(path: Path) -> bool:
    return any(os.path.lexists(f"{path}{suffix}") for suffix in UNDER_WAY)
