"""Time training steps of each network with one CPU thread and with one per core.

    python -m benchmarks.threads [--busy 2] [--steps 5] [PRESET ...]

Prints the median seconds of a step (forward, backward, optimiser) with either number of threads, taken in
turn, and their ratio. `--busy` starts that many processes that use a core each meanwhile, as other work on
the machine does.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence

import torch
from torch import nn

from genretag.models.presets import PRESETS
from genretag.models.records import Preset, Recipe
from genretag.models.registry import build

LABELS = 10


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("presets", nargs="*", metavar="PRESET")
    parser.add_argument("--busy", type=int, default=0, metavar="N")
    parser.add_argument("--steps", type=int, default=5, metavar="N")
    given = parser.parse_args(arguments)
    names = given.presets or [name for name, one in PRESETS.items() if isinstance(one.recipe, Recipe)]
    cores = os.cpu_count() or 1
    others = [multiprocessing.Process(target=_work_forever, daemon=True) for _ in range(given.busy)]
    for other in others:
        other.start()
    print(f"{cores} cores, {given.busy} busy processes; median seconds of a step of {given.steps}")
    print(f"{'preset':20}{'parameters':>12}{'1 thread':>10}{f'{cores} threads':>11}{'ratio':>7}")
    for name in names:
        network, seconds = measure(PRESETS[name], cores, given.steps)
        size = sum(parameter.numel() for parameter in network.parameters())
        one, all_cores = seconds[1], seconds[cores]
        print(f"{name:20}{size:12,}{one:10.3f}{all_cores:11.3f}{one / all_cores:7.2f}", flush=True)


def measure(preset: Preset, cores: int, steps: int) -> tuple[nn.Module, dict[int, float]]:
    """Time steps on random features.

    Returns:
        The network, and the median seconds of a step by number of threads (1 and `cores`).
    """
    assert isinstance(preset.recipe, Recipe)
    torch.manual_seed(0)
    network = build(preset.name, preset.config, LABELS)
    network.train()
    features = torch.randn(preset.recipe.batch_size, *preset.features.shape)
    truth = torch.randint(LABELS, (preset.recipe.batch_size,))
    optimiser = torch.optim.Adam(network.parameters())
    seconds: dict[int, list[float]] = {1: [], cores: []}
    for number in range(steps + 1):
        for threads, times in seconds.items():
            torch.set_num_threads(threads)
            started = time.perf_counter()
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(features), truth).backward()
            optimiser.step()
            if number:  # the first step allocates
                times.append(time.perf_counter() - started)
    return network, {threads: statistics.median(times) for threads, times in seconds.items()}


def _work_forever() -> None:
    while True:
        sum(range(100_000))


if __name__ == "__main__":
    main()
