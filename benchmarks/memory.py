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
from collections.abc import Sequence
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


def watch(command: Sequence[str], home: Path) -> dict[str, Any]:
    """Run a command to its end: exit code, seconds, peak bytes, most processes, number of samples."""
    peak = most = samples = 0
    start = time.perf_counter()
    run = subprocess.Popen(
        command,
        env=program.environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while run.poll() is None:
        sizes = [proportional_size(process) for process in processes_of(run.pid)]
        peak, most, samples = max(peak, sum(sizes)), max(most, len(sizes)), samples + 1
        time.sleep(INTERVAL)
    seconds = round(time.perf_counter() - start, 2)
    return {
        "exit": run.returncode,
        "seconds": seconds,
        "peak_bytes": peak,
        "processes": most,
        "samples": samples,
    }


def measure(library: Path, counts: Sequence[int], sources: Sequence[Path]) -> dict[str, Any]:
    """Everything this benchmark prints."""
    facts = program.machine()
    music, _ = mixed_library.find_sources(sources, 30.0, 0)
    folders = small_library.make(library, max(counts), music)
    rows = []
    for count in counts:
        some = folders[: -(-count // small_library.PER_FOLDER)]
        arguments = ["tag", "--dry-run", "--no-cache", "--existing", "replace", "--json", *map(str, some)]
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
