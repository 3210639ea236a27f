"""What can be known about the measuring itself without measuring."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import memory, program, rescan, small_library, snapshot

linux_only = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps_rollup"
)

CHILDREN = """
import subprocess, sys, time
hold = bytearray(64 * 2**20)
child = [sys.executable, "-c", "import time; hold = bytearray(64 * 2**20); time.sleep(0.7)"]
subprocess.run(child, start_new_session=True, check=True)
"""


@linux_only
def test_memory_of_a_child_in_another_session_is_counted(tmp_path: Path) -> None:
    seen = memory.watch([sys.executable, "-c", CHILDREN], tmp_path)
    assert seen["exit"] == 0
    assert seen["processes"] == 2
    assert 128 * 2**20 < seen["peak_bytes"] < 256 * 2**20


@linux_only
def test_processor_time_of_a_run_is_counted(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.4: pass\ntime.sleep(0.3)"
    seen = memory.watch([sys.executable, "-c", busy], tmp_path)
    assert 0.35 < seen["processor_seconds"] < 1.0
    assert seen["seconds"] >= 0.6


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux's affinity of processes")
def test_programs_are_held_to_some_cores() -> None:
    before = os.sched_getaffinity(0)
    ask = [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"]
    with program.cores(1):
        assert subprocess.check_output(ask).split() == [b"1"]
    assert os.sched_getaffinity(0) == before


def test_small_files_all_differ_and_are_made_once(tmp_path: Path) -> None:
    folders = small_library.make(tmp_path / "small", 60)
    assert [folder.name for folder in folders] == ["000", "001"]
    files = sorted((tmp_path / "small").rglob("*.*"))
    assert len(files) == 60
    assert len({snapshot.audio_hash(path) for path in files} - {""}) == 60
    times = [path.stat().st_mtime_ns for path in files]
    assert small_library.make(tmp_path / "small", 50) == folders[:1]
    assert [path.stat().st_mtime_ns for path in files] == times
    with pytest.raises(SystemExit, match="fewer than 200"):
        small_library.make(tmp_path / "small", 200)


def test_an_import_is_read_from_the_trace() -> None:
    trace = "import time: 5 | 9 |   torch.nn\nimport time:       297 |        297 |   numpy\n"
    assert rescan.imports(trace, "numpy")
    assert not rescan.imports(trace, "torch")


def test_the_machine_is_named() -> None:
    facts = program.machine()
    assert facts["cpu"]
    assert facts["cores"] >= 1
    assert facts["torch"]
