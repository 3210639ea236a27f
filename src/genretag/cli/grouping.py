"""Help that a person can read: the options of a command under headings, by what they are for."""

from __future__ import annotations

from typing import Any

import typer.core

# Parameters by name; what is not here stands under "Options".
HEADINGS = {
    "Which genres": (
        *("model", "top", "threshold", "min_confidence", "single", "map_file", "coverage", "by"),
        *("existing",),
    ),
    "Which files": ("files_from", "nul", "exclude", "follow_symlinks", "initial", "settle", "poll"),
    "What is written": (
        *("dry_run", "plan", "separator", "id3", "preserve_mtime", "provenance", "in_place"),
        *("min_tracks", "absolute"),
    ),
    "Speed": ("device", "batch_size", "workers", "engine", "ray_address", "no_cache", "precision"),
    "Output": ("json", "quiet", "verbose", "help"),
}
# Fewer options than this are found without headings.
MANY = 10


class GroupedCommand(typer.core.TyperCommand):
    """A command whose help has its options under headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        options: dict[str, list[tuple[str, str]]] = {"Options": []}
        arguments: list[tuple[str, str]] = []
        parameters = self.get_params(ctx)
        many = sum(parameter.param_type_name == "option" for parameter in parameters) >= MANY
        for parameter in parameters:
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                arguments.append((parameter.metavar or record[0], record[1]))
            else:
                options.setdefault(_heading(parameter.name) if many else "Options", []).append(record)
        for heading, records in {"Arguments": arguments, **options}.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _heading(name: str) -> str:
    return next((heading for heading, names in HEADINGS.items() if name in names), "Options")
