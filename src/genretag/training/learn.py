"""Genres of one's own: a small head on the frozen network of `auto`, measured on files that it did not hear.

The head is a linear layer on the network's embedding of each window (the probe of `training.fit`). Folds that
keep artists and albums together say how good it is and how sure it may be; then it is fitted to all files.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from genretag import __version__
from genretag import checkpoint as checkpoints
from genretag.audio.windows import Coverage
from genretag.checkpoint import Checkpoint, CheckpointMeta
from genretag.datasets.base import Clip, Dataset
from genretag.errors import FileError, TrainingError
from genretag.labels import Kind, LabelSet
from genretag.models.presets import PRESETS
from genretag.models.records import Fit
from genretag.models.registry import build_network, for_inference
from genretag.predict.engine import EngineOptions
from genretag.training.cache import FeatureCache, Front, Frozen
from genretag.training.distributed import World
from genretag.training.examples import Examples
from genretag.training.finish import calibrated_on
from genretag.training.fit import fit_classical
from genretag.training.forward import probabilities
from genretag.training.grouping import Ints, cut_folds, groups_of, strata_of
from genretag.training.guards import fit_guards, guarded
from genretag.training.inner import OutOfFold, out_of_fold
from genretag.training.metrics import Evaluation, evaluate_scores
from genretag.training.run import Rows
from genretag.training.splits import TOLERATED
from genretag.training.windows import FileWindows, StoredWindows

BASE = "auto"
# As `tag` hears a file where nothing else is asked for.
COVERAGE: Coverage = "fast"
# `c` was chosen in folds over GTZAN's train clips and over soundtracks: see docs/learn.md.
RECIPE = Fit(c=0.1, class_weights=True, artist_exponent=0.5)
FOLDS = 5
_NAMED = 4
CPU = World(torch.device("cpu"))  # for the head; the network may run elsewhere


@dataclass(frozen=True)
class LearnOptions:
    """`name` of the model, whether files may have several genres, and the machine.

    A genre of which fewer than `min_files` files can be heard is left out.
    """

    name: str
    min_files: int
    multi: bool = False
    seed: int = 0
    device: str = "auto"
    workers: int | None = None
    quiet: bool = False


@dataclass(frozen=True, eq=False)
class Grouped:
    """What the `folds` keep together: files of one number in `groups` (files,).

    `by` is "artist and album", "folder" or "file"; `unknown` files say nothing of an artist.
    """

    by: str
    groups: Ints
    folds: int
    unknown: int

    @property
    def doubtful(self) -> bool:
        """Whether songs of one artist may stand on both sides of a fold."""
        return self.by == "file" or self.unknown > TOLERATED * len(self.groups)


@dataclass(frozen=True, eq=False)
class Learnt:
    """A model of own genres at `path`, and how good it is on files that the fits of its folds did not hear.

    `answered` files would get a genre, `right` of them the true one; None where files have several genres.
    `hears_speech` is False where `auto`'s veto for speech had to be left out. `failures` are files that could
    not be heard, `few` the genres of which too few could.
    """

    path: Path
    meta: CheckpointMeta
    evaluation: Evaluation
    grouped: Grouped
    answered: int | None
    right: int | None
    hears_speech: bool
    failures: tuple[FileError, ...]
    few: dict[str, int]

    @property
    def above_chance(self) -> bool:
        """Whether the genres can be told apart at all: the interval lies above what needs no listening."""
        track = self.evaluation.track
        if track.roc_auc_ci is not None:
            return track.roc_auc_ci[0] > 0.5
        return track.accuracy_ci[0] > self.evaluation.baseline.accuracy


def model_path(name: str) -> Path:
    """Where a model of that name is kept; TrainingError for a name that cannot be one or is taken."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise TrainingError(f"--name {name}: give a word of letters, digits, - and _, such as mine")
    if name in checkpoints.shipped() or name in PRESETS:
        raise TrainingError(f"--name {name}: genretag has a model of that name; give another one")
    return checkpoints.own_folder() / f"{name}{checkpoints.SUFFIX}"


