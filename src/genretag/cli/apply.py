"""`genretag apply`: carry out a plan."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from genretag.cli import options
from genretag.cli.interrupted import interruptible
from genretag.cli.output import RecordPrinter, report_store, report_writes, say


def apply(
    plan: Annotated[Path, typer.Argument(metavar="FILE|-", help="A plan; - reads it from standard input.")],
    *,
    under: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Change only files below this folder, wherever links lead; may be repeated. Default: lines "
            "that name their recording anywhere, others below the working folder.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Carry out only part K of N: on N machines with the same plan, each with another K.",
        ),
    ] = None,
    separator: options.Separator = None,
    id3: options.Id3 = "keep",
    preserve_mtime: options.PreserveMtime = False,
    provenance: options.Provenance = False,
    in_place: options.InPlace = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Carry out a plan.

    A plan is what `tag --plan` or `tag --dry-run --json` wrote, as it is or filtered and edited. One from
    somebody else is safest with --under: it then cannot reach any other file.

    Example: genretag apply plan.jsonl

    Example: genretag apply --shard 2/8 plan.jsonl
    """
    from genretag.errors import PlanError, UsageError
    from genretag.store import Store
    from genretag.tagging.apply import Applying
    from genretag.tagging.plan import read_plan
    from genretag.tagging.shard import Shard

    options.readable_source(plan)
    for folder in under or ():
        if not folder.is_dir():
            raise UsageError(f"--under {folder}: no such folder")
    part = None if shard is None else Shard.parse(shard)
    writing = options.writing_options(separator, id3, preserve_mtime, provenance, in_place)
    # Read whole before anything is written: a line that cannot be understood stops the plan, not half of it.
    try:
        lines = read_plan(_lines(plan), "<stdin>" if str(plan) == "-" else str(plan))
        records = [record for record in lines if part is None or part.holds(record.path)]
    except OSError as error:
        raise PlanError(f"{plan}: cannot be read ({error.strerror}); check the disk") from error
    with Store.open() as store:
        report_store(store)
        command = "apply" if part is None else f"apply --shard {part}"
        applying = Applying(records, writing, store, under or (), command=command)
        printer = RecordPrinter(as_json=json, quiet=quiet, verbose=verbose)
        with interruptible(printer.statuses), closing(applying.records()) as answers:
            printer.print_all(answers, lambda: len(applying.plan))
        report_writes(applying.writer)
        if printer.statuses or quiet:
            printer.summary(printer.undo_hint(applying.writer.run_id))
        else:
            say(f"{plan}: nothing in it to carry out; a plan has lines of the status planned")
    return printer.exit_code


def _lines(plan: Path) -> Iterator[str]:
    if str(plan) == "-":
        yield from (line.decode("utf-8", "replace") for line in sys.stdin.buffer)
    else:
        with plan.open(encoding="utf-8", errors="replace") as file:
            yield from file
