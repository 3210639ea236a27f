"""Where the time of all processes goes: shares of a profile that py-spy took.

    py-spy record --subprocesses --rate 100 --format raw --output profile.txt -- \\
      genretag tag --dry-run --no-cache --existing replace --json --quiet songs > /dev/null
    python -m benchmarks.shares profile.txt

Each sample counts for the innermost of its calls that tells what was being done; samples of threads that only
wait are left out.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import tagging_report

PARTS = {
    "importlib": "imports",
    "torch/nn/modules/conv.py": "network, convolutions",
    "torch/nn/": "network, the rest",
    "genretag/models/": "network, the rest",
    "genretag/audio/extract.py": "features",
    "genretag/audio/sources.py": "decoders and their frames",
    "soxr/": "resampling",
    "genretag/audio/payload.py": "reading tags, naming recordings",
    "genretag/audio/ogg.py": "reading tags, naming recordings",
    "mutagen/": "reading tags, naming recordings",
    "genretag/audio/": "cutting windows",
    "genretag/store.py": "store",
    "genretag/predict/score.py": "copies between parts",
    "genretag/predict/": "engine, pool and their messages",
    "genretag/tagging/": "deciding and records",
    "genretag/cli/": "deciding and records",
}
"""What a call is a sign of, by a part of its file's name."""
WAITING = (
    "wait (",
    "select (",
    "poll (",
    "_recv (",
    "_gather (",
    "main (multiprocessing/resource_tracker.py",
)
"""Signs of calls that hold no core though py-spy may think so."""


def shares(stacks: Iterable[str]) -> Counter[str]:
    """Samples by part, from py-spy's raw lines: calls from the outermost on, parted by ";", and a count."""
    found: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        calls = stack.split(";")
        if not calls[-1].startswith("process ") and not any(sign in calls[-1] for sign in WAITING):
            found[_part(calls)] += int(count)
    return found


def _part(calls: Sequence[str]) -> str:
    # An import may run any code.
    if any("importlib" in call for call in calls):
        return PARTS["importlib"]
    signs = (part for call in reversed(calls) for sign, part in PARTS.items() if sign in call)
    return next(signs, "Python itself")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", type=Path, help="what py-spy wrote with --format raw")
    with parser.parse_args(arguments).profile.open(encoding="utf-8") as lines:
        found = shares(lines)
    total = found.total()
    print(tagging_report.table(["part", "share"], [[p, f"{n / total:.1%}"] for p, n in found.most_common()]))


if __name__ == "__main__":
    main()
