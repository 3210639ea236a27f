"""The genres that a person uses: the names of folders or the tags of files, with the files that show them."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from genretag.audio.payload import identify
from genretag.datasets.base import Clip, read_artists
from genretag.errors import DecodeError, FileError, TagError, TrainingError
from genretag.escapes import has_control
from genretag.journal import Journal
from genretag.labels import canonical, lookup, split_genres
from genretag.tagging import tags
from genretag.tagging.heading import read_heading
from genretag.tagging.scan import ScanOptions, scan

Source = Literal["folders", "tags"]
Origin = Literal["folder", "tag"]
MIN_FILES = 5
# What is learnt from fewer files cannot be measured: some must be held back.
FEWEST_FILES = 3
# About two minutes of two cores.
MOST_FILES_IN_ALL = 1200
MOST_FILES = 200


@dataclass(frozen=True)
class Labelled:
    """A file with the genres that its folder or its tag gives it; `id` is its path below the folder.

    `source` tells which of them gave the genres.
    """

    id: str
    path: Path
    genres: tuple[str, ...]
    source: Origin = "folder"


@dataclass(frozen=True)
class Library:
    """The labelled files of a folder, and what is not among them.

    `source` is "both" if some labels are names of folders and others are tags. `unlabelled` files have no
    genre, `ours` only one that genretag wrote; `failures` could not be read.
    """

    root: Path
    source: Source | Literal["both"]
    files: tuple[Labelled, ...]
    unlabelled: int
    ours: int
    failures: tuple[FileError, ...]


@dataclass(frozen=True)
class Lessons:
    """The genres to learn with their files; `few` are genres with too few, `more` files that were not needed.

    Both count files by genre.
    """

    files: tuple[Labelled, ...]
    few: dict[str, int]
    more: dict[str, int]


def read_library(
    root: Path, source: Source | None, journal: Journal | None = None, *, quiet: bool = False
) -> Library:
    """Read the genres of every audio file below a folder; links are followed, because nothing is written.

    Without a `source` each file gets the name of its folder if that is a known genre, else the genres in its
    tag. A file without either gets the name of its folder if most folders are called like genres, or if the
    labels found so far are of fewer than two genres. Tags that `journal` knows as written by genretag are not
    used.

    Raises:
        TrainingError: `root` is no folder.
    """
    if not root.is_dir():
        raise TrainingError(f"{root}: no such folder; give one with a folder per genre, or with tagged music")
    found = list(scan([root], ScanOptions(follow_symlinks=True)))
    failures = [one.error for one in found if one.error is not None]
    paths = [one.path for one in found if one.error is None]
    folders = [_in_folder(root, path) for path in paths]
    if source == "folders":
        return _library(root, folders, failures, 0, source)
    files = list(folders)
    unread: dict[int, FileError] = {}
    ours: set[int] = set()
    untold = [number for number, file in enumerate(folders) if source == "tags" or not _is_genre(file)]
    for number, path in zip(untold, _shown([paths[number] for number in untold], quiet), strict=True):
        files[number] = replace(folders[number], genres=(), source="tag")
        try:
            genres = tags.read(path).genres
        except TagError as error:
            unread[number] = FileError.of(error)
            continue
        if genres and journal is not None and _wrote(journal, path, genres):
            ours.add(number)
        else:
            files[number] = replace(files[number], genres=split_genres(genres))
    named = sorted({file.genres[0] for file in folders if file.genres})
    labels = {genre for file in files for genre in file.genres[:1]}
    if source is None and (_are_genres(named) or len(labels) < 2 <= len(named)):
        files = [file if file.genres else folder for file, folder in zip(files, folders, strict=True)]
    without = {number for number, file in enumerate(files) if not file.genres}
    failures += [unread[number] for number in sorted(without & unread.keys())]
    kept = [file for number, file in enumerate(files) if number not in without & (unread.keys() | ours)]
    return _library(root, kept, failures, len(without & ours), source)


def _library(
    root: Path,
    files: Sequence[Labelled],
    failures: Sequence[FileError],
    ours: int,
    source: Source | None,
) -> Library:
    labelled = tuple(file for file in files if file.genres)
    kinds = {file.source for file in labelled}
    found: Source | Literal["both"] = "both" if len(kinds) > 1 else "folders" if "folder" in kinds else "tags"
    return Library(root, source or found, labelled, len(files) - len(labelled), ours, tuple(failures))


def _shown(paths: Sequence[Path], quiet: bool) -> Iterable[Path]:
    """Paths with a bar on a terminal: the tags of a large library take a minute."""
    from tqdm import tqdm

    hidden = quiet or not sys.stderr.isatty()
    bar: Iterable[Path] = tqdm(
        paths, desc="tags", unit=" files", dynamic_ncols=True, file=sys.stderr, disable=hidden
    )
    return bar


def _in_folder(root: Path, path: Path) -> Labelled:
    inside = path.relative_to(root)
    return Labelled(inside.as_posix(), path, tuple(map(_text, inside.parts[:1])) if inside.parts[1:] else ())


def _text(name: str) -> str:
    """A name of a folder as a tag can hold it; what is no UTF-8 is what old systems wrote."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("latin-1")
    return name


def _is_genre(file: Labelled) -> bool:
    """Return True if the folder of a file is called like a known genre."""
    return bool(file.genres) and lookup(file.genres[0]) is not None


