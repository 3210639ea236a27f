"""Music of one's own: a folder per genre, or a CSV or JSONL list of path, label and artist."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from genretag.datasets.base import (
    PARTS,
    Catalogue,
    Clip,
    DatasetInfo,
    Request,
    audio_files,
    data_folder,
    lacking,
    read_artists,
    read_rows,
)
from genretag.errors import DatasetError
from genretag.labels import genre_labels

INFO = DatasetInfo(
    name="folder",
    title="a folder of one's own",
    variants={"own": "whatever lies there"},
    tasks=("single", "multi"),
    where="your own music",
    layout="DIR/<genre>/*.mp3 (any audio), or a .csv or .jsonl file of path,label[,artist][,track][,split]",
    licence="yours",
    citation="",
    split="the column `split` (train, valid, test) if the list has one; else grouped by artist, or by track",
    sizes=(),
    leaks=(
        "without artists (a column, or artists.csv or artists.json beside the data) songs of one artist may "
        "stand on both sides",
    ),
)

_ALIASES = {"filename": "path", "file": "path", "genre": "label", "genres": "label", "labels": "label"}
_PART = {**{part: part for part in PARTS}, "training": "train", "validation": "valid", "val": "valid"}


def catalogue(request: Request) -> Catalogue:
    """The files of a folder, or the rows of a list; several labels are joined with "|" there."""
    root, clips = _root_and_clips(request)
    if not clips:
        raise lacking(INFO, f"{request.data} has no folder with audio")
    artists = read_artists([root, root.parent]) if root is not None else {}
    several = any(len(clip.labels) > 1 for clip in clips)
    if several and request.task == "single":
        raise DatasetError(f"folder: {request.data} gives several labels to a clip; ask for the task multi")
    return Catalogue(
        clips=tuple(_with_artist(clip, artists) for clip in clips),
        labels=genre_labels(
            sorted({label for clip in clips for label in clip.labels}),
            request.task or ("multi" if several else "single"),
        ),
        find=_Finder(clips),
        audio=root,
        official="listed" if all(clip.split for clip in clips) else None,
    )


def _root_and_clips(request: Request) -> tuple[Path | None, list[Clip]]:
    if request.data is not None and request.data.is_file():
        return request.data.parent, _listed(request.data)
    if request.ids is not None:
        if stray := next((name for name in request.ids if "/" not in name), None):
            raise DatasetError(
                f"folder: features are given for {stray!r}; their names must be <genre>/<file>"
            )
        return request.data, [_in_genre(name) for name in request.ids]
    root = data_folder(INFO, request.data)
    return root, [_in_genre(name) for name in audio_files(root) if "/" in name]


class _Finder:
    """A clip by its path, with or without the suffix: features may have been made from another format."""

    def __init__(self, clips: list[Clip]) -> None:
        self._ids = {clip.id for clip in clips}
        self._stems = {_stem(clip.id): clip.id for clip in clips}

    def __call__(self, name: str) -> str | None:
        return name if name in self._ids else self._stems.get(_stem(name))


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix() if PurePosixPath(name).name else name


def _in_genre(name: str) -> Clip:
    return Clip(name, None, (name.split("/")[0],), None, name, None)


def _with_artist(clip: Clip, artists: Mapping[str, str]) -> Clip:
    artist = clip.artist or artists.get(clip.id) or artists.get(_stem(clip.id))
    return dataclasses.replace(clip, artist=artist)


def _listed(path: Path) -> list[Clip]:
    records = list(_json_records(path) if path.suffix.lower() == ".jsonl" else _csv_records(path))
    clips = [_clip(path, number, record) for number, record in enumerate(records, start=1)]
    seen: set[str] = set()
    for clip in clips:
        if clip.id in seen:
            raise DatasetError(f"{path}: {clip.id} is listed twice")
        seen.add(clip.id)
    if 0 < sum(clip.split is not None for clip in clips) < len(clips):
        bare = next(clip.id for clip in clips if clip.split is None)
        raise DatasetError(f"{path}: {bare} has no split, others have one; name it for all clips or for none")
    return clips


def _clip(path: Path, number: int, record: Mapping[str, object]) -> Clip:
    fields = {_ALIASES.get(key, key): value for key, value in record.items()}
    name, label, split = fields.get("path"), fields.get("label"), fields.get("split") or None
    labels = label if isinstance(label, list) else str(label or "").split("|")
    wanted = tuple(dict.fromkeys(str(text).strip() for text in labels if str(text).strip()))
    if not isinstance(name, str) or not name or not wanted:
        raise DatasetError(f"{path}: entry {number} must have a path and a label")
    if split is not None and str(split).lower() not in _PART:
        raise DatasetError(f"{path}: entry {number}: split must be train, valid or test and not {split!r}")
    file = path.parent / name
    clip = file.relative_to(path.parent).as_posix() if file.is_relative_to(path.parent) else name
    track, artist = str(fields.get("track") or clip), str(fields.get("artist") or "").strip()
    return Clip(clip, file, wanted, artist or None, track, _PART[str(split).lower()] if split else None)


def _csv_records(path: Path) -> Iterator[dict[str, object]]:
    rows = read_rows(path)
    header = [name.strip().lower() for name in next(rows, [])]
    if not {"path", "label"} <= {_ALIASES.get(name, name) for name in header}:
        raise DatasetError(
            f"{path}: its first line must name the columns path,label[,artist][,track][,split]"
        )
    for row in rows:
        yield dict(zip(header, row, strict=False))


def _json_records(path: Path) -> Iterator[dict[str, object]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DatasetError(f"{path}: line {number} is no JSON ({error})") from error
        if not isinstance(record, dict):
            raise DatasetError(f"{path}: line {number} must be an object")
        yield record
