"""`genretag undo`: take a run back."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import closing
from typing import Annotated

import typer

from genretag.cli import options
from genretag.cli.output import report_store, say
from genretag.escapes import json_line, printable


def undo(
    run: Annotated[
        int | None, typer.Argument(metavar="[RUN]", help="A number of `genretag history`; default: the last.")
    ] = None,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Take back what a run wrote.

    Files get their old bytes back, or at least their old genre. Files whose genre was changed by someone else
    since are left alone and named.

    Example: genretag undo
    """
    from genretag.journal import Journal
    from genretag.store import Store
    from genretag.tagging.undo import undo_run

    counts: Counter[str] = Counter()
    with Store.open() as store:
        report_store(store)
        journal = Journal(store)
        chosen = journal.last_run() if run is None else run
        if chosen is None:
            say("there is nothing to take back; see: genretag history")
            return 0
        with closing(undo_run(store, chosen)) as records:
            for record in records:
                counts[record.status] += 1
                if json:
                    print(json_line(record.to_dict()), flush=True)
                elif record.error is not None:
                    say(f"[{record.error.code}] {record.error.message}")
                elif verbose:
                    genres = printable(", ".join(record.genres)) or "-"
                    print(f"{record.status:<9} {genres:<32} {printable(str(record.path))}")
    if not quiet:
        parts = ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
        print(f"run {chosen}: {parts or 'nothing left to take back'}", file=sys.stderr)
    return 1 if counts["failed"] or counts["skipped"] else 0
