"""`genretag train`: a dataset and a preset in, a checkpoint and a report out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from genretag.cli import options
from genretag.cli.output import render, say
from genretag.cli.progress import TrainingProgress
from genretag.errors import UsageError

if TYPE_CHECKING:
    from genretag.errors import FileError
    from genretag.training.train import TrainResult

_NAMED = 3  # clips that are named after a training that left some out


def train(
    *,
    dataset: options.Dataset,
    model: options.Preset,
    data: options.Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where it all goes; default: genretag-runs/<dataset>-<model>-<seed>."
        ),
    ] = None,
    variant: options.Variant = None,
    tags: Annotated[
        str | None, typer.Option(metavar="50|188", help="Tags of magnatagatune: its variant of that name.")
    ] = None,
    features: options.Features = None,
    split: options.Split = None,
    folds: Annotated[
        int | None,
        typer.Option(metavar="K", min=2, help="Measure K trainings, each on the fold that it did not see."),
    ] = None,
    final: Annotated[
        bool, typer.Option("--final", help="With --folds, also train once more and keep the weights.")
    ] = False,
    inner_folds: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=2,
            help="Calibrate a fitted preset on K folds by artist inside the train part, and not on valid.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", min=1, help="Default: the preset's.")] = None,
    batch_size: Annotated[
        str,
        typer.Option(metavar="auto|N", help="Windows in one step, over all processes; auto: the preset's."),
    ] = "auto",
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Learning rate.")] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="On a CPU the same seed gives the same bits.")
    ] = 0,
    augment: Annotated[
        bool | None,
        typer.Option(
            "--augment/--no-augment", help="Alter what is learnt from; default: as the preset does."
        ),
    ] = None,
    class_weights: Annotated[
        bool | None,
        typer.Option("--class-weights/--no-class-weights", help="Give rare labels as much say as others."),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="End after N epochs that were not better; 0: never."),
    ] = None,
    monitor: Annotated[
        str,
        typer.Option(
            metavar="calibrated|loss|score",
            help="What the best epoch has on the valid part: the least loss once calibrated, the least loss, "
            "or the best score of tracks.",
        ),
    ] = "calibrated",
    init: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="Begin with these weights; `published`: those the preset knows of."
        ),
    ] = None,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Train only the last layer of what the weights are of.")
    ] = False,
    grid: Annotated[
        bool, typer.Option("--grid", help="Search the grid of a fitted preset, in folds by artist.")
    ] = False,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Another value in the preset's architecture or recipe; may be repeated.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the checkpoint calls itself.")
    ] = None,
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Its licence, for the checkpoint.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a training in the same folder was stopped.")
    ] = False,
    device: options.Device = "auto",
    precision: Annotated[
        str, typer.Option(metavar="auto|float32|bf16|fp16", help="auto: half precision on a GPU.")
    ] = "auto",
    workers: options.Workers = "auto",
    threads: options.Threads = "auto",
    quiet: options.Quiet = False,
) -> int:
    """Train a preset on a dataset, measure it, and write the checkpoint and a report.

    Under torchrun several processes share the work. Ctrl-C stops between two steps; --resume goes on.

    Example: genretag train --dataset gtzan --model gru --data DIR
    """
    from genretag.training import options as training
    from genretag.training.report import terminal
    from genretag.training.splits import SplitKind
    from genretag.training.train import train as run

    if tags is not None and variant is not None:
        raise UsageError("--tags names a variant; leave out one of --tags and --variant")
    if final and folds is None:
        raise UsageError("--final goes with --folds; without folds the weights are kept anyway")
    asked = training.TrainOptions(
        dataset=dataset,
        model=model,
        data=data,
        out=out,
        variant=tags or variant,
        features=features,
        split=None if split is None else options.one_of(split, get_args(SplitKind), "--split"),
        folds=folds,
        final=final,
        inner_folds=inner_folds,
        seed=seed,
        epochs=epochs,
        batch_size=options.positive(batch_size, "--batch-size"),
        learning_rate=lr,
        patience=patience,
        monitor=options.one_of(monitor, get_args(training.Monitor), "--monitor"),
        class_weights=class_weights,
        augment=augment,
        values=dict(_value(text) for text in values or ()),
        grid=grid,
        init=init,
        freeze=freeze,
        name=name,
        licence=licence,
        resume=resume,
        device=device,
        precision=options.one_of(precision, get_args(training.PrecisionName), "--precision"),
        workers=options.positive(workers, "--workers"),
        threads=options.positive(threads, "--threads"),
        quiet=quiet,
    )
    with TrainingProgress(quiet=quiet) as watcher:
        result = run(asked, watcher)
    if result is None:  # a process of torchrun that does not lead
        return 0
    render(terminal(result.evaluation))
    if not quiet:
        _tell(result)
    return _report_left_out(result.left_out)


def _report_left_out(errors: Sequence[FileError]) -> int:
    """Print how many clips were left out and the first of them; return the exit code."""
    if not errors:
        return 0
    first = "; ".join(f"[{error.code}] {error.message}" for error in errors[:_NAMED])
    more = "; ..." if len(errors) > _NAMED else ""
    clips = "1 clip was" if len(errors) == 1 else f"{len(errors):,} clips were"
    say(f"{clips} left out, all are listed in the report: {first}{more}")
    return 1


def _value(text: str) -> tuple[str, Any]:
    """NAME=VALUE, where the value is JSON or else a word."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageError(f"--set {text}: give NAME=VALUE, such as hidden=128")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _tell(result: TrainResult) -> None:
    """Where everything is, and what can be done with it."""
    say(f"report: {result.folder / 'report.md'}")
    if result.checkpoint is not None:
        file = shlex.quote(str(result.checkpoint))
        say(f"checkpoint: {result.checkpoint}; see it with: genretag models {file}")
