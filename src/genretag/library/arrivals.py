"""Files that arrive in watched folders: which of them are complete, and which are done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genretag.audio.payload import identify
from genretag.errors import DecodeError
from genretag.store import FileKey
from genretag.tagging.open_files import has_writer
from genretag.tagging.plan import Record
from genretag.tagging.scan import Found, ScanOptions, scan_at

# What browsers, download managers and torrent clients put behind the name of a file that is still coming.
UNDER_WAY = (".part", ".partial", ".crdownload", ".download", ".opdownload", ".aria2", ".!qb", ".!ut", ".tmp")

# Failures of a file that is not complete yet: it is tried again until it is.
ARRIVING = frozenset({"in-use", "incomplete", "changed", "missing"})
# Failures that may be due to the machine (its disk, its memory) instead of the file: RETRIES more attempts.
MAYBE_PASSING = frozenset({
    "io-error", "no-space", "out-of-memory", "timeout", "unreadable", "worker-died",
})  # fmt: skip
RETRIES = 2
SHORTEST_DELAY = 0.5
LONGEST_DELAY = 60.0
# A file that is held up for so long is reported once.
LONG_DELAY = 600.0


@dataclass
class _Waiting:
    """A file that is not ready: its state, and since when (seconds) it has not changed.

    `delay` is how long it must not change, `failures` how often it failed, `record` its last failure, and
    `held_up` since when it would have been ready but for its writer or its failures.
    """

    key: FileKey
    since: float
    delay: float
    failures: int = 0
    record: Record | None = None
    held_up: float | None = None
    reported: bool = False


@dataclass(frozen=True)
class _Done:
    key: FileKey
    audio: str | None


class Arrivals:
    """Files that arrive: report changes (`seen`), get files that are `ready`, report results (`done`).

    A file is ready when it has content, has kept size and time for `settle` seconds, no program has it open
    for writing, and there is no file of a download beside it ("song.mp3.part"). A file that is done is ready
    again only with other audio: neither our own writes nor edits of its tags make it so. A file that changed
    while it was analysed is ready again after the same time, one that could not be read or written after a
    longer time, twice as long after every failure.
    """

    def __init__(self, roots: Iterable[Path], options: ScanOptions, settle: float) -> None:
        self.roots = tuple(roots)
        self.options = options
        self.settle = settle
        self._waiting: dict[Path, _Waiting] = {}
        self._handed_out: dict[Path, _Waiting] = {}
        self._done: dict[Path, _Done] = {}
        self._unlisted: dict[Path, Found | None] = {}

    def seen(
        self,
        path: Path,
        now: float,
        on_folder: Callable[[Path], None] | None = None,
        *,
        event: bool = True,
    ) -> None:
        """Take note of a change of this file, or in this folder and all below it.

        Args:
            path: A file or folder at or below one of the roots; others are ignored.
            now: Seconds of a monotonic clock.
            on_folder: Called with every folder before it is listed.
            event: The file itself has changed: it must keep its state for the full time from now on.
        """
        for root in self.roots:
            if path.is_relative_to(root):
                for found in scan_at(path, root, self.options, on_folder):
                    if found.error is None:
                        self._look(found.path, now, event=event and found.path == path)
                    elif found.error.code != "missing":
                        self._unlisted.setdefault(found.path, found)
                return

    def know(self) -> None:
        """Take the files that exist now for done: only what comes later is wanted."""
        for root in self.roots:
            for found in scan_at(root, root, self.options):
                if found.error is None and (key := _key(found.path)) is not None:
                    self._done[found.path] = _Done(key, None)

    def ready(self, now: float) -> Iterator[Found]:
        """Yield complete files, each once, and folders that cannot be listed; forget deleted files."""
        for path, unlisted in self._unlisted.items():
            if unlisted is not None:
                self._unlisted[path] = None
                yield unlisted
        for path in sorted(self._waiting):
            waiting = self._waiting[path]
            key = _key(path)
            if key is None:
                del self._waiting[path]
            elif key != waiting.key:
                self._waiting[path] = _Waiting(key, now, self.settle)
            elif _under_way(path):
                waiting.since = now
            elif now - waiting.since >= waiting.delay:
                if has_writer(path):
                    waiting.since = now
                    waiting.held_up = now if waiting.held_up is None else waiting.held_up
                    continue
                del self._waiting[path]
                if key.size and not self._same_sound(path, key):
                    self._handed_out[path] = waiting
                    yield Found(path)

    def still_ready(self, path: Path, now: float) -> bool:
        """Check a file that was ready again, right before it is read; one that changed has to wait."""
        waiting = self._handed_out.get(path)
        if waiting is None:  # a folder that cannot be listed
            return True
        key = _key(path)
        if key == waiting.key and not has_writer(path):
            return True
        del self._handed_out[path]
        if key is not None:
            self._waiting[path] = _Waiting(key, now, self.settle)
        return False

    def done(self, record: Record, now: float) -> bool:
        """Take note of the result for a file; False if the result is not final, so not to be reported.

        One that failed for good is tried again when it changes.
        """
        path, code = record.path, _code(record)
        waiting = self._handed_out.pop(path, None)
        key = _key(path)
        if key is None:
            # Renamed or deleted; under its new name it arrives again.
            return code is None
        if waiting is not None and record.status != "written":
            changed = key != waiting.key
            passing = code in MAYBE_PASSING and waiting.failures < RETRIES
            if changed or code in ARRIVING or passing:
                self._wait_again(path, key, waiting, record, now)
                return False
        self._done[path] = _Done(key, None if record.error else record.audio)
        return True

    def held_up(self, now: float) -> Iterator[str]:
        """Yield a sentence for every file that has been held up for ten minutes, each once."""
        for path, waiting in self._waiting.items():
            if waiting.held_up is None or waiting.reported or now - waiting.held_up < LONG_DELAY:
                continue
            waiting.reported = True
            if waiting.record is not None and waiting.record.error is not None:
                yield f"{waiting.record.error.message}; still trying"
            else:
                yield f"{path}: open for writing in another program; tagged once it is closed"

    def unfinished(self) -> tuple[list[Record], int]:
        """Return the failures of files that are tried again, and the number of other files that wait."""
        failures = [waiting.record for waiting in self._waiting.values() if waiting.record is not None]
        return failures, len(self._waiting) - len(failures)

    def _wait_again(self, path: Path, key: FileKey, before: _Waiting, record: Record, now: float) -> None:
        longer: float = max(self.settle, SHORTEST_DELAY) * 2.0 ** min(before.failures, 16)
        self._waiting[path] = _Waiting(
            key,
            now,
            min(longer, max(LONGEST_DELAY, self.settle)),
            before.failures + 1,
            # Of a file that changed, the result of the former state is of no use.
            record if record.error else None,
            now if before.held_up is None else before.held_up,
            before.reported,
        )

    def _look(self, path: Path, now: float, *, event: bool) -> None:
        waiting = self._waiting.get(path)
        if waiting is not None:
            if event:
                waiting.since, waiting.delay = now, self.settle
            return
        key = _key(path)
        done = self._done.get(path)
        if key is not None and (done is None or done.key != key):
            self._waiting[path] = _Waiting(key, now, self.settle)

    def _same_sound(self, path: Path, key: FileKey) -> bool:
        """Return True if a file that was done changed in its tags only."""
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


def _code(record: Record | None) -> str | None:
    return None if record is None or record.error is None else record.error.code


def _key(path: Path) -> FileKey | None:
    try:
        return FileKey.of(path.stat())
    except OSError:
        return None


def _under_way(path: Path) -> bool:
    return any(os.path.lexists(f"{path}{suffix}") for suffix in UNDER_WAY)
