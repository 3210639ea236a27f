"""Train a model on a user's genres: a linear head on the frozen encoder of `auto`, measured on new artists.

The head is a logistic regression on the mean embedding of a track. Nested folds that keep artists and
albums together estimate how many files of new artists it answers, and how many of these answers are right;
then it is fitted to all files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genretag import __version__
from genretag import checkpoint as checkpoints
from genretag.checkpoint import Checkpoint, CheckpointMeta
from genretag.datasets.base import Clip, Dataset
from genretag.errors import FileError, TrainingError
from genretag.labels import Kind, LabelSet
from genretag.models.presets import PRESETS
from genretag.models.records import Fit
from genretag.predict.engine import EngineOptions
from genretag.training.bootstrap import Floats
from genretag.training.copies import (
    BASE,
    embed_files,
    encoder_config,
    one_per_recording,
    probe_on,
    recording_groups,
    with_two_labels,
)
from genretag.training.distributed import World
from genretag.training.examples import Examples
from genretag.training.finish import calibrated_on
from genretag.training.fit import fit_classical
from genretag.training.forward import by_track, probabilities
from genretag.training.grouping import Ints, cut_folds, groups_of, strata_of
from genretag.training.guards import Guards, fit_familiar, guarded, hears_speech, score_by_host
from genretag.training.inner import out_of_fold
from genretag.training.metrics import Evaluation, evaluate_scores
from genretag.training.nested import TrainingSet, fit_head, nested_estimate, rate_interval
from genretag.training.splits import TOLERATED
from genretag.training.windows import FileWindows, StoredWindows

# `c` was chosen in folds by artist over twenty clips a genre: see docs/learn.md.
RECIPE = Fit(c=0.01, class_weights=True, artist_exponent=0.5)
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


@dataclass(frozen=True)
class Abstention:
    """Files that would get a genre and, of these, the right one, with 95 % intervals of both shares.

    `by_host` of the answers are those of `auto`, for files unlike the training files.
    """

    answered: int
    right: int
    by_host: int
    answered_ci: tuple[float, float]
    right_ci: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Learnt:
    """A learnt model at `path`, and how good it is on files of other artists.

    `accuracy_ci` is the 95 % interval of the accuracy without abstaining. `abstention` is None if files have
    several genres. `hears_speech` is False if `auto`'s veto for speech had to be left out. `failures` are
    files that could not be analysed, `few` the genres with too few files. `copies` files were left out as
    copies of others, and all files of the recordings in `conflicts`, whose files have different genres.
    """

    path: Path
    meta: CheckpointMeta
    evaluation: Evaluation
    accuracy_ci: tuple[float, float]
    grouped: Grouped
    abstention: Abstention | None
    hears_speech: bool
    failures: tuple[FileError, ...]
    few: dict[str, int]
    copies: int
    conflicts: tuple[tuple[Clip, ...], ...]

    @property
    def above_chance(self) -> bool:
        """Return True if the interval lies above what a constant answer reaches."""
        track = self.evaluation.track
        if track.roc_auc_ci is not None:
            return track.roc_auc_ci[0] > 0.5
        return self.accuracy_ci[0] > self.evaluation.baseline.accuracy


def model_path(name: str) -> Path:
    """Where a model of that name is kept; TrainingError for a name that cannot be one or is taken."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise TrainingError(f"--name {name}: give a word of letters, digits, - and _, such as mine")
    if name in checkpoints.shipped() or name in PRESETS:
        raise TrainingError(f"--name {name}: genretag has a model of that name; give another one")
    return checkpoints.own_folder() / f"{name}{checkpoints.SUFFIX}"


def learn(root: Path, clips: Sequence[Clip], options: LearnOptions) -> Learnt:
    """Train a model on the genres of clips; it is found by its name afterwards.

    Embeddings come from the feature cache, which is filled if they are missing. The files of a recording
    count once; with single labels, a recording whose files have different genres is left out.

    Args:
        root: Folder of the clips.
        clips: Their `artist` and `track` (an album, or the file) tell which belong together.
        options: Name, least number of files of a genre, and the machine.

    Raises:
        TrainingError: There are not two genres with enough files.
        GenretagError: What the engine raises.
    """
    path = model_path(options.name)
    host = checkpoints.load(checkpoints.resolve(BASE))
    kind: Kind = "multi" if options.multi else "single"
    config = {**encoder_config(host), "kind": kind, "statistics": ["mean"]}
    clips, stored, failures = _embedded(host, clips, options)
    groups = recording_groups([stored[clip.id] for clip in clips])
    conflicts = [] if options.multi else with_two_labels(clips, groups)
    unclear = {clip.id for some in conflicts for clip in some}
    kept = [clip for clip in one_per_recording(clips, groups) if clip.id not in unclear]
    copies = len(clips) - len(kept) - len(unclear)
    kept, few = _enough(kept, options.min_files, failures)
    dataset = _dataset(root, kept, kind)
    grouped = _grouped(dataset, options.seed)
    examples = _examples(dataset, stored, grouped.groups)
    network = probe_on(host, config, len(dataset.labels))
    described = _described(host, config, dataset, grouped, options)
    fit = _fit_single if kind == "single" else _fit_multi
    meta, state, measured = fit(host, network, examples, grouped, described, options.seed)
    checkpoints.save(path, meta, state)
    return Learnt(
        path=path,
        meta=meta,
        grouped=grouped,
        failures=failures,
        few=few,
        copies=copies,
        conflicts=tuple(conflicts),
        **measured,
    )


