"""Files in, scores or other rows out: decode workers, scoring threads and the order of the answers.

A pump thread moves windows from the workers to the scoring threads, so that both stay busy while the caller
is busy with what it got. Importing this module does not import torch.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from genretag import checkpoint as checkpoints
from genretag.audio.decode import one_line
from genretag.audio.features import FeatureSpec
from genretag.audio.windows import Coverage
from genretag.errors import FileError
from genretag.predict.pool import Decoded, DecodePool, Ended, available_cores, settings_for
from genretag.predict.worker import Change

if TYPE_CHECKING:
    from genretag.checkpoint import Checkpoint
    from genretag.predict.score import Scorer

T = TypeVar("T")

LOOK_AHEAD = 256  # jobs taken before the first of them is answered
FILES_PER_WORKER = 4  # of them, files under way: enough that a long one does not hold up the workers
MOST_WORKERS = 16
WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class EngineOptions:
    """How to predict. None means what suits the machine; `timeout` is in seconds without progress.

    `cores` are those to decode and score on, by default all that this process may use.
    """

    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    coverage: Coverage = "fast"
    keep_windows: bool = False
    timeout: float = 120.0
    cores: int | None = None


@dataclass(frozen=True)
class Job(Generic[T]):
    """One item of the caller's with the file to analyse; without a path it is handed through in its place."""

    item: T
    path: Path | None


@dataclass(frozen=True, eq=False)
class TrackScores:
    """What the model hears in one file.

    `scores` (labels,) are the track's. `windows` (windows, labels) and their `starts` in seconds only where
    they were asked for. `duration` in seconds of sound, `seconds` of work. A file that failed has an `error`
    and no scores.
    """

    scores: NDArray[np.float32] | None
    windows: NDArray[np.float32] | None
    starts: NDArray[np.float64] | None
    duration: float | None
    n_windows: int
    seconds: float
    error: FileError | None


@dataclass(frozen=True, eq=False)
class TrackRows:
    """What a scorer makes of the windows of one file, in the order of their `starts` (seconds).

    `rows` (windows, ...) is empty where the file failed and has an `error`. `duration` in seconds of sound,
    `seconds` of work.
    """

    rows: NDArray[np.float32]
    starts: NDArray[np.float64]
    duration: float | None
    seconds: float
    error: FileError | None


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


def predict(
    jobs: Iterable[Job[T]], checkpoint: Path, options: EngineOptions
) -> Generator[tuple[T, TrackScores | None], None, None]:
    """Score every job's file, in the order of the jobs; None for jobs without a path.

    Jobs are taken in the caller's thread, a bounded number ahead; nothing starts before the first one with a
    path. A file that fails has its error in its TrackScores. CheckpointError, DeviceError, EngineError and
    whatever goes wrong in scoring are raised. Closing the iterator stops everything at once.
    """
    with closing(Predictor(checkpoint, options)) as predictor:
        yield from predictor.predict(jobs)


class PredictorLike(Protocol):
    """What hears the files of a run: `Predictor` on this machine, `cluster.ClusterPredictor` on many."""

    @property
    def checkpoint(self) -> Path: ...

    def predict(self, jobs: Iterable[Job[Any]]) -> Generator[tuple[Any, TrackScores | None], None, None]:
        """As the function `predict`, as often as wanted."""
        ...

    def close(self) -> None:
        """Stop everything; may be called again."""
        ...


class Predictor:
    """`predict` for several lists of jobs, one after the other: model and workers are kept until `close`.

    `loaded` is what is in the file `checkpoint`, where that was read elsewhere.
    """

    def __init__(self, checkpoint: Path, options: EngineOptions, loaded: Checkpoint | None = None) -> None:
        self.checkpoint = checkpoint
        self.options = options
        self._loaded = loaded
        self._lock = threading.Lock()
        self._runner: Runner | None = None
        self._scorers: list[Scorer] = []

    def predict(self, jobs: Iterable[Job[T]]) -> Generator[tuple[T, TrackScores | None], None, None]:
        """As the function `predict`; closing the iterator early drops the model too."""
        source = iter(jobs)
        for job in source:
            if job.path is not None:
                break
            yield job.item, None
        else:
            return
        with closing(self._started().run(itertools.chain([job], source))) as answers:
            for item, heard in answers:
                yield item, None if heard is None else self._scores_of(heard)

    def score(self, paths: Sequence[Path]) -> list[TrackScores]:
        """Score some files; several threads may ask at once, and share workers and model.

        All of the files are under way at once. Raises as the function `predict` does.
        """
        with self._lock:
            runner = self._started()
        return [self._scores_of(heard) for heard in runner.hear(paths)]

    def close(self) -> None:
        """Stop the workers and let go of the model; may be called again, and `predict` starts anew."""
        if self._runner is not None:
            self._runner.close()
        self._scorers.clear()

    def _started(self) -> Runner:
        if self._runner is None:
            meta = self._loaded.meta if self._loaded else checkpoints.read_meta(self.checkpoint)
            self._runner = Runner(meta.features, self._make_scorer, self.options)
        return self._runner

    def _scores_of(self, heard: TrackRows) -> TrackScores:
        if heard.error is not None:
            return TrackScores(None, None, None, heard.duration, 0, heard.seconds, heard.error)
        (scorer,) = self._scorers
        scores, count = scorer.track(heard.rows), len(heard.rows)
        if not self.options.keep_windows:
            return TrackScores(scores, None, None, heard.duration, count, heard.seconds, None)
        windows = scorer.windows(heard.rows)
        return TrackScores(scores, windows, heard.starts, heard.duration, count, heard.seconds, None)

    def _make_scorer(self) -> Scorer:
        from genretag.predict.score import Scorer

        checkpoint, options = self._loaded or checkpoints.load(self.checkpoint), self.options
        self._scorers[:] = [Scorer(checkpoint, options.device, options.batch_size, options.cores)]
        return self._scorers[0]


