"""The parts of a dataset as windows of features with what is true of their tracks, from audio or a file."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genretag.audio.features import FeatureSpec
from genretag.datasets.base import PARTS, Dataset
from genretag.datasets.registry import load
from genretag.errors import FeatureError, FileError
from genretag.labels import Kind, LabelSet
from genretag.predict.engine import EngineOptions
from genretag.training.cache import FeatureCache, Front, Frozen
from genretag.training.featurefile import FeatureRows, read_features
from genretag.training.grouping import groups_of
from genretag.training.splits import USUAL_FRACTIONS, SplitKind, SplitPlan, make_split
from genretag.training.variants import Variant
from genretag.training.windows import ArrayWindows, FileWindows, Ints, StoredWindows, WindowSource


@dataclass(frozen=True, eq=False)
class Examples:
    """Windows of one part of a dataset with what is true of their tracks.

    `track` (windows,) is the index of a window's track in `ids`. `targets`: single labels int64 (tracks,),
    several ones float32 (tracks, labels). `groups` (tracks,) is equal for tracks that cross-validation must
    not part (None: each on its own); `number` (windows,) is the place of a window in its track (None: they
    follow one another).
    """

    windows: WindowSource
    shape: tuple[int, ...]
    track: Ints
    ids: tuple[str, ...]
    targets: NDArray[np.int64] | NDArray[np.float32]
    labels: LabelSet
    groups: Ints | None = None
    number: Ints | None = None


@dataclass(frozen=True, eq=False)
class Parts:
    """A dataset cut by one split; a part without clips is None. `left_out`: clips that gave no windows."""

    train: Examples
    valid: Examples | None
    test: Examples | None
    split: SplitPlan
    dataset_name: str
    variant: str | None
    left_out: tuple[FileError, ...] = ()


def load_parts(
    dataset: Dataset,
    split: SplitPlan,
    spec: FeatureSpec,
    *,
    workers: int | None = None,
    device: str = "auto",
    quiet: bool = False,
    variants: Sequence[Variant] = (),
    frozen: Frozen | None = None,
    warn: Callable[[str], None] | None = None,
) -> Parts:
    """Windows of every clip of the split, from the feature cache, which is filled where they are missing.

    Train also gets the altered copies `variants` of its clips, as tracks of their own. A clip that cannot be
    decoded is left out, with one line to `warn` (default: stderr). FeatureError where no clip of train can be
    used or the cache cannot be written; what the engine raises.
    """
    options = EngineOptions(device=device, workers=workers)
    front = Front(spec, None, frozen)
    named = sorted({clip for part in PARTS for clip in split.parts.get(part, ())})
    plain, faults = _fill(dataset, named, front, options, quiet)
    copies = []
    for variant in variants:
        clips = [clip for clip in split.part("train") if clip in plain]
        altered, more = _fill(dataset, clips, Front(spec, variant, frozen), options, quiet)
        copies.append(altered)
        faults += more
    for fault in faults:
        (warn or _warn)(f"left out: {fault.message}")
    shelf = _Shelf(dataset)
    found: dict[str, Examples] = {}
    for part in PARTS:
        tracks, files = [], []
        for copy, stored in enumerate((plain, *copies) if part == "train" else (plain,)):
            some = _tracks(dataset, split, part, {clip: file.count for clip, file in stored.items()}, copy)
            tracks += some
            files += [stored[track.clip] for track in some]
        if tracks:
            windows = FileWindows(files, [track.numbers for track in tracks])
            found[part] = shelf.examples(tracks, windows, front.shape)
    return _parts(found, split, dataset, tuple(faults))


def parts_from_file(
    path: Path,
    dataset_name: str,
    data: Path | None = None,
    *,
    kind: SplitKind | None = None,
    seed: int = 0,
    fractions: tuple[float, float, float] = USUAL_FRACTIONS,
    folds: int | None = None,
    shape: tuple[int, ...] | None = None,
    variant: str | None = None,
    task: Kind | None = None,
) -> tuple[Parts, ...]:
    """The parts of a dataset from a features file: one Parts, or one per fold.

    `path` is an npz of X, Y and IDS or a dataset's own table (GTZAN's features_30_sec.csv, FMA's
    features.csv). `data` is where annotations and artists are looked for (default: beside the file). `shape`
    is what a model takes; rows of X with as many numbers are brought into it. Rows of clips that the dataset
    leaves out are dropped. FeatureError, DatasetError or SplitError in one line where they do not fit.
    """
    file = FeatureFile(path, dataset_name, data, shape=shape, variant=variant, task=task)
    numbers = range(folds) if folds is not None else (0,)
    splits = [
        make_split(file.dataset, kind, seed=seed, fractions=fractions, folds=folds, fold=number)
        for number in numbers
    ]
    return tuple(_parts(file.cut(split), split, file.dataset, ()) for split in splits)


class FeatureFile:
    """A features file with the dataset that its rows are of; see parts_from_file."""

    def __init__(
        self,
        path: Path,
        dataset_name: str,
        data: Path | None = None,
        *,
        shape: tuple[int, ...] | None = None,
        variant: str | None = None,
        task: Kind | None = None,
    ) -> None:
        features = read_features(path, dataset_name.split(":")[0])
        self.dataset = load(dataset_name, data or path.parent, variant=variant, task=task, ids=features.ids)
        self._X = _in_shape(features.X, shape, path)
        index = {clip.id: number for number, clip in enumerate(self.dataset.clips)}
        rows: dict[int, list[int]] = defaultdict(list)
        for row, row_id in enumerate(features.ids):
            if (clip_id := self.dataset.named.get(row_id)) is not None:
                rows[index[clip_id]].append(row)
        _check_numbers(features, rows, self.dataset, path)
        self._rows = {clip: np.array(some, np.int64) for clip, some in rows.items()}
        self._shelf = _Shelf(self.dataset)

    def cut(self, split: SplitPlan) -> dict[str, Examples]:
        """The parts of a split that have windows here."""
        counts = {clip: len(some) for clip, some in self._rows.items()}
        tracks = {part: _tracks(self.dataset, split, part, counts) for part in PARTS}
        return {part: self._examples(some) for part, some in tracks.items() if some}

    def everything(self) -> Examples:
        """All windows, whatever their part."""
        return self._examples([_Track(clip, 0, np.arange(len(some))) for clip, some in self._rows.items()])

    def _examples(self, tracks: Sequence[_Track]) -> Examples:
        chosen = np.concatenate([self._rows[track.clip][track.numbers] for track in tracks])
        return self._shelf.examples(tracks, ArrayWindows(self._X, chosen), self._X.shape[1:])


@dataclass(frozen=True)
class _Track:
    """A track of a part: its clip, which copy of it (0: as it is), and which of its windows."""

    clip: int
    copy: int
    numbers: Ints


class _Shelf:
    """What is true of the clips of a dataset, worked out once for all parts."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._groups = groups_of(dataset)
        self._targets = dataset.targets()

    def examples(self, tracks: Sequence[_Track], windows: WindowSource, shape: tuple[int, ...]) -> Examples:
        clips = [track.clip for track in tracks]
        names = [self.dataset.clips[clip].id for clip in clips]
        targets = self._targets[clips]  # (tracks, labels)
        single = self.dataset.labels.kind == "single"
        return Examples(
            windows=windows,
            shape=shape,
            track=np.repeat(np.arange(len(tracks)), [len(track.numbers) for track in tracks]),
            ids=tuple(
                f"{name} (copy {track.copy})" if track.copy else name
                for name, track in zip(names, tracks, strict=True)
            ),
            targets=targets.argmax(axis=1).astype(np.int64) if single else targets.astype(np.float32),
            labels=self.dataset.labels,
            groups=self._groups[clips],
            number=np.concatenate([track.numbers for track in tracks]),
        )


