"""From the paths that a person names to the audio files behind them."""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from genretag.audio.remote import RemotePath, place
from genretag.errors import FileError, ScanError, UsageError

# What a folder is searched for; a file named on the command line is tried whatever its suffix.
AUDIO_SUFFIXES = frozenset({
    ".aac", ".aif", ".aifc", ".aiff", ".ape", ".asf", ".au", ".dsf", ".flac", ".m4a", ".m4b", ".m4r", ".mp+",
    ".mp2", ".mp3", ".mp4", ".mpc", ".mpp", ".oga", ".ogg", ".opus", ".snd", ".spx", ".tta", ".wav", ".wma",
    ".wv",
})  # fmt: skip
# A folder that holds a file of this name is left out, with all that is below it.
MARKER = ".genretagignore"
# Bytes of a path in a list; no system knows longer ones.
LONGEST_PATH = 1 << 17

_HINTS = {
    errno.ELOOP: "its links lead round in a circle",
    errno.ENAMETOOLONG: "move it up some folders, or give it a shorter name",
    errno.EIO: "check the disk",
}


@dataclass(frozen=True)
class Found:
    """One file to look at, or one path that could not be looked at (`error`)."""

    path: Path
    error: FileError | None = None


@dataclass(frozen=True)
class ScanOptions:
    """What a scan leaves out and whether it walks through links."""

    exclude: tuple[str, ...] = ()
    follow_symlinks: bool = False
    suffixes: frozenset[str] = field(default=AUDIO_SUFFIXES)


def scan(paths: Iterable[Path], options: ScanOptions | None = None) -> Iterator[Found]:
    """Audio files below `paths`, in name order within a folder, each file once.

    Folders are searched for known suffixes; hidden entries and folders with a `.genretagignore` file are
    passed over. Links inside folders are followed only with `follow_symlinks`; a folder is never entered
    twice, so a loop of links ends. A path that is not there, is no regular file, or cannot be listed comes
    back as `Found.error`.
    """
    walk = _Walk(options or ScanOptions())
    for path in paths:
        yield from walk.start(path)


def scan_at(
    path: Path, root: Path, options: ScanOptions, on_folder: Callable[[Path], None] | None = None
) -> Iterator[Found]:
    """Yield what `scan([root])` finds at or below `path`, a path under `root`, without walking the rest.

    `on_folder` is called with every folder before it is listed.
    """
    yield from _Walk(options, on_folder).at(path, root)


def read_file_list(source: BinaryIO, *, nul: bool) -> Iterator[Path]:
    """Paths from a list: a line each, or NUL-separated; any bytes but the separator may stand in a name.

    Raises UsageError where a path is longer than any can be: then it is no such list.
    """
    separator = b"\0" if nul else b"\n"
    rest = b""
    while block := source.read(65536):
        *whole, rest = (rest + block).split(separator)
        yield from _paths(whole, nul)
        if len(rest) > LONGEST_PATH:
            kind = "separated by NUL" if nul else "of one path a line (-0 reads what find -print0 makes)"
            raise UsageError(
                f"the list of --files-from holds a path of more than 128 KiB; give a list {kind}"
            )
    yield from _paths([rest], nul)


def require_any(paths: list[Path]) -> None:
    """Refuse to start when none of the named paths exists."""
    if paths and not any(isinstance(path, RemotePath) or os.path.lexists(path) for path in paths):
        names = ", ".join(str(path) for path in paths[:3])
        raise ScanError(f"{names}: no such file or folder; check the spelling")


def _paths(names: list[bytes], nul: bool) -> Iterator[Path]:
    for name in names:
        name = name if nul else name.removesuffix(b"\r")
        if name:
            yield place(os.fsdecode(name))