def run(
    jobs: Iterable[Job[T]],
    spec: FeatureSpec,
    make_scorer: Callable[[], ScorerLike],
    options: EngineOptions,
    *,
    change: Change | None = None,
) -> Generator[tuple[T, TrackRows | None], None, None]:
    """Pass the windows of every job's file through a scorer; everything else as in `predict`.

    `make_scorer` is called once, in a thread, while the workers already decode. `change` alters each window
    of samples in the workers. Device and batch size are the scorer's own affair, not taken from `options`.
    """
    with closing(Runner(spec, make_scorer, options, change)) as runner:
        yield from runner.run(jobs)


class Runner:
    """`run` for several lists of jobs, one after the other: scorer and workers are kept until `close`."""

    def __init__(
        self,
        spec: FeatureSpec,
        make_scorer: Callable[[], ScorerLike],
        options: EngineOptions,
        change: Change | None = None,
    ) -> None:
        self._make = functools.partial(_Engine, spec, make_scorer, options, change)
        self._lock = threading.Lock()
        self._engine: _Engine | None = None

    def hear(self, paths: Sequence[Path]) -> list[TrackRows]:
        """The rows of some files, all of them under way at once; for any number of threads."""
        with self._lock:
            engine = self._engine = self._engine or self._make()
        tracks = [engine.submit(path) for path in paths]
        return [engine.result(track) for track in tracks]

    def run(self, jobs: Iterable[Job[T]]) -> Generator[tuple[T, TrackRows | None], None, None]:
        """As the function `run`; an iterator that does not come to its end stops everything."""
        source = iter(jobs)
        line: deque[tuple[T, _Track | None]] = deque()
        under_way, exhausted = 0, False
        try:
            while True:
                # With no file under way there is nothing to keep busy: what is known goes out first.
                while not exhausted and len(line) < LOOK_AHEAD and not (line and under_way == 0):
                    if self._engine is not None and under_way >= self._engine.capacity:
                        break
                    job = next(source, None)
                    if job is None:
                        exhausted = True
                    elif job.path is None:
                        line.append((job.item, None))
                    else:
                        self._engine = self._engine or self._make()
                        line.append((job.item, self._engine.submit(job.path)))
                        under_way += 1
                if not line:
                    return
                item, track = line.popleft()
                if track is None or self._engine is None:
                    yield item, None
                else:
                    rows = self._engine.result(track)
                    under_way -= 1
                    yield item, rows
        finally:
            if under_way:
                self.close()

    def close(self) -> None:
        """Stop the machinery; may be called again, and another `run` starts it anew."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


@dataclass
class _Track:
    """One file under way; its windows are scored in any order. `parts` are (first window, starts, rows)."""

    number: int
    path: Path
    parts: list[tuple[int, NDArray[np.float64], NDArray[np.float32]]] = field(default_factory=list)
    scored: int = 0
    seconds: float = 0.0
    ended: Ended | None = None

    @property
    def done(self) -> bool:
        ended = self.ended
        return ended is not None and (ended.error is not None or self.scored == ended.n_windows)


class _Engine:
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
        self._tracks: dict[int, _Track] = {}
        self._submitted = 0
        self._failure: BaseException | None = None
        self._closing = False
        self._threads: list[threading.Thread] = []
        atexit.register(self.close)  # before the interpreter pulls the ground from under the threads
        self._pump_thread = self._start(self._pump)
        self._start(self._load)

    def submit(self, path: Path) -> _Track:
        with self._change:
            track = _Track(self._submitted, path)
            self._submitted += 1
            self._tracks[track.number] = track
        self._pool.submit(track.number, path)
        return track

    def result(self, track: _Track) -> TrackRows:
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
                    self._tracks[event.task].ended = event
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
            track.parts.append((chunk.first, chunk.starts, rows))
            track.scored += len(rows)
            track.seconds += seconds
            if track.done:
                self._change.notify_all()


def _assemble(track: _Track) -> TrackRows:
    """The answer for a track that is done."""
    ended = track.ended
    assert ended is not None
    seconds = ended.seconds + track.seconds
    nothing, never = np.zeros(0, np.float32), np.zeros(0)
    if ended.error is not None:
        return TrackRows(nothing, never, None, seconds, ended.error)
    parts = sorted(track.parts, key=lambda part: part[0])
    rows = np.concatenate([rows for _, _, rows in parts])  # (windows, ...)
    if not np.isfinite(rows).all():
        error = FileError("bad-scores", f"{one_line(track.path)}: what is computed from it is not numbers")
        return TrackRows(nothing, never, ended.duration, seconds, error)
    starts = np.concatenate([starts for _, starts, _ in parts])
    return TrackRows(rows, starts, ended.duration, seconds, None)