def _tracks(
    dataset: Dataset, split: SplitPlan, part: str, counts: Mapping[int, int], copy: int = 0
) -> list[_Track]:
    """The tracks of a part, in its order, of clips that have `counts` windows."""
    found = []
    for clip in split.parts.get(part, ()):
        numbers = split.windows(part, dataset.clips[clip].id, counts.get(clip, 0))
        if len(numbers):
            found.append(_Track(clip, copy, numbers))
    return found


def _fill(
    dataset: Dataset, clips: Sequence[int], front: Front, options: EngineOptions, quiet: bool
) -> tuple[dict[int, StoredWindows], list[FileError]]:
    """The cached windows of clips by index, and what went wrong with the others."""
    paths = []
    for clip in clips:
        if (path := dataset.clips[clip].path) is None:
            raise FeatureError(
                f"{dataset.name}: {dataset.clips[clip].id} is known without audio; name its data"
            )
        paths.append(path)
    stored, faults = {}, []
    for clip, answer in zip(clips, FeatureCache(front).fill(paths, options, quiet=quiet), strict=True):
        if isinstance(answer, FileError):
            faults.append(answer)
        else:
            stored[clip] = answer
    return stored, faults


def _parts(
    found: Mapping[str, Examples], split: SplitPlan, dataset: Dataset, left_out: tuple[FileError, ...]
) -> Parts:
    if "train" not in found:
        reason = f" ({left_out[0].message})" if left_out else ""
        raise FeatureError(f"{dataset.name}: no clip of the train part can be used{reason}")
    return Parts(
        train=found["train"],
        valid=found.get("valid"),
        test=found.get("test"),
        split=split,
        dataset_name=dataset.name,
        variant=dataset.variant,
        left_out=left_out,
    )


def _in_shape(X: NDArray[np.float32], shape: tuple[int, ...] | None, path: Path) -> NDArray[np.float32]:
    if shape is None or X.shape[1:] == shape:
        return X
    if math.prod(X.shape[1:]) != math.prod(shape):
        wanted = " x ".join(map(str, shape))
        raise FeatureError(
            f"{path}: a row of X has {math.prod(X.shape[1:]):,} numbers and the model takes {wanted}; "
            "these are features of another model"
        )
    return X.reshape(len(X), *shape)


def _check_numbers(
    features: FeatureRows, rows: Mapping[int, Sequence[int]], dataset: Dataset, path: Path
) -> None:
    """FeatureError where Y and the labels of a single-label dataset do not go together."""
    if features.Y is None or dataset.labels.kind == "multi":
        return
    if features.Y.ndim != 1:
        raise FeatureError(f"{path}: Y must have one number a window and has the shape {features.Y.shape}")
    pairs = {
        (dataset.clips[clip].labels[0], number) for clip in rows for number in features.Y[rows[clip]].tolist()
    }
    for place, what in enumerate(("the label {} has several numbers in Y", "Y numbers several labels {}")):
        seen = set()
        for pair in sorted(pairs):
            if pair[place] in seen:
                raise FeatureError(f"{path}: {what.format(pair[place])}; its rows do not belong to its IDS")
            seen.add(pair[place])


def _warn(message: str) -> None:
    shown = "".join(character if character.isprintable() else "?" for character in message)
    sys.stderr.write(f"genretag: {shown}\n")
