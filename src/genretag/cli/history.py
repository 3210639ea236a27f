"""`genretag history`: the runs that wrote."""

from __future__ import annotations

from datetime import datetime

from genretag.cli import options
from genretag.cli.output import report_store, say, table
from genretag.escapes import json_line


def history(*, json: options.Json = False) -> int:
    """List the runs that changed files, newest first.

    Example: genretag history
    """
    from genretag.journal import Journal
    from genretag.store import Store

    with Store.open() as store:
        report_store(store)
        runs = Journal(store).runs()
    if json:
        for run in runs:
            print(json_line(run.to_dict()))
        return 0
    if not runs:
        say("no run has written anything yet; to begin: genretag tag --dry-run PATH")
        return 0
    rows = [
        (
            str(run.id),
            datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M"),
            run.command,
            run.model or "-",
            str(run.written),
            str(run.undone),
            run.status,
        )
        for run in runs
    ]
    table(("run", "started", "command", "model", "written", "undone", "status"), rows)
    return 0
