"""One training from its data to its report, in a folder of its own."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genretag import __version__
from genretag import checkpoint as checkpoints
from genretag.audio.features import table_features
from genretag.checkpoint import CheckpointMeta
from genretag.errors import FileError, TrainingError
from genretag.models.records import Fit
from genretag.models.standardise import measure
from genretag.training.batches import ahead
from genretag.training.cache import Frozen
from genretag.training.distributed import World
from genretag.training.evaluate import evaluate_examples
from genretag.training.examples import Examples, Parts
from genretag.training.finish import calibrated
from genretag.training.fit import Search, fit_classical
from genretag.training.forward import Rows
from genretag.training.history import FILE as HISTORY
from genretag.training.history import History, Watcher
from genretag.training.inner import OutOfFold, calibrated_inside, measured_inside, out_of_fold
from genretag.training.loop import LoopSettings, fit_network
from genretag.training.metrics import Evaluation
from genretag.training.options import TrainOptions
from genretag.training.prepare import Blueprint, Data
from genretag.training.report import write_report
from genretag.training.target import Part, full_name
from genretag.training.threads import cpu_threads, default_threads
from genretag.training.transfer import Beginning, start

CHECKPOINT = "checkpoint.safetensors"
MEASURED_AT_ONCE = 256  # windows


@dataclass(frozen=True)
class RunResult:
    """A finished training; `history` is None if scikit-learn fitted it. `left_out`: unusable clips."""

    evaluation: Evaluation
    checkpoint: Path
    history: History | None
    left_out: tuple[FileError, ...] = ()


@dataclass(frozen=True)
class Run:
    """What is trained where; `number` is that of the split, a fold's where there are folds."""

    options: TrainOptions
    plan: Blueprint
    data: Data
    number: int
    folder: Path
    world: World
    watcher: Watcher