class _Walk:
    """One scan: remembers which folders it entered and which files it met."""

    def __init__(self, options: ScanOptions, on_folder: Callable[[Path], None] | None = None) -> None:
        self.options = options
        self.on_folder = on_folder
        self.entered: set[tuple[int, int]] = set()
        # Hashes of real paths, not the paths: a list of a million files must not fill the memory.
        self.met: set[int] = set()

    def start(self, path: Path) -> Iterator[Found]:
        if isinstance(path, RemotePath):
            yield from self.remote(path)
            return
        try:
            status = path.stat()
        except OSError as error:
            yield Found(path, _os_error(path, error))
            return
        except ValueError:
            reason = "a name cannot hold the byte 0; read lists that find -print0 makes with -0"
            yield Found(path, FileError("missing", f"{path}: {reason}"))
            return
        if stat.S_ISDIR(status.st_mode):
            yield from self.folder(path, path, status)
        elif not stat.S_ISREG(status.st_mode):
            yield Found(
                path, FileError("not-a-file", f"{path}: neither a regular file nor a folder; left out")
            )
        elif not self._already(os.path.realpath(os.fsencode(path))):
            yield Found(path)

    def remote(self, root: RemotePath) -> Iterator[Found]:
        """As `folder`, of a folder on remote storage; there are no links. A file named itself is taken."""
        stack = [root]
        while stack:
            folder = stack.pop()
            try:
                entries = list(folder.listing())
            except OSError as error:
                yield Found(folder, _os_error(folder, error))
                continue
            if any(entry.name == MARKER for entry in entries):
                continue
            below = []
            for entry in entries:
                if entry is root:
                    yield Found(entry)
                elif _hidden(entry.name) or self._excluded_as(entry.name, str(entry)[len(str(root)) :]):
                    continue
                elif entry.is_folder:
                    below.append(entry)
                elif entry.suffix.lower() in self.options.suffixes:
                    yield Found(entry)
            stack.extend(reversed(below))

    def at(self, path: Path, root: Path) -> Iterator[Found]:
        place = root
        for part in path.relative_to(root).parts:
            if os.path.lexists(place / MARKER):
                return
            place /= part
            linked = place.is_symlink() and not self.options.follow_symlinks
            if linked or _hidden(part) or self._excluded(place, root):
                return
        try:
            status = path.stat()
        except OSError:
            return
        if stat.S_ISDIR(status.st_mode):
            yield from self.folder(path, root, status)
        elif stat.S_ISREG(status.st_mode) and path.suffix.lower() in self.options.suffixes:
            yield Found(path)

    def folder(self, folder: Path, root: Path, status: os.stat_result) -> Iterator[Found]:
        # A stack instead of recursion: folders may be nested deeper than Python's own limit.
        stack = [(folder, status)]
        while stack:
            folder, status = stack.pop()
            if (status.st_dev, status.st_ino) in self.entered:
                continue
            self.entered.add((status.st_dev, status.st_ino))
            if self.on_folder is not None:
                self.on_folder(folder)
            try:
                with os.scandir(folder) as listing:
                    entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                yield Found(folder, _os_error(folder, error))
                continue
            if any(entry.name == MARKER for entry in entries):
                continue
            below: list[tuple[Path, os.stat_result]] = []
            real = os.path.realpath(os.fsencode(folder))
            for entry in entries:
                yield from self._entry(Path(entry.path), entry, root, real, below)
            stack.extend(reversed(below))

    def _entry(
        self,
        path: Path,
        entry: os.DirEntry[str],
        root: Path,
        real: bytes,
        below: list[tuple[Path, os.stat_result]],
    ) -> Iterator[Found]:
        """One entry of a folder, whose real path is `real`; what lies below it is put into `below`."""
        if _hidden(entry.name) or self._excluded(path, root):
            return
        follow = self.options.follow_symlinks
        try:
            linked = entry.is_symlink()
            if linked and not follow:
                return
            if entry.is_dir(follow_symlinks=follow):
                below.append((path, entry.stat(follow_symlinks=follow)))
                return
            known = path.suffix.lower() in self.options.suffixes
            if known and entry.is_file(follow_symlinks=follow):
                place = os.path.join(real, os.fsencode(entry.name))
                if not self._already(os.path.realpath(place) if linked else place):
                    yield Found(path)
        except OSError as error:
            yield Found(path, _os_error(path, error))

    def _already(self, real: bytes) -> bool:
        """Whether this very file (not a hard link beside it) was met before, by another name or link."""
        place = hash(real)
        if place in self.met:
            return True
        self.met.add(place)
        return False

    def _excluded(self, path: Path, root: Path) -> bool:
        if not self.options.exclude:
            return False
        return self._excluded_as(path.name, path.relative_to(root).as_posix())

    def _excluded_as(self, name: str, relative: str) -> bool:
        relative = relative.strip("/")
        return any(
            fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(relative, pattern.strip("/"))
            for pattern in self.options.exclude
        )


def _hidden(name: str) -> bool:
    # Songs are called "...And Justice for All"; what programs hide has one dot.
    return name.startswith(".") and not name.startswith("..")


def _os_error(path: Path, error: OSError) -> FileError:
    if isinstance(error, FileNotFoundError):
        return FileError("missing", f"{path}: no such file or folder; check the spelling")
    reason = error.strerror or type(error).__name__
    hint = _HINTS.get(error.errno or 0, "check its permissions")
    if isinstance(path, RemotePath):
        hint = "check the address, your keys and the network"
    return FileError("unreadable", f"{path}: cannot be read ({reason}); {hint}")
