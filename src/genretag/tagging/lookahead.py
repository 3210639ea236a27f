"""Looks at files ahead of their turn where others read them: the nodes of a cluster, or threads that wait.

Reading a file of this machine takes less than telling a thread of it, and is done at its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from genretag.audio.remote import RemotePath
from genretag.errors import FileError
from genretag.predict.engine import Elsewhere
from genretag.store import Store
from genretag.tagging.look import Look, Reading, begin, finish, read
from genretag.tagging.scan import Found

THREADS = 32  # that wait for a remote storage
AHEAD = 1024  # files that nodes read ahead of their turn: some for every core of some hundred

Waiting = Callable[[], Reading | FileError]


def looked_ahead(
    found: Iterable[Found], store: Store, elsewhere: Elsewhere | None = None, *, use_cache: bool = True
) -> Iterator[Look]:
    """`look.look` at every file, in order; what is not known yet is read `elsewhere` where that is given."""
    pool: ThreadPoolExecutor | None = None
    line: deque[tuple[Look, Waiting | None]] = deque()
    ahead = THREADS if elsewhere is None else AHEAD
    try:
        for one in found:
            begun = begin(one, store, use_cache=use_cache)
            waiting: Waiting | None = None
            if begun.unread and elsewhere is not None:
                waiting = elsewhere(read, begun.path)
            elif begun.unread and isinstance(begun.path, RemotePath):
                pool = pool or ThreadPoolExecutor(THREADS, thread_name_prefix="genretag-look")
                waiting = pool.submit(read, begun.path).result
            line.append((begun, waiting))
            while line and (len(line) > ahead or line[0][1] is None):
                yield _finished(*line.popleft(), store)
        while line:
            yield _finished(*line.popleft(), store)
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _finished(begun: Look, waiting: Waiting | None, store: Store) -> Look:
    if not begun.unread:
        return begun
    assert begun.key is not None
    reading = read(begun.path) if waiting is None else waiting()
    if isinstance(reading, FileError):
        return replace(begun, error=reading)
    if reading.known is not None and reading.state != (begun.key.size, begun.key.mtime_ns):
        # Another machine saw another state of it, perhaps an old one: what is remembered must be of this one.
        reading = read(begun.path)
    return finish(begun, reading, store)
