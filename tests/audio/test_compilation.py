"""Compilation into Numba's cache: real processes and real locks."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from genretag.audio.compilation import compiling_alone

RECORDING = """
import sys, time
from pathlib import Path
from genretag.audio.compilation import compiling_alone

folder, name = Path(sys.argv[1]), sys.argv[2]
with compiling_alone():
    entered = time.monotonic()
    time.sleep(0.3)
    left = time.monotonic()
(folder / name).write_text(f"{entered} {left}")
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "numba"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    return folder


def _times(folder: Path, names: tuple[str, ...]) -> list[tuple[float, float]]:
    """Run the block in processes started together; return when each entered and left it, in order."""
    processes = [subprocess.Popen([sys.executable, "-c", RECORDING, str(folder), name]) for name in names]
    assert [process.wait(60) for process in processes] == [0] * len(names)
    times = []
    for name in names:
        entered, left = (folder / name).read_text().split()
        times.append((float(entered), float(left)))
    return sorted(times)


def test_processes_compile_one_after_the_other(cache: Path, tmp_path: Path) -> None:
    times = _times(tmp_path, ("a", "b", "c"))
    assert all(left <= entered for (_, left), (entered, _) in itertools.pairwise(times))


def test_nobody_waits_once_it_is_compiled(cache: Path) -> None:
    with compiling_alone(), compiling_alone(timeout=0):
        pass  # the second block cannot have the lock and runs all the same
    assert list(cache.glob("*.compiled"))
    (cache / ".genretag.lock").unlink(missing_ok=True)
    with compiling_alone():
        assert not (cache / ".genretag.lock").exists()


def test_a_failure_does_not_count_as_compiled(cache: Path) -> None:
    with pytest.raises(ZeroDivisionError), compiling_alone():
        raise ZeroDivisionError
    assert not list(cache.glob("*.compiled"))


def test_a_cache_that_cannot_be_written_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "numba"))
    ran = False
    with compiling_alone():
        ran = True
    assert ran
