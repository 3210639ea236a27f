"""torchaudio loads here, and the stand-in for its compiled library appears only where that one fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from genretag.audio._torchaudio import torchaudio

PROGRAM = """
import sys
from genretag.audio._torchaudio import torchaudio
package = torchaudio()
print(package.answer, sys.modules["torchaudio._extension"].__file__ is not None)
"""


def package(folder: Path, loader: str) -> None:
    """A package that is laid out like torchaudio: its first import is the loader of the compiled library."""
    (folder / "torchaudio").mkdir()
    (folder / "torchaudio" / "__init__.py").write_text(
        "from . import _extension\nfrom .functional import answer\n", encoding="utf-8"
    )
    (folder / "torchaudio" / "_extension.py").write_text(loader, encoding="utf-8")
    (folder / "torchaudio" / "functional.py").write_text(
        "from torchaudio._extension import _IS_TORCHAUDIO_EXT_AVAILABLE, fail_if_no_align\n"
        "@fail_if_no_align\ndef aligned(): return 1\n"
        "answer = 'library' if _IS_TORCHAUDIO_EXT_AVAILABLE else 'plain'\n",
        encoding="utf-8",
    )


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_real_package_gives_filters_and_augmentation() -> None:
    package = torchaudio()
    filters = package.functional.melscale_fbanks(257, 0.0, 8000.0, 96, 16000, "slaney", "slaney")
    assert filters.shape == (257, 96)
    masked = package.transforms.FrequencyMasking(8)(torch.ones(1, 96, 20))
    assert masked.shape == (1, 96, 20)


def test_fitting_installation_is_left_alone(tmp_path: Path) -> None:
    package(tmp_path, "_IS_TORCHAUDIO_EXT_AVAILABLE = True\nfail_if_no_align = lambda function: function\n")
    assert run(tmp_path, PROGRAM).stdout.split() == ["library", "True"]


@pytest.mark.parametrize("error", ["OSError('no libcudart')", "RuntimeError('another CUDA version')"])
def test_library_that_does_not_load_is_replaced(tmp_path: Path, error: str) -> None:
    package(tmp_path, f"raise {error}\n")
    program = PROGRAM.replace(".__file__ is not None", ".__doc__.startswith('Stands')")
    assert run(tmp_path, program).stdout.split() == ["plain", "True"]


def test_what_needs_the_library_says_so(tmp_path: Path) -> None:
    package(tmp_path, "raise OSError('no libcudart')\n")
    result = run(tmp_path, PROGRAM.replace("print", "package.functional.aligned()\nprint"))
    assert result.returncode == 1
    assert "aligned needs torchaudio's compiled library" in result.stderr


def test_missing_package_stays_an_import_error() -> None:
    program = "sys.modules['torchaudio'] = None" + PROGRAM
    assert "ModuleNotFoundError" in run(Path("."), program).stderr
