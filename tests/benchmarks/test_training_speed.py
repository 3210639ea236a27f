"""The measuring of training speed: what it counts, not how fast anything is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.extraction import Cores
from benchmarks.feeding import Clock
from benchmarks.statistics import difference
from genretag.training.history import EpochScores

BUSY = "import time\nwhile time.process_time() < 0.5: pass"


def test_waiting_is_counted_inside_epochs_only() -> None:
    clock = Clock()
    assert list(clock.ahead(lambda number: 10 * number, range(3))) == [0, 10, 20]
    assert (clock.batches, clock.waited) == (0, 0.0)
    clock.epoch_begins(1, 1, 4, 0)
    assert list(clock.ahead(lambda number: number, range(4))) == [0, 1, 2, 3]
    clock.epoch_done(EpochScores(1, 0.0, None, None, 0.1, seconds=2.5), "single", best=True)
    assert (clock.batches, clock.seconds) == (4, 2.5)
    assert clock.waited > 0


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs Linux's schedstat")
def test_the_time_of_a_child_is_counted() -> None:
    with Cores() as cores:
        subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert cores.used * cores.seconds > 0.1
    assert cores.asked >= cores.used


def test_a_difference_is_relative_to_the_spread_of_its_statistic() -> None:
    wanted = np.zeros((2, 518), np.float32)
    wanted[:, 3], wanted[:, 5] = (100.0, 104.0), 50.0
    found = wanted.copy()
    found[0, 3] += 1.0
    assert difference([*found], [*wanted]) == (0.5, "chroma_cens_kurtosis_04")
    found[0, 5] += 50.0
    assert difference([*found], [*wanted]) == (1.0, "chroma_cens_kurtosis_06")
