"""`genretag tune`: the best options of a preset for a dataset, by Hyperband."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from genretag.cli import options
from genretag.cli.output import render, say, table
from genretag.cli.progress import TrainingProgress
from genretag.errors import UsageError

if TYPE_CHECKING:
    from genretag.training.tune import Trial

_SHOWN = 10


def tune(
    *,
    dataset: options.Dataset,
    model: options.Preset,
    data: options.Data = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where it all goes; default: genretag-runs/<dataset>-<model>-<seed>-tuning."
        ),
    ] = None,
    variant: options.Variant = None,
    features: options.Features = None,
    split: options.Split = None,
    trials: Annotated[
        int, typer.Option(metavar="N", min=1, help="Trainings in all, those of other processes included.")
    ] = 30,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Of a training that is finished; default: the preset's."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of trainings and of what is tried.")] = 0,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="Begin with these weights; `published`: those the preset knows of."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL|FILE",
            envvar="GENRETAG_TUNE_STORAGE",
            help="Keep the study in a database or in a journal, for processes on several machines; default: "
            "a file in --out, for those on one.",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Its name among others in --storage; default: that of --out."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the study in --out, or help a process that works on it."),
    ] = False,
    device: options.Device = "auto",
    workers: options.Workers = "auto",
    threads: options.Threads = "auto",
    quiet: options.Quiet = False,
) -> int:
    """Search a preset's options: begin many trainings, give up the hopeless, keep the best as a checkpoint.

    The valid part chooses; the test part is measured once, at the end. `genretag models PRESET` shows what is
    searched.

    Example: genretag tune --dataset gtzan --model gru --data DIR --trials 30
    """
    from genretag.predict.engine import EngineOptions
    from genretag.training.options import TrainOptions
    from genretag.training.report import terminal
    from genretag.training.splits import SplitKind
    from genretag.training.tune import tune as run

    count = options.positive(workers, "--workers")
    asked = TrainOptions(
        dataset=dataset,
        model=model,
        data=data,
        out=out,
        variant=variant,
        features=features,
        split=None if split is None else options.one_of(split, get_args(SplitKind), "--split"),
        seed=seed,
        epochs=epochs,
        init=init,
        resume=resume,
        device=device,
        workers=count,
        threads=options.positive(threads, "--threads"),
        quiet=quiet,
    )
    if study is not None and storage is None:
        raise UsageError("--study names a study in --storage; without that --out holds only one")
    if out is None:
        asked = replace(asked, out=asked.folder.with_name(f"{asked.folder.name}-tuning"))
    engine = EngineOptions(device=device, workers=count, coverage="full")
    with TrainingProgress(quiet=quiet) as watcher:
        tuning = run(asked, trials, engine, watcher, storage=storage, study=study)
    if tuning is None:
        return 0
    _show(tuning.trials)
    render(terminal(tuning.measurement.evaluation))
    failures = {error.message: error for error in (*tuning.left_out, *tuning.measurement.failures.values())}
    for error in failures.values():
        say(f"[{error.code}] {error.message}")
    if not quiet:
        file = shlex.quote(str(tuning.checkpoint))
        say(
            f"best of {len(tuning.trials):,} trials: number {tuning.best.number + 1}; all of them: "
            f"{tuning.checkpoint.with_name('trials.csv')}"
        )
        say(f"checkpoint: {file}; use it with: genretag tag --dry-run --model {file} PATH")
    return 1 if failures else 0


def _show(trials: tuple[Trial, ...]) -> None:
    """The best trials, the best first."""
    ranked = sorted(trials, key=lambda trial: (-(trial.score or -1.0), trial.number))[:_SHOWN]
    names = list(dict.fromkeys(name for trial in ranked for name in trial.values))
    table(
        ("trial", "valid, %", "state", *names),
        [
            (
                str(trial.number + 1),
                "-" if trial.score is None else f"{100 * trial.score:.1f}",
                trial.state,
                *(_shown(trial.values.get(name, "-")) for name in names),
            )
            for trial in ranked
        ],
    )


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
