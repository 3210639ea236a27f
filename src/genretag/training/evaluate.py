"""A checkpoint against one part of a dataset: through the engine that tagging uses, or from features."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from genretag.checkpoint import CheckpointMeta, load, read_meta
from genretag.datasets.base import Dataset
from genretag.errors import FeatureError, FileError, SplitError, TrainingError
from genretag.labels import LabelSet
from genretag.models.registry import load_model
from genretag.predict.engine import EngineOptions, Job, predict
from genretag.predict.score import find_device
from genretag.training.bootstrap import Floats
from genretag.training.distributed import World
from genretag.training.examples import Examples, FeatureFile
from genretag.training.forward import every_window, probabilities, rows_of
from genretag.training.metrics import Evaluation, evaluate_scores
from genretag.training.options import TrainOptions
from genretag.training.splits import SplitPlan
from genretag.training.target import Origin, Part, Target, full_name, origin_of, split_name, target_of
from genretag.training.translate import Translation, translate

_NAMED = 6


@dataclass(frozen=True, eq=False)
class Heard:
    """What a model says: `windows` (windows, its labels) of the tracks `track` (windows,).

    `whole` (tracks, its labels): the answer of a model of whole tracks, None where windows are averaged.
    """

    windows: Floats
    track: NDArray[np.int64]
    whole: Floats | None
    seconds_per_track: float | None = None


@dataclass(frozen=True, eq=False)
class Measurement:
    """An evaluation, and why some clips have no score, by their ids."""

    evaluation: Evaluation
    failures: Mapping[str, FileError]


def evaluate_checkpoint(
    path: Path, dataset: Dataset, part: Part, options: EngineOptions, *, quiet: bool = False
) -> Measurement:
    """Measure a checkpoint on the audio of one part, window by window, as `genretag tag` hears it.

    A clip that cannot be decoded is left out and named among the failures. FeatureError, SplitError or
    TrainingError where nothing can be measured.
    """
    meta = read_meta(path)
    if meta.features.kind == "table":
        raise FeatureError(f"{path}: trained on a features file, not on audio; name one with --features")
    target = target_of(meta, dataset, part)
    if target.plan is not None and target.plan.by_window and options.coverage != "full":
        raise SplitError("a split by segment deals out the windows of full coverage; leave out --coverage")
    heard, failures = _hear(path, target, options, quiet=quiet)
    truth, ids = _truth(dataset, target.rows), [dataset.clips[row].id for row in target.rows]
    return Measurement(_evaluation(meta, heard, truth, ids, dataset.labels, _about(meta, target)), failures)


def evaluate_features(
    path: Path,
    features: Path,
    dataset: str,
    part: Part,
    *,
    data: Path | None = None,
    variant: str | None = None,
    device: str = "auto",
) -> Evaluation:
    """Measure a checkpoint on the rows of one part in a features file of a dataset.

    `data` is where the dataset's annotations and artists lie, if not beside the file. FeatureError where the
    rows are not what the model takes.
    """
    checkpoint = load(path)
    meta, model = checkpoint.meta, load_model(checkpoint)
    network: Any = model
    shape = (int(network.width),) if meta.aggregation == "head" else meta.features.shape
    file = FeatureFile(features, dataset, data, shape=shape, variant=variant)
    target = target_of(meta, file.dataset, part)
    examples = file.everything() if target.plan is None else file.cut(target.plan).get(part)
    if examples is None:
        raise FeatureError(f"{features}: holds no window of the {target.split} part of {dataset}")
    heard = _hear_features(model, meta, examples, find_device(device))
    return _evaluation(meta, heard, examples.targets, examples.ids, examples.labels, _about(meta, target))


def evaluate_run(
    path: Path, dataset: Dataset, part: Part, run: TrainOptions, engine: EngineOptions
) -> Measurement:
    """Measure the checkpoint of a training on what it was trained with: audio, or a features file."""
    if run.features is None:
        return evaluate_checkpoint(path, dataset, part, engine, quiet=run.quiet)
    where: dict[str, Any] = {"data": run.data, "variant": run.variant, "device": run.device}
    return Measurement(evaluate_features(path, run.features, run.dataset, part, **where), {})


def evaluate_examples(
    model: nn.Module,
    meta: CheckpointMeta,
    examples: Examples,
    *,
    dataset: str,
    plan: SplitPlan,
    part: Part,
    train: Examples | None,
    device: torch.device,
    variant: str | None = None,
) -> Evaluation:
    """Measure a model on windows of features, or on rows that a model of whole tracks takes.

    `plan` is the split that `meta` names; `train` is its train part, for the majority baseline. FeatureError
    where the windows are not of the shape that the model takes.
    """
    about = _About(
        dataset=full_name(dataset, variant),
        split=split_name(plan, part),
        origin=origin_of(meta, dataset, plan, part, published=False),
        train_truth=None if train is None else train.targets,
    )
    heard = _hear_features(model, meta, examples, device)
    return _evaluation(meta, heard, examples.targets, examples.ids, examples.labels, about)


@dataclass(frozen=True, eq=False)
class _About:
    """What an evaluation says of itself beside its figures."""

    dataset: str
    split: str
    origin: Origin
    train_truth: NDArray[Any] | None


def _about(meta: CheckpointMeta, target: Target) -> _About:
    dataset, plan = target.dataset, target.plan
    train = () if plan is None else plan.parts.get("train", ())
    return _About(
        dataset=full_name(dataset.name, dataset.variant),
        split=target.split,
        origin=origin_of(meta, dataset.name, plan, target.part, published=target.published),
        train_truth=_truth(dataset, train) if train else None,
    )


def _truth(dataset: Dataset, rows: Sequence[int]) -> NDArray[Any]:
    """Label numbers (clips,) of a single-label dataset, flags (clips, labels) of another."""
    targets = dataset.targets()[list(rows)]
    return targets.argmax(axis=1) if dataset.labels.kind == "single" else targets


def _hear(
    path: Path, target: Target, options: EngineOptions, *, quiet: bool
) -> tuple[Heard, dict[str, FileError]]:
    """What the model says of every clip of the target; clips that fail have no window."""
    clips = [target.dataset.clips[row] for row in target.rows]
    jobs = (Job(number, clip.path) for number, clip in enumerate(clips))
    windows, track, seconds = [], [], []
    whole: dict[int, NDArray[np.float32]] = {}
    failures: dict[str, FileError] = {}
    show = sys.stderr.isatty() and not quiet
    with (
        closing(predict(jobs, path, replace(options, keep_windows=True))) as answers,
        tqdm(total=len(clips), desc="clips", unit=" clips", file=sys.stderr, disable=not show) as bar,
    ):
        for number, scores in answers:
            bar.update()
            clip = clips[number]
            if scores is None:
                raise FeatureError(f"{target.dataset.name}: {clip.id} is known without audio; name its data")
            if scores.error is not None:
                failures[clip.id] = scores.error
            if scores.windows is None or scores.scores is None:
                continue
            heard = scores.windows
            if target.plan is not None:
                heard = heard[target.plan.windows(target.part, clip.id, len(heard))]
            windows.append(heard)
            track.append(np.full(len(heard), number))
            whole[number] = scores.scores
            seconds.append(scores.seconds)
    if not windows:
        first = f" ({next(iter(failures.values())).message})" if failures else ""
        raise TrainingError(f"{target.dataset.name}: no clip of the {target.split} part can be heard{first}")
    answer = None
    by_window = target.plan is not None and target.plan.by_window
    if read_meta(path).aggregation == "head" and not by_window:
        answer = np.zeros((len(clips), windows[0].shape[1]))
        for number, scores_of_track in whole.items():
            answer[number] = scores_of_track
    return (
        Heard(
            np.concatenate(windows).astype(np.float64), np.concatenate(track), answer, float(np.mean(seconds))
        ),
        failures,
    )


def _hear_features(model: nn.Module, meta: CheckpointMeta, examples: Examples, device: torch.device) -> Heard:
    """What the model says of windows of features; of a model of whole tracks also of their rows."""
    world, network = World(device), model.to(device).eval()
    if meta.aggregation != "head":
        _check_shape(meta, examples, meta.features.shape)
        logits = every_window(network, network, examples, world)
        return Heard(_probabilities(meta, logits), examples.track, None)
    head: Any = network
    if examples.shape != meta.features.shape:
        _check_shape(meta, examples, (int(head.width),))
    rows = rows_of(network, examples, world)
    with torch.inference_mode():
        given = torch.from_numpy(rows).to(device)
        alone = torch.stack([head.track(given[number : number + 1]) for number in range(len(given))])
        members = [torch.from_numpy(np.flatnonzero(examples.track == n)) for n in range(len(examples.ids))]
        whole = torch.stack([head.track(given[rows_of_track.to(device)]) for rows_of_track in members])
    said, answer = (_probabilities(meta, logits.float().cpu().numpy()) for logits in (alone, whole))
    return Heard(said, examples.track, answer)


def _check_shape(meta: CheckpointMeta, examples: Examples, wanted: tuple[int, ...]) -> None:
    if examples.shape != wanted:
        given, taken = (" x ".join(map(str, shape)) for shape in (examples.shape, wanted))
        raise FeatureError(
            f"{meta.name} takes windows of {taken} numbers and these have {given}: features of another model"
        )


def _probabilities(meta: CheckpointMeta, logits: NDArray[np.float32]) -> Floats:
    return probabilities(logits, meta.labels.kind, meta.temperature)


def _evaluation(
    meta: CheckpointMeta,
    heard: Heard,
    truth: NDArray[Any],
    ids: Sequence[str],
    labels: LabelSet,
    about: _About,
) -> Evaluation:
    translation = translate(meta.labels, labels, meta.thresholds)
    notes = [about.origin.note, _on_labels(meta.name, translation, truth)]
    return evaluate_scores(
        truth,
        translation.apply(heard.windows),
        heard.track,
        translation.labels,
        model=meta.name,
        dataset=about.dataset,
        split=about.split,
        leak_free=about.origin.leak_free,
        tracks_apart=about.origin.tracks_apart,
        artists_apart=about.origin.artists_apart,
        note="; ".join(note for note in notes if note) or None,
        ids=ids,
        track_probs=None if heard.whole is None else translation.apply(heard.whole),
        train_truth=about.train_truth,
        thresholds=translation.thresholds,
        seconds_per_track=heard.seconds_per_track,
    )


def _on_labels(model: str, translation: Translation, truth: NDArray[Any]) -> str | None:
    """What the model cannot say, and what it says beyond the dataset's labels."""
    facts = []
    if translation.unnamed:
        cost = "they score 0"
        if translation.labels.kind == "single":
            numbers = [translation.labels.names.index(name) for name in translation.unnamed]
            cost = f"{np.isin(truth, numbers).sum():,} of {len(truth):,} clips count as wrong"
        facts.append(f"{model} cannot say {listed(translation.unnamed)}: {cost}")
    if translation.elsewhere:
        facts.append(f"its other genres ({listed(translation.elsewhere)}) are wrong answers here")
    return "; ".join(facts) or None


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    rest = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + rest