def learn(root: Path, clips: Sequence[Clip], options: LearnOptions) -> Learnt:
    """Learn the genres of clips from their sound; the model is found by its name from then on.

    Clips have paths below `root`; their `artist` and `track` (an album, or they themselves) say which belong
    together. Windows that were heard before come from the feature cache. TrainingError, in one line, where
    there are not two genres with enough files to hear; what the engine raises.
    """
    path = model_path(options.name)
    host = checkpoints.load(checkpoints.resolve(BASE))
    kind: Kind = "multi" if options.multi else "single"
    config = _config(host, kind)
    stored, failures = _heard(host, config, clips, options)
    clips, few = _enough([clip for clip in clips if clip.id in stored], options.min_files, failures)
    dataset = _dataset(root, clips, kind)
    grouped = _grouped(dataset, options.seed)
    examples = _examples(dataset, stored, grouped.groups)
    network = _probe(host, config, len(dataset.labels))
    inside = out_of_fold(network, examples, RECIPE, config, CPU, folds=grouped.folds, seed=options.seed)
    fit_classical(network, examples, RECIPE, config, CPU, seed=options.seed)
    meta = calibrated_on(
        _described(host, config, dataset, grouped, options),
        examples,
        inside.logits,
        inside.track,
        _on(grouped),
    )
    evaluation = _evaluation(meta, inside, grouped)
    state = network.state_dict()
    answered = right = None
    hears_speech = False
    if kind == "single":
        folds = cut_folds(strata_of(dataset), grouped.groups, grouped.folds, options.seed)
        guards = fit_guards(host, examples, folds)
        meta, state = guarded(meta, state, host, guards)
        sure = guards.sure(evaluation.y_prob)
        answered, hears_speech = int(sure.sum()), guards.hears_speech
        right = int((sure & (evaluation.y_guess & evaluation.y_true).any(axis=1)).sum())
    checkpoints.save(path, meta, state)
    return Learnt(path, meta, evaluation, grouped, answered, right, hears_speech, failures, few)


def _config(host: Checkpoint, kind: Kind) -> dict[str, Any]:
    """A probe on the embedding of the host's base."""
    usual = PRESETS["probe"].config
    base = {name: value for name, value in host.meta.config.items() if name in usual}
    return {**usual, **base, "rows": "embedding", "kind": kind, "statistics": []}


def _probe(host: Checkpoint, config: dict[str, Any], labels: int) -> nn.Module:
    """A probe that holds the host's base, its head still to be fitted."""
    network: Any = build_network("probe", config, labels, host.meta.features.shape)
    network.base.load_state_dict(
        {name.removeprefix("base."): value for name, value in host.state.items() if name.startswith("base.")}
    )
    probe: nn.Module = network
    return probe


def _heard(
    host: Checkpoint, config: dict[str, Any], clips: Sequence[Clip], options: LearnOptions
) -> tuple[dict[str, StoredWindows], tuple[FileError, ...]]:
    """The embeddings of the windows of each clip by its id, and why some have none."""
    network: Any = _probe(host, config, 2)

    def make() -> nn.Module:
        return Rows(for_inference(copy.deepcopy(network)))

    frozen = Frozen(f"{host.meta.tensors_sha256} embedding", (network.width,), make)
    cache = FeatureCache(Front(host.meta.features, None, frozen, COVERAGE))
    paths = [clip.path for clip in clips if clip.path is not None]
    engine = EngineOptions(device=options.device, workers=options.workers)
    stored, failures = {}, []
    for clip, answer in zip(clips, cache.fill(paths, engine, quiet=options.quiet), strict=True):
        if isinstance(answer, FileError):
            failures.append(answer)
        else:
            stored[clip.id] = answer
    return stored, tuple(failures)


def _enough(
    clips: Sequence[Clip], min_files: int, failures: Sequence[FileError]
) -> tuple[list[Clip], dict[str, int]]:
    """Clips with their genres that have enough files, and how many files the other genres have."""
    counts = Counter(label for clip in clips for label in clip.labels)
    kept = {label for label, count in counts.items() if count >= min_files}
    if len(kept) < 2:
        there = ", ".join(f"{label} {count:,}" for label, count in counts.most_common(6)) or "none"
        why = f"; the first that failed: {failures[0].message}" if failures else ""
        raise TrainingError(
            f"two genres need {min_files} files each that can be heard, and there are {there}{why}"
        )
    with_labels = [
        replace(clip, labels=tuple(label for label in clip.labels if label in kept)) for clip in clips
    ]
    few = {label: count for label, count in counts.items() if label not in kept}
    return [clip for clip in with_labels if clip.labels], few


