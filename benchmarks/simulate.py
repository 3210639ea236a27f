"""Many machines that tag one library, replayed from the measured times of one: rates, limits, lost nodes.

    python -m benchmarks.simulate --drivers one

Files are drawn from those that `benchmarks.stages` measured; `benchmarks.nodes` says what becomes of them.
Prints simulated rates of one machine beside the measured ones; then, by the number of nodes, the rate, as a
share of so many times one node, how busy everything was, and how many files were done again.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.nodes import File, Setup, Simulation
from benchmarks.tagging_report import table

MIB = 2**20
MEASURED = Path(__file__).with_name("stages.json")
DRIVER = Path(__file__).with_name("driver.json")


@dataclass(frozen=True)
class Stages:
    """What `benchmarks.stages` measured.

    `record` is what the program on one machine takes for a file beside looking at it.
    """

    files: tuple[File, ...]
    window: float
    record: float
    runs: dict[int, dict[str, float]]
    """Of real runs, by the cores they were allowed: rate, cores that they got, core-seconds a file."""

    @classmethod
    def read(cls, path: Path) -> Stages:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        names = [one.name for one in fields(File)]
        files = tuple(File(**{name: file[name] for name in names}) for file in found["files"])
        return cls(
            files=files,
            window=found["window"],
            record=found["run"]["driver"] - statistics.mean(file.look_seconds for file in files),
            runs={int(cores): run for cores, run in found["run"]["cores"].items()},
        )

    def library(self, count: int, seed: int = 0) -> list[File]:
        """So many files, drawn from those that were measured."""
        return random.Random(seed).choices(self.files, k=count)

    def setup(self, **more: Any) -> Setup:
        return Setup(window=self.window, record=self.record, **more)


def driver_seconds(path: Path) -> float:
    """What one command takes for a file, as `benchmarks.driver` measured it with the most nodes."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return float(max(rows, key=lambda row: row["nodes"])["driver"])


def beside_reality(stages: Stages, files: int = 2000) -> list[dict[str, float]]:
    """Simulated and measured runs of one machine by the number of its cores.

    `ratio` is that of the rates, the simulated one on as many cores as other work left to the real run.
    """
    rows = []
    for cores, run in sorted(stages.runs.items()):
        done = Simulation(stages.setup(cores=cores), stages.library(files)).run()
        rows.append(
            {
                "cores": cores,
                "got": run["cores"],
                "measured": run["rate"],
                "simulated": done.rate,
                "ratio": done.rate * run["cores"] / cores / run["rate"],
            }
        )
    return rows


def show_reality(rows: Sequence[dict[str, float]]) -> str:
    """A table of what `beside_reality` found."""
    head = ["cores", "of them free", "measured, files/s", "simulated, all free", "simulated over measured"]
    return table(
        head,
        [
            [
                f"{row['cores']}",
                f"{row['got']:.2f}",
                f"{row['measured']:.2f}",
                f"{row['simulated']:.2f}",
                f"{row['ratio']:.2f}",
            ]
            for row in rows
        ],
    )


def growth(stages: Stages, setup: Setup, counts: Sequence[int], files_a_node: int) -> list[dict[str, Any]]:
    """A run for every number of nodes, each with so many files a node."""
    rows: list[dict[str, Any]] = []
    alone = Simulation(replace(setup, nodes=1), stages.library(files_a_node)).run().rate
    for nodes in counts:
        done = Simulation(replace(setup, nodes=nodes), stages.library(nodes * files_a_node)).run()
        rows.append(
            {
                "nodes": nodes,
                "rate": done.rate,
                "linear": done.rate / (nodes * alone),
                "with_tail": done.overall / (nodes * alone),
                "busy": done.busy,
                "busiest": done.busiest,
                "lost": done.lost,
            }
        )
    return rows


def show(rows: Sequence[dict[str, Any]]) -> str:
    """A table of what `growth` found."""
    head = [
        "nodes",
        "files/s",
        "of linear",
        "start to end",
        "cores",
        "driver",
        "file system",
        "busiest",
        "redone",
    ]
    return table(
        head,
        [
            [
                str(row["nodes"]),
                f"{row['rate']:,.0f}",
                f"{row['linear']:.2f}",
                f"{row['with_tail']:.2f}",
                *(f"{100 * row['busy'][name]:.0f} %" for name in ("cores", "driver", "file system")),
                row["busiest"],
                str(row["lost"]),
            ]
            for row in rows
        ],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", type=Path, default=MEASURED, help="JSON of benchmarks.stages")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64, 128, 256])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--workers", type=int, help="default: one a core")
    parser.add_argument("--drivers", choices=("one", "each"), default="each")
    parser.add_argument("--driver", type=Path, default=DRIVER, help="JSON of benchmarks.driver, for `one`")
    parser.add_argument("--bandwidth", type=float, default=float("inf"), help="of the file system, MiB/s")
    parser.add_argument("--link", type=float, default=float("inf"), help="of one machine, MiB/s")
    parser.add_argument("--delay", type=float, default=0.0, help="of a read call, ms")
    parser.add_argument("--lifetime", type=float, help="of a node, seconds on average; default: for ever")
    parser.add_argument("--repair", type=float, default=60.0, help="seconds until a lost node is back")
    parser.add_argument(
        "--window", type=float, help="ms of a device that each node has, in place of its cores"
    )
    parser.add_argument(
        "--record", type=float, help="ms of the driver for a file, in place of the measured ones"
    )
    parser.add_argument("--files", type=int, default=500, help="a node")
    options = parser.parse_args(arguments)
    stages = Stages.read(options.stages)
    print(show_reality(beside_reality(stages)) + "\n")
    setup = stages.setup(
        cores=options.cores,
        workers=options.workers,
        drivers=options.drivers,
        bandwidth=options.bandwidth * MIB,
        link=options.link * MIB,
        delay=options.delay / 1000,
        lifetime=options.lifetime,
        repair=options.repair,
    )
    if options.drivers == "one":
        setup = replace(setup, record=driver_seconds(options.driver))
    if options.record is not None:
        setup = replace(setup, record=options.record / 1000)
    if options.window is not None:
        setup = replace(setup, window=options.window / 1000, device=True)
    print(show(growth(stages, setup, options.nodes, options.files)))


if __name__ == "__main__":
    main()
