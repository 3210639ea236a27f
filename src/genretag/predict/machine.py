"""The machinery of one run: decode workers, scoring threads, and a pump thread between them.

The pump moves windows from the workers to the scoring threads, so that both stay busy while the caller is
busy with what it got. Importing this module does not import torch.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from genretag.audio.audiofile import DecodedState, one_line
from genretag.audio.features import FeatureSpec
from genretag.errors import FileError
from genretag.predict.pool import Decoded, DecodePool, Ended, available_cores, settings_for
from genretag.predict.worker import Change

if TYPE_CHECKING:
    from genretag.predict.engine import EngineOptions

FILES_PER_WORKER = 4  # files under way for each: enough that a long one does not hold up the workers
MOST_WORKERS = 16
WAIT_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class TrackRows:
    """What a scorer makes of the windows of one file, in the order of their `starts` (seconds).

    `rows` (windows, ...) is empty where the file failed and has an `error`. `duration` in seconds of sound,
    `seconds` of work. `state` is that of the file when it was decoded, None if it could not be opened.
    """

    rows: NDArray[np.float32]
    starts: NDArray[np.float64]
    duration: float | None
    seconds: float
    error: FileError | None
    state: DecodedState | None = None


class ScorerLike(Protocol):
    """What turns windows of samples into rows. Threads share it; each holds a `lane()` around its work.

    `batch_size` windows come at once, if there are as many, in each of `lanes` threads; windows of several
    files together only where it `mixes` them. What `score` returns must not share memory with what it got.
    """

    @property
    def batch_size(self) -> int: ...

    @property
    def lanes(self) -> int: ...

    @property
    def mixes(self) -> bool: ...

    def lane(self) -> AbstractContextManager[None]: ...

    def score(self, waves: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows (windows, ...) of (windows, window_samples)."""
        ...


@dataclass
class Track:
    """One file under way; its windows are scored in any order. `parts` are (first window, starts, rows)."""

    number: int
    path: Path
    parts: list[tuple[int, NDArray[np.float64], NDArray[np.float32]]] = field(default_factory=list)
    scored: int = 0
    seconds: float = 0.0
    ended: Ended | None = None
    retried: bool = False

    def is_void(self, event: Decoded | Ended) -> bool:
        """Return whether an event is of an attempt before the last; the first of a new one clears the old."""
        if event.retried and not self.retried:
            self.retried, self.scored = True, 0
            self.parts.clear()
        return event.retried != self.retried

    @property
    def done(self) -> bool:
        ended = self.ended
        return ended is not None and (ended.error is not None or self.scored == ended.n_windows)


