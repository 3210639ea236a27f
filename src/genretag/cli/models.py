"""`genretag models`: what can be used with --model, and what can be trained."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from genretag.cli.output import details, table
from genretag.escapes import json_line, printable


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Everything about one model.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> int:
    """List the models, or show everything about one.

    Example: genretag models musicnn-msd
    """
    from genretag.models.catalogue import describe, listing

    shown: Any = listing() if name is None else describe(name)
    if json:
        print(json_line(shown))
    elif name is None:
        table(
            ("name", "kind", "labels", "parameters", "trained on"),
            [
                (
                    row["name"],
                    row["kind"],
                    str(len(row["labels"])) if row["labels"] else "-",
                    f"{row['parameters']:,}" if row["parameters"] else "-",
                    row["trained_on"] or "-",
                )
                for row in shown
            ],
        )
    else:
        genres = shown.pop("families", {})
        details(shown)
        if genres:
            print(f"\nGenres it can write ({sum(map(len, genres.values()))}), one family per line:")
            for of_family in genres.values():
                print(f"  {printable(', '.join(of_family))}")
    return 0