def _dataset(root: Path, clips: Sequence[Clip], kind: Kind) -> Dataset:
    names = tuple(sorted({label for clip in clips for label in clip.labels}))
    labels = LabelSet(names, kind, {name: name for name in names})
    return Dataset("own", "", root, tuple(clips), labels, None, False, (), ())


def _grouped(dataset: Dataset, seed: int) -> Grouped:
    """The first way of keeping files together that leaves every fold all genres to learn from."""
    strata, truth = strata_of(dataset), dataset.targets()
    for by, clips in _ways(dataset.clips):
        groups = groups_of(replace(dataset, clips=tuple(clips)))
        for folds in range(min(FOLDS, len(np.unique(groups))), 1, -1):
            masks = cut_folds(strata, groups, folds, seed)
            if not all(truth[~held].any(axis=0).all() for held in masks):
                continue
            unknown = sum(clip.artist is None for clip in dataset.clips) if by == "artist and album" else 0
            return Grouped(by, groups, folds, unknown)
    raise TrainingError("the files are too few to be measured; add some to each genre")


def _ways(clips: Sequence[Clip]) -> Iterator[tuple[str, list[Clip]]]:
    if 2 * sum(clip.artist is not None for clip in clips) >= len(clips):
        yield "artist and album", list(clips)
    yield "folder", [replace(clip, artist=None, track=clip.id.rpartition("/")[0]) for clip in clips]
    yield "file", [replace(clip, artist=None, track=clip.id) for clip in clips]


def _examples(dataset: Dataset, stored: dict[str, StoredWindows], groups: Ints) -> Examples:
    files = [stored[clip.id] for clip in dataset.clips]
    targets = dataset.targets()
    single = dataset.labels.kind == "single"
    return Examples(
        windows=FileWindows(files, [np.arange(file.count) for file in files]),
        shape=files[0].shape,
        track=np.repeat(np.arange(len(files)), [file.count for file in files]),
        ids=tuple(clip.id for clip in dataset.clips),
        targets=targets.argmax(axis=1).astype(np.int64) if single else targets.astype(np.float32),
        labels=dataset.labels,
        groups=groups,
    )


def _described(
    host: Checkpoint, config: dict[str, Any], dataset: Dataset, grouped: Grouped, options: LearnOptions
) -> CheckpointMeta:
    files = Counter(label for clip in dataset.clips for label in clip.labels)
    return CheckpointMeta(
        name=options.name,
        preset="probe",
        config=config,
        features=host.meta.features,
        labels=dataset.labels,
        aggregation="head",
        dataset=_source(dataset),
        seed=options.seed,
        licence=host.meta.licence,
        origin=f"learnt by genretag {__version__} on the network of {host.meta.name}",
        extra={
            "files": dict(sorted(files.items())),
            "grouped": grouped.by,
            "inner_folds": grouped.folds,
            "recipe": asdict(RECIPE),
        },
    )


def _source(dataset: Dataset) -> str:
    """What was learnt from, as lists of models show it."""
    names = dataset.labels.names
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    folder = "" if dataset.root is None else dataset.root.absolute().name.encode("utf-8", "replace").decode()
    return f"{len(dataset.clips):,} files of {folder} ({', '.join(names[:_NAMED])}{more})"


def _on(grouped: Grouped) -> str:
    return f"{grouped.folds} folds by {grouped.by}"


def _evaluation(meta: CheckpointMeta, inside: OutOfFold, grouped: Grouped) -> Evaluation:
    """Every file as the fit without its fold hears it."""
    examples = inside.examples
    probs = probabilities(inside.logits, examples.labels.kind, meta.temperature)
    return evaluate_scores(
        examples.targets,
        probs,
        inside.track,
        examples.labels,
        model=meta.name,
        dataset=meta.dataset or "",
        split=_on(grouped),
        leak_free=not grouped.doubtful,
        ids=examples.ids,
        track_probs=probs,
        train_truth=examples.targets,
        thresholds=meta.thresholds,
    )
