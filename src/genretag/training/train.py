"""A dataset and a preset in, a checkpoint and a report out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from genretag.errors import FileError, TrainingError
from genretag.training.distributed import World, joined
from genretag.training.folds import Folds, write_folds
from genretag.training.history import History, Nobody, Watcher
from genretag.training.loop import STATE
from genretag.training.metrics import Evaluation
from genretag.training.options import TrainOptions
from genretag.training.prepare import Blueprint, blueprint, open_data
from genretag.training.run import Run, run

REPORT, LOCK = "report.md", ".lock"
FOLD, FINAL = "fold-{}", "final"


@dataclass(frozen=True)
class TrainResult:
    """What a training left in `folder`; without `checkpoint` or `history` where there were only folds.

    `left_out`: the clips that gave no windows, each once.
    """

    evaluation: Evaluation
    folder: Path
    checkpoint: Path | None
    history: History | None
    folds: Folds | None
    left_out: tuple[FileError, ...] = ()


def train(options: TrainOptions, watcher: Watcher | None = None) -> TrainResult | None:
    """Train a preset on a dataset, measure it on the test part (or valid, where there is none) and report.

    Under torchrun all processes call this, and those that do not lead get None. KeyboardInterrupt after
    Ctrl-C, with everything kept that `resume` needs. A GenretagError, in one line, for what cannot be done.
    """
    if options.seed < 0:
        raise TrainingError(f"--seed {options.seed}: give a whole number from 0 up")
    plan = blueprint(options)
    _refuse_to_overwrite(options)
    with joined(options.device) as world:
        told = watcher if watcher is not None and world.leads else Nobody()
        if options.folds is not None:
            return _train_folds(options, plan, world, told)
        return _train_once(options, plan, world, told)


def _train_once(options: TrainOptions, plan: Blueprint, world: World, watcher: Watcher) -> TrainResult | None:
    data, plan = open_data(options, plan, world, watcher)
    with _claimed(options.folder, world):
        done = run(Run(options, plan, data, 0, options.folder, world, watcher))
    if done is None:
        return None
    left_out = _different(done.left_out)
    return TrainResult(done.evaluation, options.folder, done.checkpoint, done.history, None, left_out)


def _train_folds(
    options: TrainOptions, plan: Blueprint, world: World, watcher: Watcher
) -> TrainResult | None:
    """A training for each fold, then one more whose weights are kept where that is asked for."""
    data, cut = open_data(options, plan, world, watcher)
    evaluations = []
    left_out: list[FileError] = []
    with _claimed(options.folder, world):
        for number in range(data.splits):
            watcher.news(f"fold {number + 1} of {data.splits}")
            folder = options.folder / FOLD.format(number + 1)
            done = run(Run(options, cut, data, number, folder, world, watcher))
            if done is not None:
                evaluations.append(done.evaluation)
                left_out += done.left_out
                # The folds are there to be measured; their weights are nobody's model.
                done.checkpoint.unlink()
        kept = None
        if options.final:
            watcher.news("all folds are measured; now the training whose weights are kept")
            once = replace(options, folds=None, out=options.folder / FINAL)
            kept = _train_once(once, plan, world, watcher)
            left_out += kept.left_out if kept is not None else ()
        if not world.leads:
            return None
        different = _different(left_out)
        evaluation = write_folds(options.folder, evaluations, different)
    checkpoint = None if kept is None else kept.checkpoint
    return TrainResult(evaluation, options.folder, checkpoint, None, Folds.of(evaluations), different)


def _different(errors: Iterable[FileError]) -> tuple[FileError, ...]:
    """Return every error once: the folds and the altered copies of a clip report the same ones."""
    return tuple({error.message: error for error in errors}.values())


def _refuse_to_overwrite(options: TrainOptions) -> None:
    """TrainingError where the folder holds a training that is not to be gone on with."""
    folder = options.folder
    if options.resume:
        return
    if (folder / REPORT).exists():
        raise TrainingError(
            f"{folder} holds a finished training (see {REPORT}); "
            "give another --out, or --resume to measure it again"
        )
    if any(folder.glob(f"**/{STATE}")):
        raise TrainingError(
            f"{folder} holds an unfinished training; go on with --resume, or give another --out"
        )


@contextlib.contextmanager
def _claimed(folder: Path, world: World) -> Iterator[None]:
    """The folder for this training alone; what a killed one left half-written is removed.

    TrainingError where another training writes there, or nothing can be written.
    """
    if not world.leads:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise TrainingError(f"{folder}: another training is writing there; give another --out") from None
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be written ({error.strerror}); give another --out") from None
    try:
        for left in folder.glob("**/.*.tmp"):
            left.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
