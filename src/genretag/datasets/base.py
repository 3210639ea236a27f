"""What every dataset gives: its clips, what is known about it, and the readers that the layouts share."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genretag.errors import DatasetError
from genretag.labels import Kind, LabelSet

PARTS = ("train", "valid", "test")
AUDIO_SUFFIXES = frozenset({
    ".aac", ".aif", ".aiff", ".ape", ".au", ".flac", ".m4a", ".mp3", ".mp4", ".mpc", ".oga", ".ogg", ".opus",
    ".wav", ".wma", ".wv",
})  # fmt: skip
# The biographies in FMA's tracks.csv are longer than the csv module takes by default (128 KiB).
FIELD_LIMIT = 1 << 24


@dataclass(frozen=True, slots=True)
class Clip:
    """One excerpt of music. Clips with the same `track` share it and must never be parted by a split.

    `id` is the name that the field uses, whatever the format of this copy: `blues/blues.00029.au`. `path` is
    None for a clip that is known by precomputed features only. `split` is its part of the official split.
    """

    id: str
    path: Path | None
    labels: tuple[str, ...]
    artist: str | None
    track: str
    split: str | None


@dataclass(frozen=True)
class Dataset:
    """The clips of one dataset, sorted by id, and what was left out.

    `official` names the official or usual split; `artist_filtered` says that it was published as keeping the
    artists apart. `excluded` pairs the id of a clip that is here but not used with the reason. `named` gives
    the clip id of every feature row that was asked for by name and is used.
    """

    name: str
    variant: str
    root: Path | None
    clips: tuple[Clip, ...]
    labels: LabelSet
    official: str | None
    artist_filtered: bool
    excluded: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    named: Mapping[str, str] = field(default_factory=dict)

    def targets(self) -> NDArray[np.uint8]:
        """1 where a label is true of a clip.  # (clips, labels)"""
        column = {name: number for number, name in enumerate(self.labels.names)}
        table = np.zeros((len(self.clips), len(column)), np.uint8)
        for row, clip in zip(table, self.clips, strict=True):
            row[[column[label] for label in clip.labels]] = 1
        return table


@dataclass(frozen=True)
class Size:
    """Published size of a variant: labels, and clips in train, valid and test (one number where unsplit)."""

    variant: str
    labels: int
    clips: tuple[int, ...]


@dataclass(frozen=True)
class DatasetInfo:
    """What a person must know before using a dataset; the first variant and task are the defaults."""

    name: str
    title: str
    variants: Mapping[str, str]
    tasks: tuple[Kind, ...]
    where: str
    layout: str
    licence: str
    citation: str
    split: str
    sizes: tuple[Size, ...]
    leaks: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """What is asked of a dataset; `ids` names clips known by features, for which no audio is looked for."""

    data: Path | None
    variant: str
    task: Kind | None
    ids: tuple[str, ...] | None


@dataclass(frozen=True)
class Catalogue:
    """Everything a dataset's own files say, before anyone looked which audio is here.

    `find` turns the name of a file or of a feature row into a clip id (None: no clip of this dataset). Files
    lie below `audio`, unless the clips come with paths. `faults` are left out with their reason; `suspects`
    are damaged in some copies and left out where they do not open.
    """

    clips: tuple[Clip, ...]
    labels: LabelSet
    find: Callable[[str], str | None]
    audio: Path | None
    faults: Mapping[str, str] = field(default_factory=dict)
    suspects: Mapping[str, str] = field(default_factory=dict)
    official: str | None = None
    artist_filtered: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing that `verify` has to say: an error, a warning or a note."""

    severity: Literal["error", "warning", "note"]
    what: str
    path: Path | None


@dataclass(frozen=True)
class FeatureTable:
    """Precomputed features, one row per clip or segment.  # X (rows, features) float32; ids (rows,)"""

    X: NDArray[np.float32]
    ids: tuple[str, ...]
    names: tuple[str, ...]


def lacking(info: DatasetInfo, what: str) -> DatasetError:
    """The one line that says what is missing, how the data should lie and where to get them."""
    return DatasetError(f"{info.name}: {what}; expected {info.layout}; get it from {info.where}")


def data_folder(info: DatasetInfo, data: Path | None) -> Path:
    """`data`, when it is a folder; DatasetError otherwise."""
    if data is None:
        raise lacking(info, "no data folder was named (--data)")
    if not data.is_dir():
        raise lacking(info, f"{data} is no folder")
    return data


def read_rows(path: Path, delimiter: str = ",") -> Iterator[list[str]]:
    """Rows of a delimited text file that are not empty; DatasetError when it cannot be read."""
    csv.field_size_limit(FIELD_LIMIT)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from (row for row in csv.reader(file, delimiter=delimiter) if row)
    except (OSError, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read as a table ({error})") from error


def read_artists(folders: Iterable[Path]) -> dict[str, str]:
    """Artist by clip name: the first `artists.json` or `artists.csv` (id,artist) in `folders`; {} without."""
    for folder in folders:
        if (path := folder / "artists.json").is_file():
            return _artists_of_json(path)
        if (path := folder / "artists.csv").is_file():
            rows = [row for row in read_rows(path) if row[:2] != ["id", "artist"]]
            if short := next((row for row in rows if len(row) < 2), None):
                raise DatasetError(f"{path}: a row must be id,artist and not {','.join(short)!r}")
            return {row[0]: row[1].strip() for row in rows if row[1].strip()}
    return {}


def _artists_of_json(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(document, dict) or not all(isinstance(name, str) for name in document.values()):
        raise DatasetError(f"{path}: must be one object that names the artist of every id")
    return {clip: name.strip() for clip, name in document.items() if name.strip()}


def audio_files(folder: Path) -> Iterator[str]:
    """Audio files below `folder`, hidden ones left out, as sorted paths relative to it with "/"."""
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(where).relative_to(folder)
        for name in sorted(names):
            if Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                yield (inside / name).as_posix()


def feature_table(path: Path, names: tuple[str, ...], rows: Iterable[tuple[str, list[str]]]) -> FeatureTable:
    """The table of (clip id, numbers as text) `rows` read from `path`; DatasetError on anything else."""
    ids, values = [], []
    for clip, texts in rows:
        if len(texts) != len(names):
            raise DatasetError(f"{path}: {clip} has {len(texts)} values and not {len(names)}")
        try:
            values.append(np.array(texts, dtype=np.float32))
        except ValueError as error:
            raise DatasetError(f"{path}: {clip}: {error}"[:300]) from error
        ids.append(clip)
    if not ids:
        raise DatasetError(f"{path}: holds no feature row of this dataset")
    return FeatureTable(np.stack(values), tuple(ids), names)
