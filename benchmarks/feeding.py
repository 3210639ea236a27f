"""How long a training waits for its data: windows of cached features, read while the network works.

    python -m benchmarks.feeding --data ../shared/data/gtzan/genres

Trains each preset for real on the GTZAN clips at hand, after their features are in the cache. Prints a
table and one JSON line: the wall time of an epoch, validation included; how much of it the loop waited for
its next batch, in seconds and as a share; and the CPU time that it takes to make a batch, which is what
limits a device that is faster than this one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import program
from genretag.labels import Kind
from genretag.training import batches, forward
from genretag.training.history import EpochScores, Nobody
from genretag.training.options import TrainOptions
from genretag.training.train import train

T = TypeVar("T")
read_ahead = batches.ahead


class Clock(Nobody):
    """A watcher that adds up the waiting inside epochs and their wall time."""

    def __init__(self) -> None:
        self.waited, self.making, self.batches, self.seconds = 0.0, 0.0, 0, 0.0
        self._in_epoch = False

    def epoch_begins(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        self._in_epoch = True

    def epoch_done(self, scores: EpochScores, kind: Kind, best: bool) -> None:
        self._in_epoch = False
        self.seconds += scores.seconds

    def ahead(self, make: Callable[[int], T], numbers: range, depth: int = batches.AHEAD) -> Iterator[T]:
        """The package's own `ahead`, with the making of each one and the wait for it timed."""

        def timed(number: int) -> T:
            began = time.thread_time()
            one = make(number)
            if self._in_epoch:
                self.making += time.thread_time() - began
            return one

        made = read_ahead(timed, numbers, depth)
        while True:
            began = time.perf_counter()
            try:
                one = next(made)
            except StopIteration:
                return
            if self._in_epoch:
                self.waited += time.perf_counter() - began
                self.batches += 1
            yield one


def measure(preset: str, data: Path, epochs: int) -> dict[str, Any]:
    """Train a preset on GTZAN and say what of the epochs was waiting."""
    clock = Clock()
    # Every read of windows, for training and for validation, goes through `ahead`.
    for module in (batches, forward):
        module.ahead = clock.ahead  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as out:
        options = TrainOptions(
            "gtzan", preset, data, Path(out), epochs=epochs, measure="valid", report=False, device="cpu"
        )
        train(options, clock)
    return {
        "epoch_seconds": round(clock.seconds / epochs, 2),
        "waiting_seconds": round(clock.waited / epochs, 3),
        "waiting_share": round(clock.waited / clock.seconds, 4),
        "batches": clock.batches // epochs,
        "making_milliseconds": round(1000 * clock.making / clock.batches, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of GTZAN")
    parser.add_argument("--model", nargs="+", default=["gru", "cnn"], metavar="PRESET", help="(gru cnn)")
    parser.add_argument("--epochs", type=int, default=1, metavar="N", help="of each (1)")
    given = parser.parse_args()
    facts = program.machine()
    program.print_machine(facts)
    print("model     epoch s   waiting s   share   batches   making ms")
    figures: dict[str, Any] = {"machine": facts, "epochs": given.epochs, "models": {}}
    for preset in given.model:
        found = figures["models"][preset] = measure(preset, given.data, given.epochs)
        print(
            f"{preset:8}{found['epoch_seconds']:9.1f}{found['waiting_seconds']:12.3f}"
            f"{100 * found['waiting_share']:7.2f}%{found['batches']:10}{found['making_milliseconds']:12.2f}"
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
