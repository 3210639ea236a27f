"""`genretag eval`: how good a model is, beside a trivial baseline, and whether to believe it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from genretag.cli import options
from genretag.cli.output import render, say
from genretag.errors import CheckpointError, FileError, UsageError
from genretag.escapes import json_line

if TYPE_CHECKING:
    from genretag.predict.engine import EngineOptions
    from genretag.training.compare import Comparison
    from genretag.training.leakage import Study
    from genretag.training.metrics import Evaluation
    from genretag.training.target import Part


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|FILE]...", help="With --compare, the models.", show_default=False),
    ] = None,
    *,
    model: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="A model; with --splits, a preset to train.")
    ] = None,
    dataset: options.Dataset,
    data: options.Data = None,
    variant: options.Variant = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="test|valid|train|all",
            help="Which part of the split to measure; default: test or, where no clip of it is here, each "
            "part that is.",
        ),
    ] = None,
    features: options.Features = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Several models in one table, with paired tests.")
    ] = False,
    splits: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,...",
            help="Train the preset anew on each split (official, artist, track, segment), put the figures "
            "side by side.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where --splits keeps its runs and goes on after a kill; default: "
            "genretag-runs/<dataset>-<preset>-<seed>-splits.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Epochs of --splits; default: the preset's.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of --splits.")] = 0,
    coverage: options.Coverage = "full",
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write report.md, figures, CSV and JSON there.")
    ] = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = "auto",
    workers: options.Workers = "auto",
    json: options.JsonDocument = False,
    quiet: options.Quiet = False,
) -> int:
    """Measure a model on a dataset: track and window accuracy with intervals, per label, beside a baseline.

    A model is measured on the split that it was trained with; whatever makes the figure too good is said in
    the first line.

    Example: genretag eval --model musicnn-msd --dataset gtzan --data DIR
    """
    from genretag.training.compare import compare as compare_all

    named = [*([model] if model is not None else []), *(models or [])]
    source = _Source(dataset, data, variant, features, _part(split))
    machine = _Machine(device, coverage, batch_size, workers, quiet)
    if splits is not None:
        if len(named) != 1 or compare:
            raise UsageError("--splits takes one preset, with --model")
        done = _study(named[0], splits, source, machine, out, epochs, seed)
        _show_comparison(done.comparison, report, done, as_json=json)
        return _tell(done.failures.values())
    if out is not None or epochs is not None:
        raise UsageError("--out and --epochs go with --splits")
    if not named:
        raise UsageError("give --model NAME or FILE (see genretag models)")
    if compare != (len(named) > 1):
        raise UsageError(
            "--compare takes two models or more, as in: genretag eval --compare A B --dataset NAME"
        )
    paths = [_resolve(name) for name in named]
    if compare:
        measured = [_measure(path, source, machine) for path in paths]
        _show_comparison(compare_all([evaluation for evaluation, _ in measured]), report, None, as_json=json)
    else:
        parts = [source.part] if source.part else _parts_here(paths[0], source)
        measured = [_measure(paths[0], replace(source, part=part), machine) for part in parts]
        by_part = dict(zip(parts, (evaluation for evaluation, _ in measured), strict=True))
        _show(by_part, _history(named[0]), report, as_json=json)
    return _tell(error for _, failures in measured for error in failures.values())


@dataclass(frozen=True)
class _Source:
    """What to measure on; `part` None: whatever is here."""

    dataset: str
    data: Path | None
    variant: str | None
    features: Path | None
    part: Part | None


@dataclass(frozen=True)
class _Machine:
    """How to compute, as the options say it."""

    device: str
    coverage: str
    batch_size: str
    workers: str
    quiet: bool

    def engine(self) -> EngineOptions:
        from genretag.audio.windows import parse_coverage
        from genretag.predict.engine import EngineOptions

        return EngineOptions(
            device=self.device,
            batch_size=options.positive(self.batch_size, "--batch-size"),
            workers=options.positive(self.workers, "--workers"),
            coverage=parse_coverage(self.coverage),
        )


def _part(text: str | None) -> Part | None:
    from genretag.training.target import Part

    return None if text is None else options.one_of(text, get_args(Part), "--split")


def _resolve(name: str) -> Path:
    from genretag.checkpoint import resolve
    from genretag.models.presets import PRESETS

    try:
        return resolve(name)
    except CheckpointError as error:
        if name not in PRESETS:
            raise
        raise CheckpointError(f"{error}; {name} is a preset: train it first (see genretag train)") from None


def _parts_here(path: Path, source: _Source) -> tuple[Part, ...]:
    from genretag.checkpoint import read_meta
    from genretag.datasets.registry import load
    from genretag.training.examples import FeatureFile
    from genretag.training.target import parts_here

    if source.features is None:
        dataset = load(source.dataset, source.data, variant=source.variant)
    else:
        dataset = FeatureFile(source.features, source.dataset, source.data, variant=source.variant).dataset
    parts = parts_here(read_meta(path), dataset)
    if parts != ("test",):
        say(f"{source.dataset}: no clip of the test part is here; measured on what is: {', '.join(parts)}")
    return parts


def _measure(path: Path, source: _Source, machine: _Machine) -> tuple[Evaluation, Mapping[str, FileError]]:
    from genretag.datasets.registry import load
    from genretag.training.evaluate import evaluate_checkpoint, evaluate_features

    part = source.part or "test"
    if source.features is None:
        dataset = load(source.dataset, source.data, variant=source.variant)
        measurement = evaluate_checkpoint(path, dataset, part, machine.engine(), quiet=machine.quiet)
        return measurement.evaluation, measurement.failures
    where: dict[str, Any] = {"data": source.data, "variant": source.variant, "device": machine.device}
    return evaluate_features(path, source.features, source.dataset, part, **where), {}


def _history(name: str) -> Path | None:
    """The history of the run that made a checkpoint, where it lies beside it."""
    path = Path(name).expanduser().with_name("history.csv")
    return path if path.is_file() else None


def _show(
    measured: Mapping[Part, Evaluation], history: Path | None, report: Path | None, *, as_json: bool
) -> None:
    """One evaluation as it is; several by their part."""
    from genretag.training.report import terminal, to_json, write_report

    alone = len(measured) == 1
    if as_json:
        documents = {part: to_json(evaluation) for part, evaluation in measured.items()}
        found = next(iter(documents.values())) if alone else {"parts": documents}
        print(json_line(found))
    for part, evaluation in measured.items():
        if not as_json:
            render(terminal(evaluation))
        if report is not None:
            folder = report if alone else report / part
            say(f"report written to {write_report(evaluation, folder, history=history)}")


def _study(
    model: str,
    splits: str,
    source: _Source,
    machine: _Machine,
    out: Path | None,
    epochs: int | None,
    seed: int,
) -> Study:
    from genretag.cli.progress import TrainingProgress
    from genretag.training.leakage import study
    from genretag.training.options import TrainOptions
    from genretag.training.splits import SplitKind

    kinds = [options.one_of(word, get_args(SplitKind), "--splits") for word in splits.split(",")]
    engine = machine.engine()
    wanted = TrainOptions(
        dataset=source.dataset,
        model=model,
        data=source.data,
        out=out,
        variant=source.variant,
        features=source.features,
        seed=seed,
        epochs=epochs,
        device=machine.device,
        workers=engine.workers,
        quiet=machine.quiet,
    )
    if out is None:
        wanted = replace(wanted, out=wanted.folder.with_name(f"{wanted.folder.name}-splits"))
    with TrainingProgress(quiet=machine.quiet) as watcher:
        return study(wanted, kinds, source.part or "test", engine, watcher)


def _show_comparison(
    comparison: Comparison, report: Path | None, study: Study | None, *, as_json: bool
) -> None:
    from genretag.training.report import comparison_json, comparison_terminal, write_comparison

    said = study.sentences if study is not None else ()
    if as_json:
        document = comparison_json(comparison) | (study.to_json() if study is not None else {})
        print(json_line(document))
    else:
        render(comparison_terminal(comparison, said))
    if report is not None:
        say(f"report written to {write_comparison(comparison, report, said)}")


def _tell(failures: Iterable[FileError]) -> int:
    """Name every clip that could not be heard, once; the exit code."""
    different = {error.message: error for error in failures}
    for error in different.values():
        say(f"[{error.code}] {error.message}")
    return 1 if different else 0
