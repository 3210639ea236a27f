"""Files in, scores or other rows out: decode workers, scoring threads and the order of the answers.

Importing this module does not import torch.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from genretag import checkpoint as checkpoints
from genretag.audio.audiofile import DecodedState
from genretag.audio.features import FeatureSpec
from genretag.audio.windows import Coverage
from genretag.errors import FileError
from genretag.predict.machine import Engine, ScorerLike, Track, TrackRows
from genretag.predict.worker import Change

if TYPE_CHECKING:
    from genretag.checkpoint import Checkpoint
    from genretag.predict.score import Scorer

T = TypeVar("T")


class Answer(Protocol):
    """What is found out of a file, or why nothing was."""

    @property
    def error(self) -> FileError | None: ...


A = TypeVar("A", bound=Answer)

LOOK_AHEAD = 256  # jobs taken before the first of them is answered


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
    and no scores. `state` is that of the file when it was decoded, None if it could not be opened or its
    worker was lost: compare it before anything is remembered of the file. `encoded` (windows, width) is the
    output of the model's frozen encoder, None for a model without one.
    """

    scores: NDArray[np.float32] | None
    windows: NDArray[np.float32] | None
    starts: NDArray[np.float64] | None
    duration: float | None
    n_windows: int
    seconds: float
    error: FileError | None
    state: DecodedState | None = None
    encoded: NDArray[np.float32] | None = None


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


class Elsewhere(Protocol):
    """Others who do something with a file; what is returned waits for their answer.

    That is a FileError where all who tried it were lost. Errors in answers name the file as it was given.
    """

    def __call__(self, work: Callable[[Path], A], path: Path, /) -> Callable[[], A | FileError]: ...


class PredictorLike(Protocol):
    """What hears the files of a run: `Predictor` on this machine, `cluster.ClusterPredictor` on many.

    `elsewhere` does other work on files where they are heard, if that is not here.
    """

    @property
    def checkpoint(self) -> Path: ...

    @property
    def elsewhere(self) -> Elsewhere | None: ...

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

    elsewhere = None

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
            for item, track in answers:
                yield item, None if track is None else self._scores_of(track)

    def score(self, paths: Sequence[Path]) -> list[TrackScores]:
        """Score some files; several threads may ask at once, and share workers and model.

        All of the files are under way at once. Raises as the function `predict` does.
        """
        with self._lock:
            runner = self._started()
        return [self._scores_of(track) for track in runner.hear(paths)]

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

    def _scores_of(self, track: TrackRows) -> TrackScores:
        if track.error is not None:
            return TrackScores(None, None, None, track.duration, 0, track.seconds, track.error, track.state)
        (scorer,) = self._scorers
        keep = self.options.keep_windows
        return TrackScores(
            scores=scorer.track(track.rows),
            windows=scorer.windows(track.rows) if keep else None,
            starts=track.starts if keep else None,
            duration=track.duration,
            n_windows=len(track.rows),
            seconds=track.seconds,
            error=None,
            state=track.state,
            encoded=track.rows if scorer.has_head else None,
        )

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
        self._make = functools.partial(Engine, spec, make_scorer, options, change)
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    def hear(self, paths: Sequence[Path]) -> list[TrackRows]:
        """The rows of some files, all of them under way at once; for any number of threads."""
        with self._lock:
            engine = self._engine = self._engine or self._make()
        tracks = [engine.submit(path) for path in paths]
        return [engine.result(track) for track in tracks]

    def run(self, jobs: Iterable[Job[T]]) -> Generator[tuple[T, TrackRows | None], None, None]:
        """As the function `run`; an iterator that does not come to its end stops everything."""
        source = iter(jobs)
        line: deque[tuple[T, Track | None]] = deque()
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