def run(one: Run) -> RunResult | None:
    """Train, calibrate, save, measure, report; None for a process that does not lead.

    KeyboardInterrupt after Ctrl-C, with the state and the best checkpoint so far in the folder.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(one.options.seed)
        network = one.plan.build(len(one.data.labels))
    on_cpu = one.world.device.type == "cpu" and one.plan.preset.fit == "gradient"
    with cpu_threads(one.options.threads or (default_threads(network) if on_cpu else None)):
        return _run(one, network)


def _run(one: Run, network: nn.Module) -> RunResult | None:
    """Do the work of `run` with a network that has its initial weights."""
    labels, options, plan = one.data.labels, one.options, one.plan
    beginning = start(
        network, plan.preset, plan.config, plan.features, labels, init=options.init, freeze=options.freeze
    )
    parts = one.data.parts(one.number, _frozen(network, plan))
    meta = _describe(one, parts, beginning)
    one.watcher.news(_sizes(parts))
    history, search = _train(one, network, parts, beginning)
    if history is not None and history.ended == "interrupted":
        _keep_what_there_is(one, network, meta, history)
        raise KeyboardInterrupt
    if not one.world.leads:
        return None
    # From here on one process works alone.
    world = World(one.world.device)
    network.to(world.device)
    about: dict[str, Any] = {"grid": None if search is None else asdict(search)}
    about |= {"epoch": history.best, "ended": history.ended} if history is not None else {}
    meta = replace(meta, extra={**meta.extra, **about})
    inside = _inner_folds(one, network, parts, world)
    if inside is not None:
        meta = calibrated_inside(meta, inside)
    elif parts.valid is not None:
        meta = calibrated(network, meta, parts.valid, world)
    checkpoints.save(one.folder / CHECKPOINT, meta, network.state_dict())
    if inside is not None and parts.valid is None and parts.test is None:
        evaluation = measured_inside(meta, inside, parts)
    else:
        evaluation = _measured(network, meta, parts, world, options.measure)
    if options.report:
        there = one.folder / HISTORY if history is not None else None
        write_report(evaluation, one.folder, history=there, left_out=parts.left_out)
    return RunResult(evaluation, one.folder / CHECKPOINT, history, parts.left_out)


def _train(
    one: Run, network: nn.Module, parts: Parts, beginning: Beginning
) -> tuple[History | None, Search | None]:
    recipe, options, world = one.plan.recipe, one.options, one.world
    if isinstance(recipe, Fit):
        network.to(world.device)
        search = fit_classical(
            network, parts.train, recipe, one.plan.config, world, seed=options.seed, search=options.grid
        )
        if search is not None:
            values = ", ".join(f"{name} {value:g}" for name, value in search.chosen.items())
            one.watcher.news(f"grid search: {values}, {search.score:.3f} in {search.folds} folds")
        return None, search
    if not beginning.standardised:
        measure(network, _chunks(parts.train))
    settings = LoopSettings(
        world,
        seed=options.seed,
        precision=_precision(options.precision, world.device),
        monitor=options.monitor,
        folder=one.folder,
        resume=options.resume,
        about=_settings(one, parts, beginning),
        step_frames=one.plan.features.step_frames,
    )
    return fit_network(network, parts, recipe, settings, one.watcher), None


def _inner_folds(one: Run, network: nn.Module, parts: Parts, world: World) -> OutOfFold | None:
    """What the folds inside the train part say, where they are asked for."""
    recipe, folds = one.plan.recipe, one.options.inner_folds
    if folds is None or not isinstance(recipe, Fit):
        return None
    one.watcher.news(f"{folds} fits to {folds} folds inside the train part, for the calibration")
    seed = one.options.seed
    return out_of_fold(network, parts.train, recipe, one.plan.config, world, folds=folds, seed=seed)


def _chunks(examples: Examples) -> Iterator[Tensor]:
    """All windows, some at a time."""
    count = len(examples.windows)
    starts = range(0, count, MEASURED_AT_ONCE)

    def chunk(number: int) -> Tensor:
        first = starts[number]
        rows = np.arange(first, min(first + MEASURED_AT_ONCE, count))
        return torch.from_numpy(examples.windows.gather(rows))

    return ahead(chunk, range(len(starts)))


def _precision(name: str, device: torch.device) -> torch.dtype:
    """Half precision is for GPUs; what they have of it is taken unless one is named."""
    if name == "float32" or (name == "auto" and device.type != "cuda"):
        return torch.float32
    if device.type != "cuda":
        raise TrainingError(f"--precision {name} is for GPUs; on {device.type} leave it out")
    if name == "auto":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _frozen(network: nn.Module, plan: Blueprint) -> Frozen | None:
    """Of a fitted network with a body, its rows in place of the features: they are computed only once."""
    body = {name: t for name, t in network.state_dict().items() if not name.startswith("decision.")}
    if plan.preset.fit == "gradient" or not body:
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(body.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    config = {name: value for name, value in plan.config.items() if name in _OF_ROWS}
    key = json.dumps([plan.preset.network, config, digest.hexdigest()], sort_keys=True)
    given: Any = network
    width = int(given.width if hasattr(network, "rows") else len(given.decision.standardise.mean))
    return Frozen(key, (width,), lambda: Rows(copy.deepcopy(network)))


# Options of fitted networks that change the rows; the others are of what comes after them.
_OF_ROWS = ("body", "cut", "rows", "base_kind", "base_temperature")


def _measured(
    network: nn.Module, meta: CheckpointMeta, parts: Parts, world: World, wanted: Part
) -> Evaluation:
    """The evaluation on the test part, if that is wanted, or on valid where there is none."""
    part: Part = "test" if wanted == "test" and parts.test is not None else "valid"
    examples = parts.test if part == "test" else parts.valid
    if examples is None:
        raise TrainingError(f"{parts.dataset_name}: there is neither a test nor a valid part to measure on")
    given: Any = network
    answering = network
    if examples.shape != meta.features.shape and meta.aggregation != "head":
        # Rows of a frozen body that were computed before.
        answering, meta = given.decision, replace(meta, features=table_features(*examples.shape))
    return evaluate_examples(
        answering,
        meta,
        examples,
        dataset=parts.dataset_name,
        plan=parts.split,
        part=part,
        train=parts.train,
        device=world.device,
        variant=parts.variant,
    )


def _keep_what_there_is(one: Run, network: nn.Module, meta: CheckpointMeta, history: History) -> None:
    """The best weights so far as a checkpoint, and how to go on."""
    kept = ""
    if history.best and one.world.leads:
        meta = replace(meta, extra={**meta.extra, "epoch": history.best, "ended": history.ended})
        checkpoints.save(one.folder / CHECKPOINT, meta, network.state_dict())
        kept = f"{one.folder / CHECKPOINT} has the weights of epoch {history.best}, not yet measured; "
    one.watcher.warns(
        f"stopped after {len(history.epochs)} epochs; {kept}go on with the same command and --resume"
    )


def _describe(one: Run, parts: Parts, beginning: Beginning) -> CheckpointMeta:
    """The description of the checkpoint as far as it is known before the training."""
    plan, options = one.plan, one.options
    dataset = full_name(parts.dataset_name, parts.variant)
    origin = f"trained on {dataset} by genretag {__version__}"
    return CheckpointMeta(
        name=options.name or f"{dataset.replace(':', '-')}-{plan.preset.name}-{options.seed}",
        preset=plan.preset.name,
        config=dict(plan.config),
        features=plan.features,
        labels=one.data.labels,
        # The engine takes the mean of windows that vote; the report shows both.
        aggregation="head" if plan.preset.aggregation == "head" else "mean",
        dataset=dataset,
        split=parts.split.name,
        split_hash=parts.split.hash,
        seed=options.seed,
        licence=options.licence,
        origin=origin if beginning.origin is None else f"{origin}, beginning with {beginning.origin}",
        extra={
            "split": {
                "seed": parts.split.seed,
                "fractions": None if parts.split.folds is not None else list(parts.split.shares),
                "folds": parts.split.folds,
                "fold": parts.split.fold,
                **({"copies": list(map(list, parts.split.copies))} if parts.split.copies else {}),
            },
            "recipe": asdict(plan.recipe),
            "beginning": beginning.origin,
            "tracks": {
                part: 0 if examples is None else len(examples.ids)
                for part, examples in (("train", parts.train), ("valid", parts.valid), ("test", parts.test))
            },
        },
    )


def _sizes(parts: Parts) -> str:
    """What there is to train and to measure on, in one line."""
    named = {"train": parts.train, "valid": parts.valid, "test": parts.test}
    counts = (
        f"{name} {len(part.ids):,} tracks ({len(part.windows):,} windows)" if part else f"{name} none"
        for name, part in named.items()
    )
    return f"{parts.split.reason}: {', '.join(counts)}"


def _settings(one: Run, parts: Parts, beginning: Beginning) -> dict[str, Any]:
    """Everything that a resumed training must share with the one that it goes on with, as people call it."""
    plan, options = one.plan, one.options
    recipe = asdict(plan.recipe)
    return {
        "--dataset": full_name(parts.dataset_name, parts.variant),
        "--model": plan.preset.name,
        "--split": parts.split.name,
        "--seed": options.seed,
        "--init": options.init,
        "--freeze": options.freeze,
        "--monitor": options.monitor,
        "--precision": str(_precision(options.precision, one.world.device)).removeprefix("torch."),
        "the features": plan.features.to_dict(),
        "the clips of the split": parts.split.hash[:12],
        "the number of windows": len(parts.train.windows),
        "the number of processes": one.world.size,
        **{_OPTION_OF.get(name, name): value for name, value in recipe.items()},
        **{f"{name} of {plan.preset.name}": value for name, value in plan.config.items()},
    }


_OPTION_OF = {
    "learning_rate": "--lr",
    "batch_size": "--batch-size",
    "epochs": "--epochs",
    "patience": "--patience",
    "class_weights": "--class-weights",
}
