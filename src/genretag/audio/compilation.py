"""Compilation of librosa's functions by Numba, one process at a time.

librosa compiles functions on first use and Numba keeps the result in a cache. Two processes that fill this
cache at the same time can leave it in a state in which the compiled functions crash from then on
(https://github.com/numba/numba/issues/10128).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

LOCK_SECONDS = 300.0


@contextlib.contextmanager
def compiling_alone(timeout: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold a lock while functions may be compiled into Numba's cache for the first time.

    Once a block has ended without an exception, later ones do not wait for each other. If the lock cannot be
    had (no writable directory, or `timeout` seconds have passed), the block runs all the same.
    """
    folder = _cache_directory()
    done = folder / f".genretag-{_versions()}.compiled"
    with contextlib.ExitStack() as stack:
        if not done.exists():
            with contextlib.suppress(OSError, NotImplementedError, Timeout):
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(folder / ".genretag.lock", timeout=timeout))
        yield
        with contextlib.suppress(OSError):
            done.touch()


def _cache_directory() -> Path:
    """Return the directory that Numba's cache of librosa's functions is in, or one that shares its fate.

    Numba prefers NUMBA_CACHE_DIR, then `__pycache__` beside the module, then a directory of the user.
    """
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return Path(named)
    spec = importlib.util.find_spec("librosa")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        if os.access(package, os.W_OK):
            return package / "__pycache__"
    return platformdirs.user_cache_path("genretag", appauthor=False)


def _versions() -> str:
    """Return the versions that compiled functions depend on, as a part of a file name."""
    names = (f"{name}{importlib.metadata.version(name)}" for name in ("librosa", "numba"))
    return "-".join((sys.implementation.cache_tag or "python", *names))
