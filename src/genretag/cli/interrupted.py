"""What a person reads of a run that Ctrl-C or a signal ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from genretag.errors import InterruptedRunError


@contextmanager
def interruptible(counts: Counter[str]) -> Iterator[None]:
    """Turn an interruption into InterruptedRunError: one line of what was done and how it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        total = counts.total()
        parts = ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
        files = f"{total:,} file{'' if total == 1 else 's'}"
        done = f"{files} done ({parts})" if total else "no file was done yet"
        raise InterruptedRunError(
            f"interrupted: {done}; what was finished is kept, and the same command goes on from here"
        ) from None
