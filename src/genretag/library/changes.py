"""Find out what changes in watched folders: notifications of the system, polling, and full scans."""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from genretag.library import inotify
from genretag.library.arrivals import Arrivals
from genretag.mounts import shared_mounts

POLL_SECONDS = 2.0
# Notifications get lost: the system's queue is limited, and so are its watches.
FULL_SCAN_SECONDS = 300.0
# Of the time, at most one part in this many goes into scanning.
REST = 10


class Notifier(Protocol):
    """Notifications of the system about changes in folders."""

    def add(self, folder: Path) -> None:
        """Watch a folder, without those below it. Raises OSError."""

    def wait(self, seconds: float) -> list[Path] | None:
        """Return the paths that changed by the end of this time; None if some are unknown. Raises OSError."""

    def close(self) -> None:
        """Free what the notifier uses."""


class Watchfiles:
    """Notifications on macOS and Windows, by the package watchfiles."""

    def __init__(self, roots: Sequence[Path], seconds: float) -> None:
        import watchfiles

        self._changes = watchfiles.watch(
            *roots,
            watch_filter=None,
            force_polling=False,
            rust_timeout=round(seconds * 1000),
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )

    def add(self, folder: Path) -> None:
        """Do nothing: the folders below the roots are watched already."""

    def wait(self, seconds: float) -> list[Path]:
        """Return the paths that changed; the time to wait is that of the constructor."""
        try:
            return [Path(path) for _, path in next(self._changes)]
        except RuntimeError as error:
            raise OSError(0, str(error)) from error

    def close(self) -> None:
        """Stop watching."""
        self._changes.close()


@dataclass
class Schedule:
    """Times of scans: at least `interval` seconds apart, and further apart if a scan takes long."""

    interval: float
    due: float = 0.0

    def ended(self, started: float, now: float) -> None:
        """Set the time of the next scan after one that ended now."""
        self.due = now + max(self.interval, REST * (now - started))


class FolderWatcher:
    """Passes on to `arrivals` what changes in its folders.

    Folders on disks of this machine are watched by notifications of the system, and scanned every few
    minutes. They are polled if the person wants that, if the file system is shared with other machines, and
    if there are no notifications; `report` gets one line with the cause.
    """

    def __init__(self, arrivals: Arrivals, *, poll: bool, quiet: bool, report: Callable[[str], None]) -> None:
        self.arrivals = arrivals
        self._poll_all = poll
        self._quiet = quiet
        self._report = report
        self._notifier: Notifier | None = None
        self._identities: list[tuple[int, int] | None] = []
        self._polled: list[Path] = []
        self._reported: set[Path] = set()
        self._polls = Schedule(POLL_SECONDS)
        self._scans = Schedule(FULL_SCAN_SECONDS)

    def wait(self, seconds: float) -> None:
        """Wait for this time, then tell `arrivals` of all changes since the last call."""
        identities = _identities(self.arrivals.roots)
        if identities != self._identities:
            self._begin(identities, seconds)
        changed: list[Path] | None = []
        if self._notifier is None:
            time.sleep(seconds)
        else:
            try:
                changed = self._notifier.wait(seconds)
            except OSError as error:
                self._lose_notifier(error)
        now = time.monotonic()
        for path in changed or ():
            self.arrivals.seen(path, now, self._entered)
        if changed is None or now >= self._scans.due:
            self._scan_all()
        elif now >= self._polls.due:
            self._scan(self._polled)
            self._polls.ended(now, time.monotonic())

    def close(self) -> None:
        """Stop watching."""
        if self._notifier is not None:
            self._notifier.close()
            self._notifier = None

    def _begin(self, identities: list[tuple[int, int] | None], seconds: float) -> None:
        """Watch the folders that exist now, and scan them: nothing that arrived before is missed."""
        roots = self.arrivals.roots
        before = self._identities or [None] * len(roots)
        for root, was, now in zip(roots, before, identities, strict=True):
            if was is not None and now is None:
                self._report(f"{root}: has gone; watched again when it is back")
        self._identities = identities
        self.close()
        here = list(self._present())
        if here and not self._poll_all:
            try:
                self._notifier = inotify.Inotify() if sys.platform == "linux" else Watchfiles(here, seconds)
            except OSError as error:
                self._lose_notifier(error)
        self._scan_all()
        if here and not self._quiet:
            self._report(f"watching {', '.join(map(str, here))}; Ctrl-C ends it")

    def _present(self) -> Iterator[Path]:
        for root, identity in zip(self.arrivals.roots, self._identities, strict=True):
            if identity is not None:
                yield root

    def _scan_all(self) -> None:
        """Scan all folders; those that are not watched yet are watched from then on."""
        started = time.monotonic()
        self._polled = [] if self._poll_all else list(self._shared())
        self._scan(self._present())
        if self._poll_all:  # perhaps since this scan
            self._polled = list(self._present())
        now = time.monotonic()
        self._scans.ended(started, now)
        self._polls.ended(started, now)

    def _scan(self, folders: Iterator[Path] | list[Path]) -> None:
        for folder in folders:
            self.arrivals.seen(folder, time.monotonic(), self._entered, event=False)

    def _shared(self) -> Iterator[Path]:
        """Yield folders whose changes the system may not report; the person learns why they are polled."""
        for root in self._present():
            for part, kind in shared_mounts(root).items():
                if any(name.startswith(".") for name in part.relative_to(root).parts):
                    continue
                if part not in self._reported:
                    self._reported.add(part)
                    self._report(
                        f"{part}: on a shared file system ({kind}), where changes by other machines are not "
                        f"reported; polling every {POLL_SECONDS:g} s"
                    )
                yield part

    def _entered(self, folder: Path) -> None:
        """Watch a folder that is about to be listed."""
        if self._notifier is None or any(folder.is_relative_to(part) for part in self._polled):
            return
        try:
            self._notifier.add(folder)
        except OSError as error:
            self._lose_notifier(error)

    def _lose_notifier(self, error: OSError) -> None:
        """Poll from now on: a limit that was reached once is reached again."""
        with suppress(OSError):
            self.close()
        on_linux = sys.platform == "linux"
        cause = (
            inotify.explain(error) if on_linux else f"changes are not reported ({error.strerror or error})"
        )
        self._report(f"polling every {POLL_SECONDS:g} s: {cause}")
        self._poll_all = True
        self._polled = list(self._present())


def _identities(roots: Sequence[Path]) -> list[tuple[int, int] | None]:
    """Return the device and inode of each folder; None if there is no folder of that name."""
    found: list[tuple[int, int] | None] = []
    for root in roots:
        try:
            status = root.stat()
            found.append((status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None)
        except OSError:
            found.append(None)
    return found
