"""All datasets by name: load one, or say what is missing or broken in a copy of it."""

from __future__ import annotations

import contextlib
import dataclasses
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from genretag.audio.sources import AvSource, SoundfileSource, SourceError
from genretag.datasets import fma, folder, gtzan, magnatagatune
from genretag.datasets.base import (
    PARTS,
    Catalogue,
    Clip,
    Dataset,
    DatasetInfo,
    Finding,
    Request,
    audio_files,
    lacking,
)
from genretag.errors import DatasetError
from genretag.labels import Kind, LabelSet


@dataclass(frozen=True)
class Entry:
    """A dataset: what is known about it, and the function that reads its own files."""

    info: DatasetInfo
    catalogue: Callable[[Request], Catalogue]


REGISTRY: Mapping[str, Entry] = {
    module.INFO.name: Entry(module.INFO, module.catalogue) for module in (gtzan, fma, magnatagatune, folder)
}


def info(name: str) -> DatasetInfo:
    """What is known about a dataset; DatasetError that lists near names for an unknown one."""
    if entry := REGISTRY.get(name):
        return entry.info
    near = get_close_matches(name, REGISTRY, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(REGISTRY)}"
    raise DatasetError(f"no dataset is called {name!r}; {hint}")


def load(
    name: str,
    data: Path | None,
    *,
    variant: str | None = None,
    task: Kind | None = None,
    ids: Iterable[str] | None = None,
) -> Dataset:
    """The clips of a dataset whose audio lies below `data`, or those that `ids` names.

    `name` may carry the variant and the task: `fma:medium:multi`. `ids` are the names of rows of precomputed
    features; no audio is looked for then, and `data` is needed only where the labels are not in the names.
    DatasetError, in one line, where the layout is not the dataset's.
    """
    about, request = _request(name, data, variant, task, ids)
    catalogue = REGISTRY[about.name].catalogue(request)
    names = _named(about, catalogue, request.ids or ())
    here = _files(catalogue).paths if request.ids is None else dict.fromkeys(names.values())
    excluded = _left_out(catalogue, here)
    listed = [clip for clip in catalogue.clips if clip.id not in catalogue.faults]
    clips = [
        dataclasses.replace(clip, path=here[clip.id])
        for clip in listed
        if clip.id in here and clip.id not in excluded
    ]
    used = {clip.id for clip in clips}
    if not used:
        raise lacking(about, f"{data} holds no clip of {about.name}:{request.variant}")
    return Dataset(
        name=about.name,
        variant=request.variant,
        root=catalogue.audio or data,
        clips=tuple(sorted(clips, key=lambda clip: clip.id)),
        labels=_used(catalogue.labels, clips),
        official=catalogue.official,
        artist_filtered=catalogue.artist_filtered,
        excluded=tuple(sorted(excluded.items())),
        notes=(*catalogue.notes, *_notes(clips, listed, excluded)),
        named={name: clip for name, clip in names.items() if clip in used},
    )


def verify(
    name: str,
    data: Path,
    *,
    variant: str | None = None,
    task: Kind | None = None,
    open_files: bool = False,
) -> list[Finding]:
    """What is wrong with a copy: errors first, then warnings, then notes; [] for a perfect one.

    `open_files` also decodes the start of every clip, which takes some milliseconds each.
    """
    about, request = _request(name, data, variant, task, None)
    try:
        catalogue = REGISTRY[about.name].catalogue(request)
    except DatasetError as error:
        return [Finding("error", str(error), data)]
    files = _files(catalogue)
    root = catalogue.audio or data
    findings = [Finding("warning", f"a second file of {clip}", root / name) for name, clip in files.second]
    findings += [Finding("note", "no clip of the dataset", root / name) for name in files.surplus]
    for clip in catalogue.clips:
        path = files.paths.get(clip.id)
        if reason := catalogue.faults.get(clip.id):
            findings += [Finding("note", f"left out: {reason}", path)] if path else []
        elif path is None:
            findings.append(Finding("warning", "missing", root / clip.id))
        elif reason := _unusable(path):
            findings.append(Finding("error", reason, path))
        elif open_files and not _opens(path):
            findings.append(Finding("error", "does not open as audio", path))
    order = ("error", "warning", "note")
    return sorted(findings, key=lambda found: (order.index(found.severity), str(found.path)))


