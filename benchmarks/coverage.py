"""How often a few windows choose the same first genre as the whole track.

    python -m benchmarks.coverage --library ../shared/data/gtzan/genres --coverage fast --coverage 4

runs `genretag tag --dry-run` over the same files with `--coverage full` and with each of the others. Counted
are the tracks whose first genre is the same; no genre on both sides counts as the same too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import program

Records = Mapping[str, Mapping[str, Any]]


def run(library: Path, coverage: str, model: str) -> tuple[Records, float]:
    """Records by path of a dry run with a store of its own, and its seconds."""
    line = ["--dry-run", "--existing", "replace", "--model", model, "--coverage", coverage, library]
    with tempfile.TemporaryDirectory() as home:
        done = program.tag(Path(home), line)
    return {record["path"]: record for record in done["records"]}, done["seconds"]


def compare(some: Records, full: Records) -> dict[str, Any]:
    """How far two runs over the same files agree."""
    firsts = [(some[path]["genres"][:1], full[path]["genres"][:1]) for path in full]
    both = [(one, other) for one, other in firsts if one and other]
    changes = [
        abs(score - full[path]["scores"][label])
        for path, record in some.items()
        for label, score in record["scores"].items()
    ]
    return {
        "tracks": len(firsts),
        "same": sum(one == other for one, other in firsts),
        "both_without": sum(not one and not other for one, other in firsts),
        "both_with": len(both),
        "same_of_both_with": sum(one == other for one, other in both),
        "mean_score_change": round(statistics.mean(changes), 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--coverage", action="append", help="against full; may be repeated (fast)")
    parser.add_argument("--model", default="musicnn-msd")
    options = parser.parse_args(arguments)
    facts = program.machine()
    program.print_machine(facts)
    full, seconds = run(options.library, "full", options.model)
    result: dict[str, Any] = {"machine": facts, "full_seconds": round(seconds, 1)}
    for coverage in options.coverage or ["fast"]:
        some, seconds = run(options.library, coverage, options.model)
        found = compare(some, full)
        result[coverage] = {"seconds": round(seconds, 1), **found}
        share = found["same"] / found["tracks"]
        print(f"{coverage:<6} same first genre as full: {found['same']} of {found['tracks']} ({share:.1%});")
        print(f"       of {found['both_with']} with a genre on both sides {found['same_of_both_with']};")
        print(f"       a score changes by {found['mean_score_change']} on average")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
