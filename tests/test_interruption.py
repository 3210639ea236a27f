"""Signals that come where Python loses or mistreats the exception that they raise."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import os, signal, sys
from genretag import interruption
interruption.handle_signals()
def end():
    os.kill(os.getpid(), signal.{name})
"""
# exec of text, as dataclasses and named tuples do it.
IN_EXEC = """
try:
    exec("end()")
except KeyboardInterrupt:
    print("caught", flush=True)
interruption.leaving()
sys.exit(interruption.exit_code(0))
"""
IN_DESTRUCTOR = """
class Last:
    def __del__(self):
        end()
Last()
print("went on", flush=True)
try:
    interruption.check()
except KeyboardInterrupt:
    print("caught", flush=True)
sys.exit(interruption.exit_code(0))
"""


def outcome(folder: Path, script: str, name: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines that a script prints that ends itself by a signal.

    It is run as a module: CPython looks at such exceptions only there.
    """
    (folder / "ended.py").write_text(BEGIN.format(name=name) + script)
    line = [sys.executable, "-m", "ended"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=folder)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_exit_code_is_that_of_the_signal(tmp_path: Path, name: str) -> None:
    code, lines = outcome(tmp_path, IN_EXEC, name)
    assert (code, lines) == (128 + getattr(signal, name), ["caught"])


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_lost_exception_is_raised_again(tmp_path: Path, name: str) -> None:
    code, lines = outcome(tmp_path, IN_DESTRUCTOR, name)
    assert (code, lines) == (128 + getattr(signal, name), ["went on", "caught"])


def test_without_a_signal_nothing_is_raised() -> None:
    program = "from genretag import interruption\ninterruption.handle_signals()\ninterruption.check()"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
