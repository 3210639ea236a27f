"""Freed memory is kept for the next use, where the C library can be told to."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from genretag.predict.heap import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory(16 << 20)
import numpy as np
np.ones(1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(1 << 20)  # 8 MiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs Linux with glibc"
)
def test_memory_that_was_freed_is_not_fetched_again() -> None:
    def faults(how: str) -> int:
        return int(subprocess.check_output([sys.executable, "-c", FAULTS, how]))

    assert faults("keep") < 100
    assert faults("leave") > 100
