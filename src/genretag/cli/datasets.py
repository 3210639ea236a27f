"""`genretag datasets`: what there is to train on and to test with, and whether a copy of it is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genretag.cli import options
from genretag.cli.output import details, say, table
from genretag.errors import UsageError
from genretag.escapes import json_line, printable

if TYPE_CHECKING:
    from genretag.datasets.base import DatasetInfo, Finding

# A copy that lacks a whole folder is told in a few lines; --verbose and --json name every file.
_SHOWN = 20


def datasets(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Everything about one; with variant and task as in fma:medium:multi."
        ),
    ] = None,
    *,
    data: options.Data = None,
    variant: options.Variant = None,
    verify: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Say what is missing or broken in the copy that lies there."),
    ] = None,
    open_files: Annotated[
        bool, typer.Option("--open", help="With --verify, also decode the start of every clip.")
    ] = False,
    json: options.JsonDocument = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="With --verify, name every file, however many.")
    ] = False,
) -> int:
    """List the datasets, show everything about one, or check a copy of it.

    With --data, also what the copy there holds: clips and artists of each part, the trivial baseline, and
    which splits leak. With --verify the exit code is 1 where something is missing or broken.

    Example: genretag datasets gtzan --verify DIR
    """
    from genretag.datasets import registry

    if name is None:
        if data or verify or variant or open_files:
            raise UsageError("name the dataset too, as in: genretag datasets gtzan --verify DIR")
        return _list([entry.info for entry in registry.REGISTRY.values()], as_json=json)
    info = registry.info(name.split(":")[0])
    if verify is not None:
        findings = registry.verify(name, verify, variant=variant, open_files=open_files)
        return _report(info, verify, findings, as_json=json, most=len(findings) if verbose else _SHOWN)
    if open_files:
        raise UsageError("--open goes with --verify DIR")
    survey = None if data is None else _survey(name, data, variant)
    if json:
        print(json_line({**_record(info), "copy": survey}))
    else:
        _show(info)
        if survey is not None:
            _show_copy(survey)
    return 0


def _list(infos: Sequence[DatasetInfo], *, as_json: bool) -> int:
    if as_json:
        print(json_line([_record(info) for info in infos]))
        return 0
    rows = [
        (
            info.name,
            info.title,
            f"{info.sizes[0].labels:,}" if info.sizes else "-",
            f"{sum(info.sizes[0].clips):,}" if info.sizes else "-",
            " or ".join(info.tasks),
            ", ".join(info.variants),
        )
        for info in infos
    ]
    table(("name", "title", "labels", "clips", "labels of a clip", "variants"), rows)
    return 0


def _record(info: DatasetInfo) -> dict[str, Any]:
    return {**asdict(info), "variants": dict(info.variants)}


def _show(info: DatasetInfo) -> None:
    plain = _record(info)
    sizes, variants, leaks = plain.pop("sizes"), plain.pop("variants"), plain.pop("leaks")
    details({**plain, "variants": ", ".join(variants)})
    if sizes:
        columns = ("variant", "labels", "clips", "train", "valid", "test", "what")
        rows = []
        for size in sizes:
            counts = size["clips"]
            parts = [f"{count:,}" for count in counts] if len(counts) > 1 else ["-"] * 3
            numbers = (f"{size['labels']:,}", f"{sum(counts):,}", *parts)
            rows.append((size["variant"], *numbers, variants[size["variant"]]))
        table(columns, rows)
    for leak in leaks:
        print(f"beware: {printable(leak)}")


def _survey(name: str, data: Path, variant: str | None) -> dict[str, Any]:
    from genretag.datasets import registry
    from genretag.training.survey import survey

    return survey(registry.load(name, data, variant=variant)).to_dict()


def _show_copy(survey: Mapping[str, Any]) -> None:
    print(f"\nin {printable(str(survey['root']))} ({printable(survey['variant'])}, {survey['task']}-label)")
    table(
        ("part", "clips", "artists", "no artist", "labels a clip", "baseline, %", "baseline"),
        [
            (
                part["part"],
                f"{part['clips']:,}",
                f"{part['artists']:,}",
                f"{part['unknown']:,}",
                f"{part['labels_per_clip']:.2f}",
                "-" if part["baseline"] is None else f"{100 * part['baseline']['accuracy']:.2f}",
                "-" if part["baseline"] is None else part["baseline"]["name"],
            )
            for part in survey["parts"]
        ],
    )
    if survey["task"] == "multi":
        density = 100 * survey["density"]
        print(
            f"of all tag values {density:.2f} % are set: all-zeros, the baseline that says no to every tag, "
            f"is {100 - density:.2f} % accurate; read ROC-AUC and PR-AUC instead"
        )
    labels = ", ".join(f"{label} {count:,}" for label, count in survey["labels"].items())
    print(f"labels: {printable(labels)}")
    for kind, split in survey["splits"].items():
        print(f"split {kind}: {printable(split['reason'])}")
    for note in survey["notes"]:
        print(f"note: {printable(note)}")
    excluded = Counter(reason for _, reason in survey["excluded"])
    for reason, count in excluded.most_common():
        names = [clip for clip, why in survey["excluded"] if why == reason]
        print(f"left out: {count:,} ({printable(reason)}): {printable(_some(names))}")


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _report(info: DatasetInfo, data: Path, findings: Sequence[Finding], *, as_json: bool, most: int) -> int:
    """Print the findings, the worst first; 1 where something is missing or broken."""
    counts = Counter(finding.severity for finding in findings)
    broken = bool(counts["error"] or counts["warning"])
    if as_json:
        found = [{**asdict(one), "path": None if one.path is None else str(one.path)} for one in findings]
        document = {"dataset": info.name, "data": str(data), "whole": not broken, "findings": found}
        print(json_line(document))
        return int(broken)
    kinds: dict[str, list[str]] = {}
    for one in findings:
        kinds.setdefault(f"{one.severity:<8}{printable(one.what)}", []).append(
            printable(str(one.path or data))
        )
    for kind, paths in kinds.items():
        for path in paths[:most]:
            print(f"{kind}: {path}")
        if len(paths) > most:
            print(f"{kind}: {len(paths) - most:,} more (--verbose names them)")
    words = ", ".join(f"{counts[kind]:,} {kind}s" for kind in ("error", "warning", "note") if counts[kind])
    say(f"{info.name} in {data}: {words or 'whole'}; {'incomplete or broken' if broken else 'usable'}")
    if broken:
        say(f"get it from {info.where}; expected {info.layout}")
    return int(broken)
