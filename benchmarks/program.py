"""Running `genretag` from outside, as a person does, and naming the machine it ran on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

GENRETAG = (sys.executable, "-m", "genretag")


def environment(home: Path) -> dict[str, str]:
    """The environment of a run with a store of its own in `home`."""
    return os.environ | {"GENRETAG_HOME": str(home)}


def tag(home: Path, arguments: Sequence[str | Path], python: Sequence[str] = ()) -> dict[str, Any]:
    """Run `genretag tag --json`: seconds of wall time, records, how many got which status, standard error.

    Raises SystemExit with what the program said when it could not start or was killed.
    """
    command = [GENRETAG[0], *python, *GENRETAG[1:], "tag", "--json", "--quiet", *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 1):
        raise SystemExit(f"genretag answered {done.returncode}: {done.stderr.strip()}")
    records = [json.loads(line) for line in done.stdout.split("\n") if line]
    statuses = Counter(record["status"] for record in records)
    return {"seconds": seconds, "records": records, "statuses": dict(statuses), "stderr": done.stderr}


def machine() -> dict[str, Any]:
    """Processor, cores, memory and versions: what a figure is worth nothing without."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        model = models[0] if models else model
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("genretag", "torch", "av", "mutagen", "numpy")},
    }


def print_machine(facts: dict[str, Any]) -> None:
    """One line for a person."""
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
