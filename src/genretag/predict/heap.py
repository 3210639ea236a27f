"""Memory of this process: what the C library does with what was given back, and how much there may be."""

from __future__ import annotations

import contextlib
import ctypes
import os
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


def limit_memory(size: int) -> None:
    """Refuse this process more than `size` bytes beyond what it has now (MemoryError). Linux only.

    Elsewhere the kernel has no such limit, or does not keep to it.
    """
    if sys.platform == "linux":
        import resource

        with open("/proc/self/statm", "rb") as numbers:
            data = int(numbers.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = data + size
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (wanted if most < 0 else min(wanted, most), most))
