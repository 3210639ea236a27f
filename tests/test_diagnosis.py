"""Checks of an installation, and modules on systems without POSIX."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genretag import __version__, checkpoint
from genretag.diagnosis import diagnose


def test_a_damaged_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in checkpoint.shipped().values():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "auto.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr(checkpoint, "shipped", lambda: {p.stem: p for p in tmp_path.glob("*.safetensors")})
    assert {check.name for check in diagnose() if not check.ok} == {"models", "default model"}


_WITHOUT_POSIX = """
import importlib, pkgutil, sys
for name in ("fcntl", "resource", "termios", "pwd", "grp", "tty", "pty", "syslog"):
    sys.modules[name] = None
import genretag
names = [module.name for module in pkgutil.walk_packages(genretag.__path__, "genretag.")]
for name in names:
    if name != "genretag.__main__":
        importlib.import_module(name)
print(len(names))
"""


def test_every_module_is_imported_without_posix_modules() -> None:
    """As on Windows. Libraries that need one of them here are imported first, as they would not there."""
    libraries = "import torch, librosa, multiprocessing.util, tempfile, getpass, subprocess, shutil"
    extras = (
        "import ray, optuna, s3fs, beets.plugins, numba, matplotlib.pyplot, sklearn, typer, filelock, asyncio"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{libraries}\n{extras}\n{_WITHOUT_POSIX}"],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 150


def test_the_command_runs_without_posix_modules() -> None:
    program = (
        f"{_WITHOUT_POSIX.split('import genretag')[0]}from genretag.__main__ import run\nrun(['version'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"genretag {__version__}\n"), done.stderr[-2000:]