def _request(
    name: str, data: Path | None, variant: str | None, task: Kind | None, ids: Iterable[str] | None
) -> tuple[DatasetInfo, Request]:
    name, *words = name.split(":")
    about = info(name)
    for word in words:
        if word in about.variants and variant in (None, word):
            variant = word
        elif word in ("single", "multi") and task in (None, word):
            task = "single" if word == "single" else "multi"
        else:
            raise DatasetError(f"{name}: {word!r} does not fit; {_choices(about)}")
    if variant is not None and variant not in about.variants:
        raise DatasetError(f"{name}: there is no variant {variant!r}; {_choices(about)}")
    if task is not None and task not in about.tasks:
        raise DatasetError(f"{name}: its labels are not {task}; {_choices(about)}")
    return about, Request(
        data, variant or next(iter(about.variants)), task, None if ids is None else tuple(dict.fromkeys(ids))
    )


def _choices(about: DatasetInfo) -> str:
    return f"variants are {', '.join(about.variants)}; tasks are {', '.join(about.tasks)}"


def _named(about: DatasetInfo, catalogue: Catalogue, names: Sequence[str]) -> dict[str, str]:
    """Clip id by the name of a feature row; DatasetError for a name that is no clip."""
    found = {}
    for name in names:
        clip = catalogue.find(name)
        if clip is None:
            raise DatasetError(
                f"{about.name}: features are given for {name!r}, which is no clip of the dataset"
            )
        found[name] = clip
    return found


def _left_out(catalogue: Catalogue, here: Mapping[str, Path | None]) -> dict[str, str]:
    faults = {clip: reason for clip, reason in catalogue.faults.items() if clip in here}
    for clip, reason in catalogue.suspects.items():
        if (path := here.get(clip)) is not None and not _opens(path):
            faults.setdefault(clip, reason)
    return faults


@dataclass(frozen=True)
class _Files:
    """Audio files below the catalogue's folder: by clip, further ones of a clip, and those of no clip."""

    paths: dict[str, Path | None]
    second: list[tuple[str, str]]
    surplus: list[str]


def _files(catalogue: Catalogue) -> _Files:
    known = {clip.id: clip.path for clip in catalogue.clips}
    files = _Files({clip: path for clip, path in known.items() if path and path.is_file()}, [], [])
    if catalogue.audio is None or any(known.values()):
        return files
    for name in audio_files(catalogue.audio):
        clip = catalogue.find(name)
        if clip is None or clip not in known:
            files.surplus.append(name)
        elif clip in files.paths:
            files.second.append((name, clip))
        else:
            files.paths[clip] = catalogue.audio / name
    return files


def _unusable(path: Path) -> str:
    """Return why a file need not be opened, or an empty text: nothing else than a regular file may be."""
    try:
        status = path.stat()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    return "" if status.st_size else "empty"


def _opens(path: Path) -> bool:
    """Whether one of the decoders that prediction uses finds sound in a file."""
    if _unusable(path):
        return False
    for decoder in (AvSource, SoundfileSource):
        with contextlib.suppress(SourceError), contextlib.closing(decoder(path)) as source:
            if any(len(block) for _, block in source.blocks()):
                return True
    return False


def _used(labels: LabelSet, clips: Sequence[Clip]) -> LabelSet:
    """The labels that a partial copy can teach: of single ones, those that a clip here has."""
    if labels.kind == "multi":
        return labels
    here = {label for clip in clips for label in clip.labels}
    names = tuple(name for name in labels.names if name in here)
    return LabelSet(
        names, labels.kind, {name: labels.genres[name] for name in names if name in labels.genres}
    )


def _notes(clips: Sequence[Clip], listed: Sequence[Clip], excluded: Mapping[str, str]) -> list[str]:
    """How much of the dataset is not here, and how much is not known of what is."""
    here = {clip.id for clip in clips} | set(excluded)
    absent = Counter(clip.split or "" for clip in listed if clip.id not in here)
    notes = []
    if absent:
        parts = ", ".join(f"{part} {absent[part]:,}" for part in PARTS if absent[part])
        count = f"{absent.total():,} of {len(listed):,} clips are not here"
        notes.append(f"{count} ({parts})" if parts else count)
    if unknown := sum(clip.artist is None for clip in clips):
        notes.append(f"the artist of {unknown:,} of {len(clips):,} clips is not known")
    return notes
