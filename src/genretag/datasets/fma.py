"""FMA: the Free Music Archive in four sizes, by top genre or by the whole genre tree."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from genretag.datasets.base import (
    Catalogue,
    Clip,
    DatasetInfo,
    FeatureTable,
    Request,
    Size,
    data_folder,
    feature_table,
    lacking,
    read_rows,
)
from genretag.errors import DatasetError
from genretag.labels import genre_labels

INFO = DatasetInfo(
    name="fma",
    title="FMA: a dataset for music analysis",
    variants={
        "small": "8,000 clips of 30 s, 8 top genres in balance",
        "medium": "25,000 clips of 30 s, 16 top genres",
        "large": "106,574 clips of 30 s, 161 genres; about half have a top genre",
        "full": "the 106,574 tracks of large at full length",
    },
    tasks=("single", "multi"),
    where="https://github.com/mdeff/fma (fma_metadata.zip and fma_<size>.zip)",
    layout="DIR/fma_metadata/tracks.csv, DIR/fma_metadata/genres.csv and DIR/fma_<size>/000/000002.mp3",
    licence="metadata CC BY 4.0; audio under the Creative Commons licence that its artist chose",
    citation="Defferrard, Benzi, Vandergheynst and Bresson, ISMIR 2017, arXiv:1612.01840",
    split="the authors' 80/10/10 split by genre, published as artist-filtered",
    sizes=(
        Size("small", 8, (6400, 800, 800)),
        Size("medium", 16, (19922, 2505, 2573)),
        Size("large", 161, (84353, 11263, 10958)),
        Size("full", 161, (84353, 11263, 10958)),
    ),
    leaks=("the official split keeps artists apart; a split of one's own by track does not",),
)

_SIZES = ("small", "medium", "large")
_PARTS = {"training": "train", "validation": "valid", "test": "test"}
# Excerpts of under 28 s or without audio, as listed in the wiki of github.com/mdeff/fma; the whole tracks of
# "full" are not concerned. The first six belong to "small".
_DAMAGED = frozenset({
    98565, 98567, 98569, 99134, 108925, 133297,
    1486, 5574, 65753, 80391, 98558, 98559, 98560, 98566, 98568, 98571, 105247, 108924, 126981, 127336,
    143992,
})  # fmt: skip
_COLUMNS = (
    ("set", "split"),
    ("set", "subset"),
    ("track", "genre_top"),
    ("track", "genres_all"),
    ("artist", "id"),
)


def clip_id(name: str) -> str | None:
    """`000/000002.mp3` for track 2, however its number is written; None for anything else."""
    match = re.fullmatch(r"(?:.*[/\\])?(\d{1,6})(?:\.\w+)?", name)
    return f"{int(match[1]) // 1000:03d}/{int(match[1]):06d}.mp3" if match else None


def catalogue(request: Request) -> Catalogue:
    """Every track of the size asked for; one without a genre is a fault."""
    data = data_folder(INFO, request.data)
    tables = _metadata_folder(data)
    titles = {} if request.task != "multi" else _titles(tables / "genres.csv")
    clips, faults = [], {}
    for track, (part, subset, top, every, artist) in _tracks(tables / "tracks.csv"):
        if request.variant in _SIZES and _rank(subset) > _rank(request.variant):
            continue
        names = [titles[int(number)] for number in re.findall(r"\d+", every)] if titles else [top] * bool(top)
        clip = Clip(
            clip_id(track) or track, None, tuple(sorted(names)), artist or None, track, _PARTS.get(part)
        )
        clips.append(clip)
        if request.variant in _SIZES and int(track) in _DAMAGED:
            faults[clip.id] = "its excerpt is cut short or holds no audio"
        elif not names:
            faults[clip.id] = "it has no genre" if titles else "it has no top genre"
        elif clip.split is None:
            faults[clip.id] = "tracks.csv gives it no part of the split"
    return Catalogue(
        clips=tuple(clips),
        labels=genre_labels(
            sorted({label for clip in clips for label in clip.labels}), request.task or "single"
        ),
        find=clip_id,
        audio=None if request.ids is not None else _audio_folder(data, request.variant),
        faults=faults,
        official="official",
        artist_filtered=True,
    )


def load_feature_table(path: Path, ids: Collection[str] | None = None) -> FeatureTable:
    """The 518 librosa statistics of `features.csv`, named like `mfcc_mean_01`; only those of `ids` if given.

    Three header rows (feature, statistics, number) and one with the index name come before the tracks.
    """
    rows = read_rows(path)
    headers = [next(rows, [""]) for _ in range(4)]
    of_one_length = len({len(row) for row in headers[:3]}) == 1
    if [row[0] for row in headers] != ["feature", "statistics", "number", "track_id"] or not of_one_length:
        raise DatasetError(f"{path}: is no FMA feature table; it must start with feature, statistics, number")
    names = tuple("_".join(parts) for parts in zip(*(row[1:] for row in headers[:3]), strict=True))
    named = ((clip_id(row[0]), row[1:]) for row in rows)
    wanted = ((clip, texts) for clip, texts in named if clip and (ids is None or clip in ids))
    return feature_table(path, names, wanted)


def _tracks(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Track number and `_COLUMNS` of every track in tracks.csv: two header rows, one with the index name."""
    rows = read_rows(path)
    header = list(zip(next(rows, []), next(rows, []), strict=False))
    for column in _COLUMNS:
        if column not in header:
            raise DatasetError(f"{path}: has no column ({', '.join(column)}); is it FMA's own tracks.csv?")
    places = [header.index(column) for column in _COLUMNS]
    found = [row for row in rows if row[0].isdecimal()]
    if short := next((row for row in found if len(row) < len(header)), None):
        raise DatasetError(f"{path}: track {short[0]} has {len(short)} columns and not {len(header)}")
    return [(row[0], tuple(row[place] for place in places)) for row in found]


def _titles(path: Path) -> dict[int, str]:
    """Title of every genre number in genres.csv."""
    rows = read_rows(path)
    header = next(rows, [])
    if "genre_id" not in header or "title" not in header:
        raise DatasetError(f"{path}: must have the columns genre_id and title")
    return {int(row[header.index("genre_id")]): row[header.index("title")] for row in rows}


def _rank(subset: str) -> int:
    """Every size holds the smaller ones: "small" < "medium" < "large"."""
    return _SIZES.index(subset) if subset in _SIZES else len(_SIZES)


def _metadata_folder(data: Path) -> Path:
    for folder in (data / "fma_metadata", data, data.parent / "fma_metadata"):
        if (folder / "tracks.csv").is_file() and (folder / "genres.csv").is_file():
            return folder
    raise lacking(INFO, f"{data} has no fma_metadata folder with tracks.csv and genres.csv")


def _audio_folder(data: Path, variant: str) -> Path:
    for folder in (data / f"fma_{variant}", data):
        if folder.name == f"fma_{variant}" and folder.is_dir():
            return folder
    raise lacking(INFO, f"{data} has no folder fma_{variant}")
