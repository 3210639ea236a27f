"""What leakage does to a figure: one preset trained alike on several splits, measured side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genretag.datasets.base import PARTS, Dataset
from genretag.errors import FileError, SplitError, TrainingError, UsageError
from genretag.predict.engine import EngineOptions
from genretag.training.compare import Comparison, compare
from genretag.training.evaluate import evaluate_run
from genretag.training.history import Nobody, Watcher
from genretag.training.loop import STATE
from genretag.training.metrics import Evaluation
from genretag.training.options import TrainOptions
from genretag.training.prepare import blueprint
from genretag.training.run import CHECKPOINT
from genretag.training.splits import USUAL_FRACTIONS, SplitKind, SplitPlan, make_split
from genretag.training.state import require_same, write_durably
from genretag.training.target import Part, dataset_of
from genretag.training.train import REPORT, train

SETTINGS = "study.json"
Fractions = tuple[float, float, float]


@dataclass(frozen=True)
class Row:
    """One split of the study; `excess` is its accuracy less that of the reference (None for that itself).

    `score` is accuracy, or macro ROC-AUC where several labels are true of a clip.
    """

    kind: SplitKind
    train_clips: int
    measured_clips: int
    leak_free: bool
    reason: str
    score: float
    excess: float | None


@dataclass(frozen=True)
class Study:
    """The evaluations in the order asked for, what they say, and clips that could not be heard."""

    comparison: Comparison
    rows: tuple[Row, ...]
    sentences: tuple[str, ...]
    failures: Mapping[str, FileError]

    def to_json(self) -> dict[str, Any]:
        """What a study adds to the JSON of its comparison."""
        return {"study": [asdict(row) for row in self.rows], "sentences": list(self.sentences)}


def study(
    options: TrainOptions,
    kinds: Sequence[SplitKind],
    part: Part,
    engine: EngineOptions,
    watcher: Watcher | None = None,
) -> Study:
    """Train `options.model` on each kind of split and measure `part` of it, each in a folder of its own.

    What is finished in the folder of `options` is not trained again and what was begun is gone on with, so a
    killed study is continued by asking for it again. All parts are as large as those of the official split,
    where that is among the kinds: a larger train part alone would raise the figure. TrainingError where the
    folder holds a study with other settings, and whatever training raises.
    """
    if len(kinds) < 2 or len(set(kinds)) < len(kinds):
        raise UsageError("a study needs two different splits or more, such as official,track,segment")
    told = watcher or Nobody()
    blueprint(options)  # what is wrong with the preset is said before anything is written
    dataset = dataset_of(options)
    fractions = _fractions(dataset, kinds)
    plans = {
        kind: make_split(dataset, kind, seed=options.seed, fractions=_of(kind, fractions)) for kind in kinds
    }
    if lacking := [kind for kind in kinds if not plans[kind].parts.get(part)]:
        raise SplitError(
            f"{dataset.name}: no clip of the {part} part of its {lacking[0]} split is here; "
            "measure another part, for example with --split valid"
        )
    _claim(options, part, fractions)
    evaluations: list[Evaluation] = []
    failures: dict[str, FileError] = {}
    for number, kind in enumerate(kinds, start=1):
        told.news(f"split {number} of {len(kinds)}: {kind}")
        one = replace(options, split=kind, fractions=_of(kind, fractions), out=options.folder / kind)
        checkpoint, left_out = _trained(one, told)
        failures.update({error.message: error for error in left_out})
        measurement = evaluate_run(checkpoint, dataset, part, one, engine)
        evaluations.append(measurement.evaluation)
        failures.update(measurement.failures)
    # That figures on different clips have no paired test goes without saying here.
    comparison = replace(compare(evaluations), untested={})
    rows = _rows(evaluations, plans, part)
    return Study(comparison, rows, tuple(_sentences(rows, comparison)), failures)


def _fractions(dataset: Dataset, kinds: Sequence[SplitKind]) -> Fractions:
    """Sizes of the official parts, where they are part of the study."""
    if "official" not in kinds:
        return USUAL_FRACTIONS
    plan = make_split(dataset, "official")
    counts = [len(plan.parts[part]) for part in PARTS]
    train, valid = counts[0] / sum(counts), counts[1] / sum(counts)
    return train, valid, max(0.0, 1.0 - train - valid) if counts[2] else 0.0


def _of(kind: SplitKind, fractions: Fractions) -> Fractions:
    return USUAL_FRACTIONS if kind == "official" else fractions


def _claim(options: TrainOptions, part: Part, fractions: Fractions) -> None:
    """Note what the study is of, or refuse a folder that holds another one."""
    settings = {
        "--dataset": options.dataset,
        "--model": options.model,
        "--features": None if options.features is None else str(options.features.resolve()),
        "--split": part,
        "--seed": options.seed,
        "--epochs": options.epochs,
        "the values of the preset": dict(options.values),
        "the parts": list(fractions),
    }
    path = options.folder / SETTINGS
    if not path.exists():
        write_durably(path, json.dumps(settings, indent=1).encode() + b"\n", "the study")
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise TrainingError(f"{path}: cannot be read; give another --out") from None
    require_same(before, settings, options.folder)


def _trained(options: TrainOptions, watcher: Watcher) -> tuple[Path, tuple[FileError, ...]]:
    """Return the checkpoint of a split and the clips that its training left out."""
    folder = options.folder
    if (folder / REPORT).exists():
        watcher.news(f"already trained: {folder}")
        return folder / CHECKPOINT, ()
    begun = (folder / STATE).exists()
    result = train(replace(options, resume=begun), watcher)
    if result is None or result.checkpoint is None:
        raise TrainingError(f"{folder}: a study is made by one process; start it without torchrun")
    return result.checkpoint, result.left_out


def _rows(
    evaluations: Sequence[Evaluation], plans: Mapping[SplitKind, SplitPlan], part: Part
) -> tuple[Row, ...]:
    scores = dict(zip(plans, map(_score, evaluations), strict=True))
    reference = _reference(plans)
    return tuple(
        Row(
            kind=kind,
            train_clips=len(plan.part("train")),
            measured_clips=len(plan.part(part)),
            leak_free=plan.leak_free,
            reason=plan.reason,
            score=scores[kind],
            excess=None if kind == reference else scores[kind] - scores[reference],
        )
        for kind, plan in plans.items()
    )


def _score(evaluation: Evaluation) -> float:
    if evaluation.labels.kind == "multi" and evaluation.track.roc_auc is not None:
        return evaluation.track.roc_auc
    return evaluation.track.accuracy


def _reference(plans: Mapping[SplitKind, SplitPlan]) -> SplitKind:
    """The split to believe: the first that is free of leaks or, of leaking ones, the most careful."""
    careful: tuple[SplitKind, ...] = ("official", "artist", "track", "segment")
    ranked = sorted(plans, key=lambda kind: (not plans[kind].leak_free, careful.index(kind)))
    return ranked[0]


def _sentences(rows: Sequence[Row], comparison: Comparison) -> list[str]:
    """The figure to believe, and by how much each of the others differs from it and why."""
    multi = comparison.evaluations[0].labels.kind == "multi"
    what = "ROC-AUC" if multi else "accuracy"
    reference = next(row for row in rows if row.excess is None)
    trust = "is the figure to believe" if reference.leak_free else "is the most careful figure here"
    said = [
        f"{reference.kind}: {100 * reference.score:.1f} % {what} {trust} ({reference.reason}); trained on "
        f"{reference.train_clips:,} clips, measured on {reference.measured_clips:,}."
    ]
    for row, evaluation in zip(rows, comparison.evaluations, strict=True):
        if row.excess is None:
            continue
        points = 100 * row.excess
        apart = _apart(evaluation, comparison.evaluations[rows.index(reference)], multi=multi)
        beyond = "beyond" if apart else "within"
        verb = "inflated by" if row.excess > 0 and not row.leak_free else "differs by"
        said.append(
            f"{row.kind}: {100 * row.score:.1f} %, {verb} {points:+.1f} points against {reference.kind}, "
            f"{beyond} the 95 % intervals ({row.reason}); trained on {row.train_clips:,} clips, measured on "
            f"{row.measured_clips:,}."
        )
    return said


def _apart(one: Evaluation, other: Evaluation, *, multi: bool) -> bool:
    """Whether the intervals do not touch."""
    intervals = [(e.track.roc_auc_ci if multi else None) or e.track.accuracy_ci for e in (one, other)]
    (low, high), (other_low, other_high) = intervals
    return low > other_high or other_low > high
