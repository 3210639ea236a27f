"""What a copy of a dataset holds before anything is trained: parts, artists, leaks, trivial baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from genretag.datasets.base import PARTS, Dataset
from genretag.errors import SplitError
from genretag.training.metrics import Baseline, trivial_baseline
from genretag.training.splits import SplitKind, make_split


@dataclass(frozen=True)
class PartSurvey:
    """One part of the dataset's own split, or "all"; `baseline` is None where a part is empty.

    The majority class is that of the train part, as when a model is measured.
    """

    part: str
    clips: int
    artists: int
    unknown: int
    labels_per_clip: float
    baseline: Baseline | None


@dataclass(frozen=True)
class SplitVerdict:
    """Whether a kind of split keeps this copy's tracks and artists apart, in one sentence."""

    leak_free: bool | None
    reason: str


@dataclass(frozen=True)
class Survey:
    """A copy of a dataset; `density` is the share of label values that are set, `labels` counts clips."""

    dataset: str
    variant: str
    task: str
    root: str | None
    parts: tuple[PartSurvey, ...]
    density: float
    labels: dict[str, int]
    splits: dict[str, SplitVerdict]
    notes: tuple[str, ...]
    excluded: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def survey(dataset: Dataset, *, kinds: Sequence[SplitKind] = get_args(SplitKind), seed: int = 0) -> Survey:
    """Count what is there and try these kinds of splits; one that cannot be made has the reason why."""
    targets = dataset.targets()
    splits = {kind: _verdict(dataset, kind, seed) for kind in kinds}
    return Survey(
        dataset=dataset.name,
        variant=dataset.variant,
        task=dataset.labels.kind,
        root=None if dataset.root is None else str(dataset.root),
        parts=_parts(dataset, targets),
        density=float(targets.mean()),
        labels=dict(zip(dataset.labels.names, targets.sum(axis=0, dtype=np.int64).tolist(), strict=True)),
        splits={kind: verdict for kind, verdict in splits.items() if verdict is not None},
        notes=dataset.notes,
        excluded=dataset.excluded,
    )


def _parts(
    dataset: Dataset, targets: np.ndarray[tuple[int, int], np.dtype[np.uint8]]
) -> tuple[PartSurvey, ...]:
    everything = range(len(dataset.clips))
    if dataset.official is None:
        return (_part("all", everything, everything, dataset, targets),)
    rows = {part: [i for i in everything if dataset.clips[i].split == part] for part in PARTS}
    learnt = rows["train"] or list(everything)
    parts = [_part(part, rows[part], learnt, dataset, targets) for part in PARTS]
    return (*parts, _part("all", everything, everything, dataset, targets))


def _part(
    name: str,
    rows: Sequence[int],
    learnt: Sequence[int],
    dataset: Dataset,
    targets: np.ndarray[tuple[int, int], np.dtype[np.uint8]],
) -> PartSurvey:
    by = [dataset.clips[row].artist for row in rows]
    truth = targets[list(rows)].astype(bool)
    return PartSurvey(
        part=name,
        clips=len(by),
        artists=len(set(by) - {None}),
        unknown=by.count(None),
        labels_per_clip=float(truth.sum(axis=1).mean()) if len(by) else 0.0,
        baseline=trivial_baseline(truth, dataset.labels, targets[list(learnt)].astype(bool))
        if len(by)
        else None,
    )


def _verdict(dataset: Dataset, kind: SplitKind, seed: int) -> SplitVerdict | None:
    if kind == "official" and dataset.official is None:
        return None
    try:
        plan = make_split(dataset, kind, seed=seed)
    except SplitError as error:
        return SplitVerdict(None, str(error))
    return SplitVerdict(plan.leak_free, plan.reason)