def _fit_single(
    host: Checkpoint, network: Any, examples: Examples, grouped: Grouped, meta: CheckpointMeta, seed: int
) -> tuple[CheckpointMeta, dict[str, Tensor], dict[str, Any]]:
    """Fit a model of genres that exclude each other: its description, its tensors and what was measured."""
    labels, groups = examples.targets.astype(np.int64), grouped.groups
    windows = examples.windows.gather(np.arange(len(examples.windows)))
    rows = np.stack([windows[mine].mean(axis=0, dtype=np.float64) for mine in by_track(examples)])
    data = TrainingSet(rows, labels, groups, len(examples.labels), score_by_host(host, examples))
    folds = cut_folds(labels, groups, grouped.folds, seed)
    found = nested_estimate(data, folds, RECIPE, seed)
    network.adopt(fit_head(rows, labels, groups, RECIPE))
    meta = calibrated_on(meta, examples, found.logits, np.arange(len(data)), _on(grouped))
    familiar = fit_familiar(data.host.odds, labels, folds, groups)[0]
    hears = hears_speech(data.host.speech, data.host.limit)
    guards = Guards(familiar, hears, data.host.limit)
    evaluation = _evaluation(meta, examples, found.probs, grouped)
    answered, right = found.answers >= 0, found.answers == labels
    measured = {
        "evaluation": evaluation,
        "accuracy_ci": rate_interval(found.probs.argmax(axis=1) == labels, groups),
        "abstention": Abstention(
            int(answered.sum()),
            int(right.sum()),
            int(found.by_host.sum()),
            rate_interval(answered, groups),
            rate_interval(right[answered], groups[answered]),
        ),
        "hears_speech": hears,
    }
    return *guarded(meta, network.state_dict(), host, guards), measured


def _fit_multi(
    host: Checkpoint,
    network: nn.Module,
    examples: Examples,
    grouped: Grouped,
    meta: CheckpointMeta,
    seed: int,
) -> tuple[CheckpointMeta, dict[str, Tensor], dict[str, Any]]:
    """Fit a model of several genres a file; see `_fit_single`."""
    config = meta.config
    inside = out_of_fold(network, examples, RECIPE, config, CPU, folds=grouped.folds, seed=seed)
    fit_classical(network, examples, RECIPE, config, CPU, seed=seed)
    meta = calibrated_on(meta, examples, inside.logits, inside.track, _on(grouped))
    probs = probabilities(inside.logits, "multi", meta.temperature)
    evaluation = _evaluation(meta, examples, probs, grouped)
    measured = {
        "evaluation": evaluation,
        "accuracy_ci": evaluation.track.accuracy_ci,
        "abstention": None,
        "hears_speech": False,
    }
    return meta, network.state_dict(), measured


def _embedded(
    host: Checkpoint, clips: Sequence[Clip], options: LearnOptions
) -> tuple[list[Clip], dict[str, StoredWindows], tuple[FileError, ...]]:
    """Return the clips that can be analysed, their embeddings by id, and the errors of the others."""
    paths = [clip.path for clip in clips if clip.path is not None]
    engine = EngineOptions(device=options.device, workers=options.workers)
    stored, failures = {}, []
    for clip, answer in zip(clips, embed_files(host, paths, engine, quiet=options.quiet), strict=True):
        if isinstance(answer, FileError):
            failures.append(answer)
        else:
            stored[clip.id] = answer
    return [clip for clip in clips if clip.id in stored], stored, tuple(failures)


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


def _evaluation(meta: CheckpointMeta, examples: Examples, probs: Floats, grouped: Grouped) -> Evaluation:
    """Evaluate predictions (tracks, genres) by fits without the track's fold."""
    return evaluate_scores(
        examples.targets,
        probs,
        np.arange(len(probs)),
        examples.labels,
        model=meta.name,
        dataset=meta.dataset or "",
        split=_on(grouped),
        leak_free=not grouped.doubtful,
        tracks_apart=True,
        artists_apart=None if grouped.doubtful or grouped.by == "folder" else True,
        ids=examples.ids,
        track_probs=probs,
        train_truth=examples.targets,
        thresholds=meta.thresholds,
    )
