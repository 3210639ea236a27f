"""Peak memory of `genretag tag -n --no-cache`, all processes together, over 500 and over 5,000 files.

    python -m benchmarks.memory --library /tmp/rescan

Every 50 ms the proportional set sizes (PSS: shared pages counted once) of all processes of the run are added
up from /proc/PID/smaps_rollup, so it needs Linux. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import mixed_library, program, small_library

INTERVAL = 0.05
"""Seconds between samples."""


def processes_of(leader: int) -> set[int]:
    """A program started with a session of its own and all it started, in that session or another."""
    parents: dict[int, int] = {}
    found = {leader}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            # proc(5): the name may hold anything and ends at the last ")"; then state, ppid, pgrp, session.
            _, parent, _, session = stat.rpartition(")")[2].split()[:4]
            parents[int(name)] = int(parent)
            if int(session) == leader:
                found.add(int(name))
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def proportional_size(process: int) -> int:
    """Bytes of PSS of one process; 0 when it is gone."""
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return 0


def processor_seconds(process: int) -> float:
    """Processor time of one process and of its children that ended; 0 when it is gone."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    # Fields 14 to 17 of proc(5), the third of which stands first behind the name.
    ticks = sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass
class Seen:
    """What all processes of a run took, as far as was looked."""

    peak_bytes: int = 0
    processor_seconds: float = 0.0
    processes: int = 0
    samples: int = 0
    series: list[tuple[float, int]] = field(default_factory=list)
    """Seconds from the start and bytes, at every look."""

    def look(self, leader: int, seconds: float) -> None:
        """Add up what there is of a run now."""
        members = processes_of(leader)
        size = sum(map(proportional_size, members))
        self.peak_bytes = max(self.peak_bytes, size)
        self.processor_seconds = max(self.processor_seconds, sum(map(processor_seconds, members)))
        self.processes = max(self.processes, len(members))
        self.samples += 1
        self.series.append((seconds, size))


@contextmanager
def watching(leader: int, interval: float = INTERVAL) -> Iterator[Seen]:
    """Look at a running program every `interval` seconds until the end of the block."""
    seen = Seen()
    with program.every(interval, lambda seconds: seen.look(leader, seconds)):
        yield seen


def watch(command: Sequence[str], home: Path) -> dict[str, Any]:
    """Run a command to its end: exit code, seconds, peak bytes, processor seconds, processes, samples."""
    start = time.perf_counter()
    run = subprocess.Popen(
        command,
        env=program.environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with watching(run.pid) as seen:
        run.wait()
    seconds = round(time.perf_counter() - start, 2)
    counts = {name: value for name, value in vars(seen).items() if name != "series"}
    return {"exit": run.returncode, "seconds": seconds, **counts}


def measure(library: Path, counts: Sequence[int], sources: Sequence[Path]) -> dict[str, Any]:
    """Everything this benchmark prints."""
    facts = program.machine()
    music, _ = mixed_library.find_sources(sources, 30.0, 0)
    folders = small_library.make(library, max(counts), music)
    rows = []
    for count in counts:
        some = folders[: -(-count // small_library.PER_FOLDER)]
        arguments = program.tag_arguments(["--dry-run", "--no-cache", "--existing", "replace", *some])
        with tempfile.TemporaryDirectory() as home:
            rows.append({"files": count} | watch([*program.GENRETAG, *arguments], Path(home)))
    return {"machine": facts, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module; 1 when a run failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--library", type=Path, required=True, help="folder to fill, or that benchmarks.rescan filled"
    )
    parser.add_argument("--files", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--source", type=Path, action="append", default=[], help="real music to slice")
    options = parser.parse_args(arguments)
    result = measure(options.library, options.files, options.source)
    program.print_machine(result["machine"])
    print(f"{'files':>7}{'peak MiB':>10}{'processes':>11}{'seconds':>9}{'samples':>9}{'exit':>6}")
    for row in result["rows"]:
        peak = row["peak_bytes"] / 2**20
        print(
            f"{row['files']:>7}{peak:>10.0f}{row['processes']:>11}{row['seconds']:>9.1f}{row['samples']:>9}{row['exit']:>6}"
        )
    print(json.dumps(result))
    return int(any(row["exit"] for row in result["rows"]))


if __name__ == "__main__":
    sys.exit(main())
