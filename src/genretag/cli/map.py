"""`genretag map`: a map from the library's own genres, and what a map would do."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli import options
from genretag.cli.configured import ConfiguredCommand
from genretag.cli.output import report_store, say, table
from genretag.errors import MapError, UsageError
from genretag.escapes import printable

if TYPE_CHECKING:
    from genretag.library.mapcheck import MapReport
    from genretag.library.vocabulary import Vocabulary

app = typer.Typer(
    help="Write a map of genres for `tag --map`, and see what one would do.\n\n"
    "Example: genretag map init ~/Music --out taste.toml; genretag map check taste.toml",
    rich_markup_mode=None,
)
Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PATH", help="Files and folders; default: all that genretag has seen."),
]
Model = Annotated[str, typer.Option(metavar="NAME|FILE", help="Whose answers the map is for.")]


@app.command(cls=ConfiguredCommand)
def init(
    paths: Paths = None,
    *,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write here; default: stdout.")] = None,
    most: Annotated[
        int | None,
        typer.Option(metavar="N", help="Allow the N most frequent; default: what is on one file in 100."),
    ] = None,
    model: Model = "auto",
    json: options.JsonDocument = False,
) -> int:
    """Draft a map from the genres that your files have now, for you to edit.

    Example: genretag map init ~/Music --most 20 --out taste.toml
    """
    from genretag.library.mapdraft import draft

    if most is not None and most < 1:
        raise UsageError(f"--most {most}: give a whole number from 1 up")
    if out is not None and out.exists():
        raise UsageError(f"--out {out}: is there already; choose another name, or remove it first")
    drafted = draft(_survey(paths, model), most)
    text = jsonlib.dumps(drafted.to_dict(), ensure_ascii=True) + "\n" if json else drafted.to_toml()
    if out is None:
        print(text, end="")
        return 0
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MapError(f"{out}: cannot be written ({error.strerror})") from None
    seen = drafted.vocabulary
    if 2 * seen.tagged < seen.files:
        say(f"{seen.tagged:,} of {seen.files:,} files name a genre: see whether the list has what you want")
    say(f"{out}: {len(drafted.allow):,} genres on the list; edit it, then: genretag map check {out}")
    return 0


@app.command(cls=ConfiguredCommand)
def check(
    map_file: Annotated[Path, typer.Argument(metavar="MAP", help="A map for tag --map.")],
    paths: Paths = None,
    *,
    model: Model = "auto",
    json: options.JsonDocument = False,
) -> int:
    """Show what a map would do to what the model can answer and to what your files say.

    Counts are of files whose tags name a genre and of files in which the model heard it. Ends with code 1
    where the map has a rule that you should fix.

    Example: genretag map check taste.toml ~/Music
    """
    from genretag.library import mapcheck
    from genretag.tagging.genremap import load_map

    load_map(map_file)  # a malformed one is told before a library is looked at
    report = mapcheck.check(map_file, _survey(paths, model))
    if json:
        print(jsonlib.dumps(report.to_dict()))
    else:
        _show(report)
    return 0 if report.sound else 1


def _survey(paths: list[Path] | None, model: str) -> Vocabulary:
    from genretag.library.vocabulary import survey
    from genretag.store import Store
    from genretag.tagging.scan import require_any, scan

    require_any(paths or [])
    with Store.open() as store:
        report_store(store)
        files = (found.path for found in scan(paths) if not found.error) if paths else store.every_path()
        return survey(files, store, model)


def _show(report: MapReport) -> None:
    seen = report.vocabulary
    rows = [
        (
            row.fate.genre,
            f"{row.tagged:,}" if row.tagged else "-",
            f"{row.heard:,}" if row.heard else "-",
            ", ".join(row.fate.becomes) or "-",
            row.fate.how if row.answered else f"{row.fate.how} ({seen.model} cannot answer it)",
        )
        for row in report.rows
    ]
    table(("genre", "in tags", "heard", "is written as", "why"), rows)
    for finding in sorted(report.findings, key=lambda finding: not finding.fix):
        print(f"{'fix' if finding.fix else 'note'}: {printable(f'{finding.rule}: {finding.message}')}")
    written = {name for row in report.rows if row.answered for name in row.fate.becomes}
    say(f"{seen.files:,} files, {seen.tagged:,} name a genre; genres that may be written: {len(written):,}")
    if seen.analysed:
        say(f"heard by {seen.model}: {seen.analysed:,}; left without a genre by the map: {report.left:,}")
