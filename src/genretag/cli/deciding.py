"""The options by which `tag` and `watch` decide, the same in both, and the rule that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli import options
from genretag.errors import UsageError

if TYPE_CHECKING:
    from genretag.predict.decide import DecisionRule
    from genretag.tagging.genremap import GenreMap

DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Show, but write nothing.")]
ExistingGenres = Annotated[
    str,
    typer.Option(
        metavar="keep|add|replace|refresh",
        help="Files that have a genre: keep leaves them alone, add appends, replace overwrites, refresh "
        "overwrites only what genretag wrote and nobody changed since.",
    ),
]
Single = Annotated[
    bool | None,
    typer.Option("--single/--multi", help="One genre or several; default: what the model's labels are."),
]
Top = Annotated[int, typer.Option(metavar="N", help="At most N genres.")]
Threshold = Annotated[
    str, typer.Option(metavar="auto|P", help="Score a label needs; auto: the model's calibrated ones.")
]
MinConfidence = Annotated[
    float, typer.Option(metavar="P", help="Below this score of the best genre a file is left alone.")
]
MapFile = Annotated[
    Path | None,
    typer.Option("--map", metavar="FILE", help="TOML: rename, drop, allow, parents; see `genretag map`."),
]


def decision_rule(top: int, threshold: str, min_confidence: float, single: bool | None) -> DecisionRule:
    """How scores become genres, from the options above."""
    from genretag.predict.decide import DecisionRule

    if top < 1:
        raise UsageError(f"--top {top}: give a whole number from 1 up")
    return DecisionRule(
        top=top,
        threshold=None if threshold == "auto" else options.probability(threshold, "--threshold"),
        min_confidence=options.probability(min_confidence, "--min-confidence"),
        task=None if single is None else "single" if single else "multi",
    )


def genre_map(map_file: Path | None) -> GenreMap:
    """The person's taste; without a file one that changes nothing."""
    from genretag.tagging.genremap import GenreMap, load_map

    return GenreMap() if map_file is None else load_map(map_file)
