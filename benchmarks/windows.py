"""How many windows are enough: the accuracy of a model by the number of windows that it hears of a clip.

    python -m benchmarks.windows --data ../shared/data/gtzan/genres

runs `genretag eval` on every part that is here, once for each `--coverage`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import program, robustness

COVERAGES = ("1", "2", "4", "fast", "full")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", default="gtzan")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--coverage", action="append", help="may be repeated (1, 2, 4, fast, full)")
    options = parser.parse_args(arguments)
    coverages = options.coverage or COVERAGES
    program.print_machine(program.machine())
    with tempfile.TemporaryDirectory() as folder:
        found = {
            coverage: robustness.evaluate(
                options.data, options.model, options.dataset, Path(folder) / coverage, coverage
            )
            for coverage in coverages
        }
    print(robustness.header("windows", found[coverages[-1]], f"same answer as {coverages[-1]}"))
    for coverage, measured in found.items():
        print(robustness.row(coverage, measured, found[coverages[-1]]))


if __name__ == "__main__":
    main()
