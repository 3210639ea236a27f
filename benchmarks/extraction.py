"""Whether the extraction of features keeps every core busy: Linux only.

    python -m benchmarks.extraction --data ../shared/data/gtzan/genres

Fills a feature cache of its own with the clips at hand for each preset. Prints a table and one JSON line:
clips a second; the cores that all its processes used (CPU seconds for each second of wall time); and the
cores that they asked for: with the seconds in which a thread was ready to run and another thread had the
core. On a busy machine only the second figure shows whether all cores would have been used.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import program
from genretag.models.registry import preset
from genretag.predict.engine import EngineOptions
from genretag.training.cache import FeatureCache, Front

LOOK_SECONDS = 0.2
NANO = 1e-9


class Cores:
    """Time that the threads of this process and of its descendants ran, and that they waited for a core."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], tuple[int, int]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Cores:
        self._before = _times(os.getpid())
        self._start = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.seconds = time.perf_counter() - self._start
        spent = [
            (ran - self._before.get(thread, (0, 0))[0], waited - self._before.get(thread, (0, 0))[1])
            for thread, (ran, waited) in self._seen.items()
        ]
        self.used = sum(ran for ran, _ in spent) * NANO / self.seconds
        self.asked = self.used + sum(waited for _, waited in spent) * NANO / self.seconds

    def _look(self) -> None:
        # Workers are killed at the end, so what they had used is looked at while they live.
        while not self._stop.wait(LOOK_SECONDS):
            self._seen |= _times(os.getpid())


def _times(process: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Nanoseconds run and waited of every thread of a process and of those below it."""
    found = {}
    for folder in Path(f"/proc/{process}/task").glob("*"):
        try:
            ran, waited, _ = map(int, (folder / "schedstat").read_text().split())
            children = (folder / "children").read_text().split()
        except OSError:
            continue  # it has ended
        found[process, int(folder.name)] = ran, waited
        for child in children:
            found |= _times(int(child))
    return found


def measure(name: str, files: list[Path]) -> dict[str, Any]:
    """Features of all files for one preset, into a cache that is thrown away."""
    with tempfile.TemporaryDirectory() as folder, Cores() as cores:
        cache = FeatureCache(Front(preset(name).features), Path(folder))
        answers = cache.fill(files, EngineOptions(device="cpu"), quiet=True)
    return {
        "clips": len(answers),
        "seconds": round(cores.seconds, 1),
        "clips_a_second": round(len(answers) / cores.seconds, 2),
        "cores_used": round(cores.used, 2),
        "cores_asked_for": round(cores.asked, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of music files")
    parser.add_argument(
        "--model",
        nargs="+",
        default=["handcrafted", "gru", "kostrzewa"],
        metavar="PRESET",
        help="whose features are extracted (handcrafted gru kostrzewa: statistics, MFCC, log-mel)",
    )
    given = parser.parse_args()
    files = sorted(path for path in given.data.rglob("*") if path.suffix in (".mp3", ".flac", ".au", ".wav"))
    facts = program.machine()
    program.print_machine(facts)
    print("model           clips   seconds   clips/s   cores used   asked for")
    figures: dict[str, Any] = {"machine": facts, "models": {}}
    for name in given.model:
        found = figures["models"][name] = measure(name, files)
        print(
            f"{name:14}{found['clips']:7}{found['seconds']:10}{found['clips_a_second']:10}"
            f"{found['cores_used']:13}{found['cores_asked_for']:12}"
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