def _are_genres(names: Sequence[str]) -> bool:
    """Whether folders are called like genres, and not like artists."""
    return len(names) > 1 and 2 * sum(lookup(name) is not None for name in names) >= len(names)


def _wrote(journal: Journal, path: Path, genres: tuple[str, ...]) -> bool:
    """Whether genretag wrote these genres."""
    try:
        write = journal.last_write(path, identify(path))
    except (DecodeError, OSError):
        return False
    return write is not None and write.change.new_genres == genres


def choose(
    library: Library,
    *,
    multi: bool = False,
    min_files: int = MIN_FILES,
    most_files: int | None = None,
    seed: int = 0,
) -> Lessons:
    """The genres with `min_files` files or more, at most `most_files` of each (None: what takes minutes).

    Spelling variants of one genre are one, called as `labels.canonical` does or else as most files do. Of
    several genres of a file the first counts, with `multi` all do. Files are drawn from all folders in turn.
    TrainingError, in one line, where there are not two such genres.
    """
    if min_files < FEWEST_FILES:
        raise TrainingError(
            f"--min-files {min_files}: {FEWEST_FILES} at least, for some files of each genre are held back "
            "to measure what was learnt"
        )
    spelt = _one_spelling(genre for file in library.files for genre in file.genres)
    files = [
        replace(
            file, genres=tuple(dict.fromkeys(spelt(genre) for genre in file.genres))[: None if multi else 1]
        )
        for file in library.files
    ]
    counts = Counter(genre for file in files for genre in file.genres)
    enough = sorted(genre for genre, count in counts.items() if count >= min_files)
    few = {genre: count for genre, count in counts.most_common() if count < min_files}
    if len(enough) < 2:
        raise TrainingError(_too_few(library, counts, min_files))
    if odd := [genre for genre in enough if has_control(genre)]:
        remedy = "rename its folder" if library.source == "folders" else "correct its tags"
        raise TrainingError(f"{library.root}: the genre {odd[0]!r} holds a control character; {remedy}"[:300])
    limit = most_files or max(min_files, min(MOST_FILES, MOST_FILES_IN_ALL // len(enough)))
    chosen: dict[str, Labelled] = {}
    more = {}
    for genre in enough:
        mine = [file for file in files if genre in file.genres]
        chosen |= {file.id: file for file in _spread(mine, limit, seed)}
        if len(mine) > limit:
            more[genre] = len(mine) - limit
    kept = [
        replace(file, genres=tuple(genre for genre in file.genres if genre in enough))
        for _, file in sorted(chosen.items())
    ]
    return Lessons(tuple(kept), few, more)


def _one_spelling(genres: Iterable[str]) -> Callable[[str], str]:
    """What maps a genre to its name: canonical, or as most write it whatever its case."""
    tidy = Counter(canonical(genre) for genre in genres)
    names: dict[str, str] = {}
    for name, _ in sorted(tidy.items(), key=lambda item: (-item[1], item[0])):
        names.setdefault(name.casefold(), name)
    return lambda genre: names[canonical(genre).casefold()]


def _too_few(library: Library, counts: Counter[str], min_files: int) -> str:
    where = {"folders": "folders", "tags": "tags", "both": "folders and tags"}[library.source]
    what = f"to learn, two genres need {min_files} files each"
    if not counts:
        ours = f" but those that genretag wrote ({library.ours:,})" if library.ours else ""
        other = "put files into a folder per genre" if where == "tags" else "or say --from-tags"
        return f"{library.root}: {what}; its {where} name no genre{ours}; {other}"
    there = ", ".join(f"{genre} {count:,}" for genre, count in counts.most_common(6))
    second = sorted(counts.values())[-2:][0] if len(counts) > 1 else 0
    lower = f", or say --min-files {second}" if second >= FEWEST_FILES else ""
    return f"{library.root}: {what}; its {where} have {there}; add files{lower}"


def _spread(files: Sequence[Labelled], limit: int, seed: int) -> list[Labelled]:
    """At most `limit` files, one of each folder in turn, so that one big album does not stand for a genre."""
    draw = random.Random(seed)
    folders: dict[Path, list[Labelled]] = defaultdict(list)
    for file in files:
        folders[file.path.parent].append(file)
    queues = list(folders.values())
    draw.shuffle(queues)
    for queue in queues:
        draw.shuffle(queue)
    rounds = [(place, number) for number, queue in enumerate(queues) for place in range(len(queue))]
    return [queues[number][place] for place, number in sorted(rounds)[:limit]]


def as_clips(root: Path, files: Sequence[Labelled]) -> tuple[Clip, ...]:
    """Clips with artist and album: by artists.csv or artists.json beside the files, else by the files' tags.

    The `track` of a clip is its album where that is known (the same name in another folder is another album).
    """
    listed = read_artists([root, root.parent])
    clips = []
    for file in files:
        said = read_heading(file.path)
        artist = listed.get(file.id) or listed.get(Path(file.id).with_suffix("").as_posix())
        artist = " ".join((artist or said.artist or said.album_artist).split()).casefold()
        album = f"{file.path.parent}/{said.album}" if said.album else file.id
        clips.append(Clip(file.id, file.path, file.genres, artist or None, album, None))
    return tuple(clips)
