"""torchaudio, importable beside any build of torch.

PyPI's torchaudio loads a compiled library that wants CUDA: beside a CPU-only torch the import ends in
OSError, beside a torch for another CUDA in RuntimeError. What genretag uses of torchaudio is plain Python and
does without that library: where it does not load, its loader `torchaudio._extension` is replaced and the
import repeated. On an installation that fits, nothing is replaced.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

_PACKAGE = "torchaudio"
_LOADER = "torchaudio._extension"
# A model may be built in one thread while another trains: half an import must be seen by nobody.
_ONE_AT_A_TIME = threading.RLock()


def torchaudio() -> ModuleType:
    """The torchaudio package; ImportError where it is not installed at all."""
    with _ONE_AT_A_TIME:
        return _imported()


@functools.cache
def _imported() -> ModuleType:
    try:
        return importlib.import_module(_PACKAGE)
    except (OSError, RuntimeError):
        _forget_half_imported()
        sys.modules[_LOADER] = _without_library()
        return importlib.import_module(_PACKAGE)


def _forget_half_imported() -> None:
    # A copy in one step: other threads import meanwhile.
    for name in list(sys.modules):
        if name.split(".")[0] == _PACKAGE:
            del sys.modules[name]


def _without_library() -> ModuleType:
    """The two names that the rest of torchaudio takes from its loader, as they are without a library."""
    loader = ModuleType(_LOADER, "Stands for torchaudio's loader where its compiled library does not load.")
    vars(loader).update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, fail_if_no_align=_refuse)
    return loader


def _refuse(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError(
            f"{function.__name__} needs torchaudio's compiled library, which does not load here"
        )

    return refuse
