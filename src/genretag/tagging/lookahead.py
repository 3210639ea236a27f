"""Looks at files ahead of their turn where each look is mostly waiting: for answers of a remote storage."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from genretag.audio.remote import RemotePath
from genretag.tagging.scan import Found

T = TypeVar("T")

LOOKS = 32  # at once


def looked_ahead(found: Iterable[Found], look: Callable[[Found], T]) -> Iterator[T]:
    """`look` of every file, in order: of remote files some at once and ahead, of others at their turn."""
    pool: ThreadPoolExecutor | None = None
    line: deque[Found | Future[T]] = deque()
    try:
        for one in found:
            if isinstance(one.path, RemotePath):
                pool = pool or ThreadPoolExecutor(LOOKS, thread_name_prefix="genretag-look")
                line.append(pool.submit(look, one))
            else:
                line.append(one)
            while line and (len(line) > LOOKS or isinstance(line[0], Found)):
                yield _answer(line.popleft(), look)
        while line:
            yield _answer(line.popleft(), look)
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _answer(waiting: Found | Future[T], look: Callable[[Found], T]) -> T:
    return look(waiting) if isinstance(waiting, Found) else waiting.result()
