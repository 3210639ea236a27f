"""One M3U8 playlist for each genre, from the genres that stand in the files."""

from __future__ import annotations

import io
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genretag.audio.payload import open_regular
from genretag.errors import DecodeError, FileError, GenretagError, WriteError
from genretag.escapes import printable
from genretag.files import put_in_place
from genretag.labels import canonical, split_genres
from genretag.tagging import tags
from genretag.tagging.heading import read_heading
from genretag.tagging.scan import Found

# A line of every playlist made here: another file of the same name is somebody's own and stays.
MARK = "# made by genretag"
SUFFIX = ".m3u8"
_LONGEST_NAME = 100  # characters; file systems stop at 255 bytes
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


@dataclass
class Collected:
    """Files by genre, in the order in which they came; `unlisted`: those whose names no playlist can hold."""

    by_genre: dict[str, list[Path]] = field(default_factory=dict)
    errors: list[FileError] = field(default_factory=list)
    unlisted: list[Path] = field(default_factory=list)
    files: int = 0


@dataclass(frozen=True)
class Playlist:
    """One playlist that was written."""

    genre: str
    path: Path
    tracks: int


def collect(found: Iterable[Found]) -> Collected:
    """Read the genres of files; spellings of the same genre ("hip hop", "Hip-Hop") come together."""
    collected = Collected()
    for one in found:
        collected.files += 1
        if one.error is not None:
            collected.errors.append(one.error)
            continue
        try:
            genres = dict.fromkeys(map(canonical, split_genres(tags.read(one.path).genres)))
        except GenretagError as error:
            collected.errors.append(FileError.of(error))
            continue
        if genres and not _can_stand(str(one.path)):
            collected.unlisted.append(one.path)
            continue
        for genre in genres:
            collected.by_genre.setdefault(genre, []).append(one.path)
    return collected


def write_playlists(
    collected: Collected, folder: Path, *, least: int = 1, absolute: bool = False
) -> Iterator[Playlist]:
    """Write the playlist of every genre with at least `least` tracks, in the order of the genres' names.

    Paths are relative to `folder` unless `absolute` is asked for or there is no relative one. A playlist
    appears whole or not at all. WriteError where a file of that name is not ours, or the disk refuses.
    """
    taken: set[str] = set()
    for genre, paths in sorted(collected.by_genre.items(), key=lambda item: (item[0].casefold(), item[0])):
        if len(paths) < least:
            continue
        path = folder / (_file_name(genre, taken) + SUFFIX)
        if path.exists() and not _is_ours(path):
            raise WriteError(
                f"{path}: is there and was not made by genretag; move it away or choose another folder"
            )
        lines = ["#EXTM3U", f"#PLAYLIST:{_one_line(genre)}", MARK]
        for song in paths:
            lines += [_information(song), _entry(song, folder, absolute=absolute)]
        try:
            put_in_place(path, ("\n".join(lines) + "\n").encode())
        except OSError as error:
            raise WriteError(f"{path}: cannot be written ({error.strerror}); choose another folder") from None
        yield Playlist(genre, path, len(paths))


def left_over(folder: Path, made: Iterable[Path]) -> list[Path]:
    """Playlists of ours in the folder that are not among those just made."""
    return sorted(path for path in set(folder.glob(f"*{SUFFIX}")) - set(made) if _is_ours(path))


def _information(song: Path) -> str:
    heading = read_heading(song)
    seconds = -1 if heading.seconds is None else round(heading.seconds)
    shown = f"{heading.artist} - {heading.title}" if heading.artist and heading.title else heading.title
    return f"#EXTINF:{seconds},{_one_line(shown or song.stem)}"


def _entry(song: Path, folder: Path, *, absolute: bool) -> str:
    whole = os.path.abspath(song)
    if absolute:
        return whole
    try:
        entry = os.path.relpath(whole, os.path.abspath(folder))
    except ValueError:  # another drive
        return whole
    # A "#" would begin a comment, a space would be trimmed, "http:" would be an address.
    return f".{os.sep}{entry}" if entry[0] == "#" or entry[0].isspace() or ":" in entry else entry


def _can_stand(name: str) -> bool:
    """Whether a line of UTF-8 can hold the name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return len(name.splitlines()) == 1


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _file_name(genre: str, taken: set[str]) -> str:
    """A name that every file system takes, of no other genre; `taken` are those given, case folded."""
    name = _FORBIDDEN.sub("-", unicodedata.normalize("NFC", genre))[:_LONGEST_NAME].strip(" ")
    name = name.rstrip(". ") or "-"
    if name.startswith(".") or _DEVICES.match(name):
        name = f"_{name}"
    unique, number = name, 1
    while unique.casefold() in taken:
        number += 1
        unique = f"{name} ({number})"
    taken.add(unique.casefold())
    return unique


def _is_ours(path: Path) -> bool:
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", errors="replace") as file:
            return any(file.readline(1000).rstrip("\r\n") == MARK for _ in range(3))
    except (OSError, DecodeError):
        return False
