"""MagnaTagATune: 25,863 clips of 29 s with 188 tags, in sixteen folders that make the usual split."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from genretag.datasets.base import (
    Catalogue,
    Clip,
    DatasetInfo,
    Request,
    Size,
    data_folder,
    lacking,
    read_rows,
)
from genretag.errors import DatasetError
from genretag.labels import tag_labels

INFO = DatasetInfo(
    name="magnatagatune",
    title="MagnaTagATune",
    variants={
        "50": "the 50 tags used most often, all clips",
        "50-tagged": "the 50 tags used most often, only clips that carry one of them",
        "188": "all tags, all clips",
        "188-tagged": "all tags, only clips that carry one",
    },
    tasks=("multi",),
    where="https://mirg.city.ac.uk/codeapps/the-magnatagatune-dataset",
    layout="DIR/annotations_final.csv, DIR/clip_info_final.csv and the folders DIR/0 ... DIR/f",
    licence="CC BY-NC-SA 3.0; audio by Magnatune under CC BY-NC-SA 1.0",
    citation="Law, West, Mandel, Bay and Downie, ISMIR 2009",
    split="the usual one by folder: 0-b train, c valid, d-f test",
    sizes=(
        Size("50", 50, (18706, 1825, 5329)),
        Size("50-tagged", 50, (15247, 1529, 4332)),
        Size("188", 188, (18706, 1825, 5329)),
        Size("188-tagged", 188, (15626, 1551, 4462)),
    ),
    leaks=(
        "a folder holds whole albums, yet artists are not kept apart: 45 of the 75 artists of test stand in "
        "train too, and 3,284 of the 5,329 test clips are theirs",
        "of all tag values 1.84 % are set: to answer no to everything is 98.16 % accurate",
    ),
)

# Annotated, but the mp3 that is distributed is empty: 25,863 - 3 = 18,706 + 1,825 + 5,329.
_EMPTY = ("35644", "55753", "57881")
_PART = {**dict.fromkeys("0123456789ab", "train"), "c": "valid", **dict.fromkeys("def", "test")}
_TOP = 50
# What is a genre among the tags; the others tell of instruments, voices, tempo, mood or what is not heard.
_GENRES = frozenset({
    "ambient", "baroque", "blues", "celtic", "choral", "classical", "country", "dance", "disco", "drone",
    "electro", "electronic", "electronica", "folk", "funk", "hard rock", "heavy metal", "hip hop", "house",
    "indian", "industrial", "irish", "jazz", "jungle", "medieval", "metal", "middle eastern", "new age",
    "opera", "orchestral", "pop", "punk", "rap", "reggae", "rock", "soft rock", "techno", "trance", "tribal",
    "world",
})  # fmt: skip


def catalogue(request: Request) -> Catalogue:
    """All annotated clips; an untagged one is a fault of the "-tagged" variants."""
    data = data_folder(INFO, request.data)
    numbers, paths, tags, table = _annotations(data)
    count, _, only_tagged = request.variant.partition("-")
    # Counted over all annotated clips, the three empty ones too; ties go by the order of the columns.
    columns = np.argsort(-table.sum(0), kind="stable")[:_TOP] if count == "50" else np.arange(len(tags))
    names = [tags[column] for column in columns]
    artists = _artists(data / "clip_info_final.csv")
    clips, faults = [], {}
    for number, path, row in zip(numbers, paths, table[:, columns], strict=True):
        labels = tuple(names[column] for column in np.flatnonzero(row))
        track = re.sub(r"-\d+-\d+\.mp3$", "", path)
        clips.append(Clip(path, None, labels, artists.get(number), track, _PART.get(path[0])))
        if number in _EMPTY:
            faults[path] = "its mp3 is empty in every copy"
        elif only_tagged and not labels:
            faults[path] = f"it carries none of the {count} tags"
    known = {name: path for number, path in zip(numbers, paths, strict=True) for name in (number, path)}
    return Catalogue(
        clips=tuple(clips),
        labels=tag_labels(names, [name for name in names if name in _GENRES]),
        find=known.get,
        audio=None if request.ids is not None else _audio_folder(data),
        faults=faults,
        official="usual",
        notes=() if artists else ("no clip_info_final.csv is here: the artists are not known",),
    )


def _annotations(
    data: Path,
) -> tuple[list[str], list[str], list[str], np.ndarray[tuple[int, int], np.dtype[np.uint8]]]:
    """Clip numbers, mp3 paths, tag names and what was said of each clip.  # (clips, tags)"""
    path = data / "annotations_final.csv"
    if not path.is_file():
        raise lacking(INFO, f"{path} is missing")
    rows = read_rows(path, "\t")
    header = next(rows, [])
    if len(header) < 3 or header[0] != "clip_id" or header[-1] != "mp3_path":
        raise DatasetError(f"{path}: its tab-separated columns must be clip_id, the tags, mp3_path")
    found = list(rows)
    for row in found:
        if len(row) != len(header) or row[-1][:1] not in _PART or not {"0", "1"}.issuperset(row[1:-1]):
            raise DatasetError(
                f"{path}: clip {row[0]} must have {len(header) - 2} times 0 or 1 and a path in 0-f"
            )
    said = np.frombuffer("".join("".join(row[1:-1]) for row in found).encode("ascii"), np.uint8) - ord("0")
    return [row[0] for row in found], [row[-1] for row in found], header[1:-1], said.reshape(len(found), -1)


def _artists(path: Path) -> dict[str, str]:
    """Artist by clip number, of all 31,382 clips that were cut, annotated or not; {} without the file."""
    if not path.is_file():
        return {}
    rows = read_rows(path, "\t")
    header = next(rows, [])
    if "clip_id" not in header or "artist" not in header:
        raise DatasetError(f"{path}: must have the tab-separated columns clip_id and artist")
    number, artist = header.index("clip_id"), header.index("artist")
    return {row[number]: row[artist] for row in rows if len(row) > max(number, artist) and row[artist]}


def _audio_folder(data: Path) -> Path:
    for folder in (data, data / "mp3"):
        if any((folder / name).is_dir() for name in _PART):
            return folder
    raise lacking(INFO, f"{data} has none of the audio folders 0 ... f")
