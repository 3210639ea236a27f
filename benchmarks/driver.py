"""What one command costs that many nodes work for: real Ray, the real command, and nodes that recite.

    python -m benchmarks.driver --nodes 1 16 64 --out driver.json

Each node is a process of a real Ray cluster. It hears nothing: it takes the time that its cores would take
for a file (the mean of `benchmarks.stages`) and answers with made-up scores; so 64 nodes fit on one machine,
and what is measured is the command in front of them, with all that Ray asks of it. Prints, by the number of
nodes: records a second, as a share of what so many nodes could do, and processor milliseconds of the command
for a record. All processes share the cores of this machine; the last column says how busy these were, and so
whether the rate fell short for want of them. Needs Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import memory, program
from benchmarks.cluster import cluster
from benchmarks.simulate import MEASURED, Stages
from benchmarks.stages import Look, looking, under_way
from benchmarks.tagging_report import table
from genretag.checkpoint import Checkpoint
from genretag.predict.engine import EngineOptions, TrackScores
from genretag.store import KnownFile
from genretag.tagging.look import Reading

FILE_SECONDS = "GENRETAG_BENCHMARK_FILE_SECONDS"
LOOK_SECONDS = 0.0007
PER_FOLDER = 500


class Reciter:
    """In place of `stations.Hearer`: as long in its work, and as much in its answers."""

    def __init__(self, checkpoint: Checkpoint, options: EngineOptions, version: str) -> None:
        labels = len(checkpoint.meta.labels.names)
        self._scores = np.random.default_rng(0).random(labels, dtype=np.float32) ** 4
        self._seconds = float(os.environ[FILE_SECONDS])
        self._free = [0.0] * (options.cores or 1)
        self._lock = threading.Lock()

    def start(self) -> str:
        return platform.node()

    def score(self, paths: Sequence[Path]) -> list[TrackScores]:
        with self._lock:
            for _ in paths:
                core = self._free.index(min(self._free))
                self._free[core] = end = max(time.monotonic(), self._free[core]) + self._seconds
        time.sleep(max(0.0, end - time.monotonic()))
        return [self._heard(path) for path in paths]

    def do(self, work: Callable[[Path], Any], paths: Sequence[Path]) -> list[Reading]:
        time.sleep(LOOK_SECONDS * len(paths))
        return [_read(path) for path in paths]

    def _heard(self, path: Path) -> TrackScores:
        scores = np.roll(self._scores, int(path.stem))
        return TrackScores(scores, None, None, 240.0, 8, self._seconds, None)


def _read(path: Path) -> Reading:
    name, status = hashlib.sha256(os.fsencode(path)).hexdigest(), path.stat()
    known = KnownFile(f"mp3:{name}", "mp3", True, ("Rock",))
    return Reading(known, None, (status.st_size, status.st_mtime_ns))


def idle_seconds() -> float:
    """Seconds that all cores of this machine together had nothing to do so far; see proc(5), /proc/stat."""
    return int(Path("/proc/stat").read_text().split(maxsplit=5)[4]) / os.sysconf("SC_CLK_TCK")


class Seen(NamedTuple):
    """Seconds from the start, seconds that all cores were idle until then, bytes that the command held."""

    seconds: float
    idle: float
    held: int


@contextmanager
def watching(process: int) -> Iterator[tuple[list[Look], list[Seen]]]:
    """What `benchmarks.stages.looking` sees, with what the machine did and the memory of the command."""
    seen: list[Seen] = []

    def look(seconds: float) -> None:
        seen.append(Seen(seconds, idle_seconds(), memory.proportional_size(process)))

    with program.every(0.2, look), looking(process) as series:
        yield series, seen


def busy(during: Sequence[Seen]) -> float:
    """The part of the time of all cores in which they had something to do."""
    first, last = during[0], during[-1]
    return 1 - (last.idle - first.idle) / ((last.seconds - first.seconds) * (os.cpu_count() or 1))


def paths(folder: Path, count: int) -> None:
    """So many files with nothing in them that anybody reads."""
    for number in range(count):
        place = folder / f"{number // PER_FOLDER:04d}"
        place.mkdir(exist_ok=True)
        (place / f"{number:07d}.mp3").write_bytes(b"\0")


def measure(nodes: int, cores: int, files: int, seconds: float, model: str) -> dict[str, float]:
    """One run: `under_way` of `benchmarks.stages`, and its rate as a share of what the nodes could do."""
    os.environ[FILE_SECONDS] = str(seconds)
    with tempfile.TemporaryDirectory() as place, cluster([nodes * cores]) as (address, _):
        library, home = Path(place, "library"), Path(place, "home")
        library.mkdir()
        paths(library, files)
        arguments = ["--dry-run", "--existing", "replace", "--model", model, "--device", "cpu"]
        arguments += ["--workers", str(cores), "--engine", "ray", "--ray-address", address, str(library)]
        done = program.tag(home, arguments, watching=watching, module="benchmarks.driver")
    if len(done["records"]) != files:
        raise SystemExit(done["stderr"])
    arrivals, (series, seen) = done["arrivals"], done["seen"]
    found = under_way({**done, "seen": series})
    during = [one for one in seen if arrivals[len(arrivals) // 4] <= one.seconds <= arrivals[-1]]
    return {
        **found,
        "linear": found["rate"] * seconds / (nodes * cores),
        "busy": busy(during),
        "first_bytes": during[0].held,
        "last_bytes": during[-1].held,
    }


def drive(arguments: list[str]) -> None:
    """The command, for which others recite."""
    from benchmarks.driver import Reciter as Named  # workers know it by the name of its module
    from genretag.__main__ import main as command
    from genretag.predict import stations

    stations.Hearer = Named  # type: ignore[assignment,misc]
    command(arguments)


def show(rows: Sequence[dict[str, float]]) -> str:
    """A table of the medians."""
    head = ["nodes", "files", "files/s", "of linear"]
    head += ["main thread, ms a file", "command, ms a file", "cores of this machine, busy"]
    return table(
        head,
        [
            [
                f"{row['nodes']}",
                f"{row['files']:,}",
                f"{row['rate']:,.0f}",
                f"{row['linear']:.2f}",
                f"{1000 * row['driver']:.2f}",
                f"{1000 * row['processor']:.2f}",
                f"{100 * row['busy']:.0f} %",
            ]
            for row in rows
        ],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module; beginning with `tag` it is that of genretag."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["tag"]:
        drive(given)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--cores", type=int, default=2, help="of a node")
    parser.add_argument("--seconds", type=float, default=10.0, help="that the nodes need for the files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stages", type=Path, default=MEASURED, help="JSON of benchmarks.stages")
    parser.add_argument("--model", default="musicnn-msd")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(given)
    stages = Stages.read(options.stages)
    seconds = statistics.mean(file.decode + file.windows * stages.window for file in stages.files)
    program.print_machine(program.machine())
    print(f"a file takes a core {1000 * seconds:.1f} ms\n")
    rows: list[dict[str, float]] = []
    for nodes in options.nodes:
        files = round(nodes * options.cores * options.seconds / seconds)
        runs = [measure(nodes, options.cores, files, seconds, options.model) for _ in range(options.rounds)]
        median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        rows.append({"nodes": nodes, "files": files, **median})
    print(show(rows))
    for row in rows:
        held = " MiB, at the end ".join(f"{row[name] / 2**20:.0f}" for name in ("first_bytes", "last_bytes"))
        print(f"memory of the command, {row['nodes']} nodes: a quarter in {held} MiB")
    if options.out:
        found = {"machine": program.machine(), "seconds": seconds, "cores": options.cores, "rows": rows}
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
