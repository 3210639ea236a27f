"""Time an unchanged library: 5,000 small files are tagged once, then again and again.

    python -m benchmarks.rescan --library /tmp/rescan --source music/naev-data

Prints a table and one JSON line: the first run, then the median of unchanged re-runs with the default policy
and with `--existing replace`, whether such a re-run imports torch, and `genretag --help`. The store stands in
LIBRARY.home, so a second start of this benchmark skips the analysis.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import mixed_library, program, small_library

POLICIES: Mapping[str, tuple[str, ...]] = {"default": (), "--existing replace": ("--existing", "replace")}


def measure(library: Path, count: int, runs: int, sources: Sequence[Path]) -> dict[str, Any]:
    """Everything this benchmark prints."""
    facts = program.machine()
    music, _ = mixed_library.find_sources(sources, 30.0, 0)
    folders = small_library.make(library, count, music)[: -(-count // small_library.PER_FOLDER)]
    home = library.with_name(f"{library.name}.home")
    first = program.tag(home, folders)
    result: dict[str, Any] = {"machine": facts, "files": count, "first": _tidy(first), "again": {}}
    for policy, options in POLICIES.items():
        program.tag(home, [*options, *folders])  # the first with a policy may still have something to write
        again = [program.tag(home, [*options, *folders]) for _ in range(runs)]
        traced = program.tag(home, [*options, *folders], python=("-X", "importtime"))
        result["again"][policy] = {
            "median_seconds": round(statistics.median(run["seconds"] for run in again), 3),
            "seconds": [round(run["seconds"], 3) for run in again],
            "statuses": again[-1]["statuses"],
            "imports_torch": imports(traced["stderr"], "torch"),
        }
    result["help_seconds"] = round(statistics.median(program.help_seconds() for _ in range(runs)), 3)
    return result


def imports(trace: str, package: str) -> bool:
    """Whether `python -X importtime` reported a package."""
    return any(line.rpartition("|")[2].strip() == package for line in trace.splitlines())


def _tidy(run: Mapping[str, Any]) -> dict[str, Any]:
    return {"seconds": round(run["seconds"], 2), "statuses": run["statuses"]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, required=True, help="folder to fill, or filled before")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=5, help="re-runs to take the median of (5)")
    parser.add_argument("--source", type=Path, action="append", default=[], help="real music to slice")
    options = parser.parse_args(arguments)
    result = measure(options.library, options.files, options.runs, options.source)
    program.print_machine(result["machine"])
    print(f"{'run over ' + str(options.files) + ' files':<28}{'seconds':>9}  torch  statuses")
    print(f"{'first':<28}{result['first']['seconds']:>9.2f}  yes    {result['first']['statuses']}")
    for policy, again in result["again"].items():
        torch = "yes" if again["imports_torch"] else "no"
        print(f"{'unchanged, ' + policy:<28}{again['median_seconds']:>9.2f}  {torch:<5}  {again['statuses']}")
    print(f"{'genretag --help':<28}{result['help_seconds']:>9.2f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
