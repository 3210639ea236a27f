"""What the C library does with memory that was given back."""

from __future__ import annotations

import contextlib
import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def keep_freed_memory(size: int) -> None:
    """Let glibc keep up to `size` bytes of freed memory, in blocks up to that size, for the next who asks.

    It gives large blocks back to the kernel, which clears them page by page before it hands them out again.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_TRIM_THRESHOLD, size)
            mallopt(M_MMAP_THRESHOLD, size)