class Engine:
    """The machinery of one `run`: a decode pool, its pump thread, and the scoring threads."""

    def __init__(
        self,
        spec: FeatureSpec,
        make_scorer: Callable[[], ScorerLike],
        options: EngineOptions,
        change: Change | None = None,
    ) -> None:
        self._make_scorer = make_scorer
        workers = options.workers or min(options.cores or available_cores(), MOST_WORKERS)
        self.capacity = FILES_PER_WORKER * max(workers, 2)
        self._pool = DecodePool(workers, settings_for(spec, options.coverage, options.timeout, change))
        self._chunks: queue.SimpleQueue[Decoded | None] = queue.SimpleQueue()
        self._change = threading.Condition()
        # Under the condition's lock:
        self._tracks: dict[int, Track] = {}
        self._submitted = 0
        self._failure: BaseException | None = None
        self._closing = False
        self._threads: list[threading.Thread] = []
        atexit.register(self.close)  # before the interpreter pulls the ground from under the threads
        self._pump_thread = self._start(self._pump)
        self._start(self._load)

    def submit(self, path: Path) -> Track:
        with self._change:
            track = Track(self._submitted, path)
            self._submitted += 1
            self._tracks[track.number] = track
        self._pool.submit(track.number, path)
        return track

    def result(self, track: Track) -> TrackRows:
        """Wait for a file; what broke the engine is raised here."""
        with self._change:
            while not track.done:
                if self._failure is not None:
                    raise self._failure
                self._change.wait(WAIT_SECONDS)
            del self._tracks[track.number]
        return _assemble(track)

    def close(self) -> None:
        """Stop: files under way are dropped, workers killed, threads joined. May be called again."""
        with self._change:
            self._closing = True
            threads = list(self._threads)
        for _ in threads:
            self._chunks.put(None)
        if self._pump_thread.is_alive():
            self._pool.wake()
            self._pump_thread.join()
        self._pool.close()
        for thread in threads:
            thread.join()
        atexit.unregister(self.close)

    def _start(self, target: Callable[..., None], *arguments: object) -> threading.Thread:
        """Run in a thread; what it raises is the caller's at the next result."""

        def run() -> None:
            try:
                target(*arguments)
            except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
                with self._change:
                    self._failure = self._failure or error
                    self._change.notify_all()

        thread = threading.Thread(target=run, name=f"genretag{target.__name__}", daemon=True)
        with self._change:
            if not self._closing:
                self._threads.append(thread)
                thread.start()
        return thread

    def _pump(self) -> None:
        while not self._closing:
            for event in self._pool.events():
                if isinstance(event, Decoded):
                    self._chunks.put(event)
                    continue
                with self._change:
                    track = self._tracks[event.task]
                    if not track.is_void(event):
                        track.ended = event
                        self._change.notify_all()

    def _load(self) -> None:
        """Load the model while the workers already decode, then score in as many threads as are worth it."""
        scorer = self._make_scorer()
        for _ in range(scorer.lanes - 1):
            self._start(self._score, scorer)
        self._score(scorer)

    def _score(self, scorer: ScorerLike) -> None:
        # A pass of another size may be computed in another order: a file's last bits must not depend on that.
        enough = scorer.batch_size if scorer.mixes else 1
        with scorer.lane():
            while (chunks := self._gather(enough)) and not self._closing:
                started = time.perf_counter()
                if len(chunks) == 1:
                    rows = scorer.score(chunks[0].waves)
                    self._pool.release(chunks[0])
                else:
                    waves = np.concatenate([chunk.waves for chunk in chunks])
                    for chunk in chunks:
                        self._pool.release(chunk)
                    rows = scorer.score(waves)
                seconds = (time.perf_counter() - started) / len(rows)
                for chunk in chunks:
                    part, rows = np.split(rows, [len(chunk.starts)])
                    self._scored(chunk, part, seconds * len(part))

    def _gather(self, enough: int) -> list[Decoded]:
        """Chunks that are there, up to about `enough` windows, waiting for the first; none at the end."""
        chunks: list[Decoded] = []
        windows = 0
        while windows < enough:
            try:
                chunk = self._chunks.get(block=not chunks)
            except queue.Empty:
                break
            if chunk is None:
                return []
            chunks.append(chunk)
            windows += len(chunk.starts)
        return chunks

    def _scored(self, chunk: Decoded, rows: NDArray[np.float32], seconds: float) -> None:
        with self._change:
            track = self._tracks.get(chunk.task)
            if track is None or (track.ended is not None and track.ended.error is not None):
                return  # the file failed after this chunk
            if track.is_void(chunk):
                return
            track.parts.append((chunk.first, chunk.starts, rows))
            track.scored += len(rows)
            track.seconds += seconds
            if track.done:
                self._change.notify_all()


def _assemble(track: Track) -> TrackRows:
    """The answer for a track that is done."""
    ended = track.ended
    assert ended is not None
    seconds = ended.seconds + track.seconds
    nothing, never = np.zeros(0, np.float32), np.zeros(0)
    if ended.error is not None:
        return TrackRows(nothing, never, None, seconds, ended.error, ended.state)
    parts = sorted(track.parts, key=lambda part: part[0])
    rows = np.concatenate([rows for _, _, rows in parts])  # (windows, ...)
    if not np.isfinite(rows).all():
        error = FileError("bad-scores", f"{one_line(track.path)}: what is computed from it is not numbers")
        return TrackRows(nothing, never, ended.duration, seconds, error, ended.state)
    starts = np.concatenate([starts for _, starts, _ in parts])
    return TrackRows(rows, starts, ended.duration, seconds, None, ended.state)
