"""Running `genretag` from outside, as a person does, and naming the machine it ran on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

GENRETAG = (sys.executable, "-m", "genretag")


def environment(home: Path) -> dict[str, str]:
    """The environment of a run with a store of its own in `home`."""
    return os.environ | {"GENRETAG_HOME": str(home)}


def tag(
    home: Path,
    arguments: Sequence[str | Path],
    python: Sequence[str] = (),
    watching: Callable[[int], AbstractContextManager[object]] = nullcontext,
    module: str = "genretag",
) -> dict[str, Any]:
    """Run `genretag tag --json`: seconds of wall time, records, how many got which status, standard error.

    `arrivals` are the seconds from the start at which each record came. `watching` is entered with the
    number of the process while it runs; what it gives is in `seen`. Raises SystemExit with what the
    program said when it could not start or was killed.
    """
    command = [sys.executable, *python, "-m", module, *tag_arguments(arguments)]
    lines: list[bytes] = []
    arrivals: list[float] = []
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        with subprocess.Popen(
            command, env=environment(home), stdout=subprocess.PIPE, stderr=errors
        ) as running:
            assert running.stdout is not None
            with watching(running.pid) as seen:
                for line in running.stdout:
                    arrivals.append(time.perf_counter() - start)
                    lines.append(line)
        seconds = time.perf_counter() - start
        errors.seek(0)
        stderr = errors.read().decode("utf-8", "replace")
    if running.returncode not in (0, 1):
        raise SystemExit(f"genretag answered {running.returncode}: {stderr.strip()}")
    records = [json.loads(line) for line in lines]
    statuses = dict(Counter(record["status"] for record in records))
    return {
        "seconds": seconds,
        "records": records,
        "statuses": statuses,
        "stderr": stderr,
        "arrivals": arrivals,
        "seen": seen,
    }


def tag_arguments(arguments: Sequence[str | Path]) -> list[str]:
    """What stands behind the program's name."""
    return ["tag", "--json", "--quiet", *map(str, arguments)]


def rate(arrivals: Sequence[float], low: float = 0.25, high: float = 1.0) -> float:
    """Records a second between two shares of a run: by default once it is well under way."""
    first, last = round(low * (len(arrivals) - 1)), round(high * (len(arrivals) - 1))
    return (last - first) / (arrivals[last] - arrivals[first])


@contextmanager
def every(seconds: float, look: Callable[[float], None]) -> Iterator[None]:
    """Call `look` again and again beside the block, with the seconds since its beginning, from then on."""
    over, start = threading.Event(), time.perf_counter()

    def watch() -> None:
        while True:
            look(time.perf_counter() - start)
            if over.wait(seconds):
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def cores(count: int) -> Iterator[None]:
    """Programs started inside may use so many of this process's cores."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def help_seconds() -> float:
    """Seconds of `genretag --help`."""
    start = time.perf_counter()
    subprocess.run([*GENRETAG, "--help"], capture_output=True, check=True)
    return time.perf_counter() - start


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
