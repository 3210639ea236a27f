"""The decode process: files in over a pipe, windows out through shared memory.

Imports no torch, unless it is told to compute the features that do not need it.

The other end is `predict.pool`. Messages are the records below; a window never travels through the pipe.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genretag.audio.audiofile import AudioFile, DecodedState, one_line
from genretag.audio.compilation import compiling_alone
from genretag.audio.decode import Chunk, decode
from genretag.audio.features import FeatureSpec
from genretag.audio.windows import Coverage
from genretag.errors import DecodeError
from genretag.predict.heap import keep_freed_memory, limit_memory

KEPT_BYTES = 16 << 20  # the samples of several windows, and no more: every core has a worker
CHECK_SECONDS = 0.5  # how often a busy worker looks whether its parent is still there
MEMORY_BYTES = 2 << 30  # that a worker may take beyond what it starts with; honest files take a tenth of it
SLOWEST = 2.0  # seconds of work for a second of sound; slow machines take a tenth of it
# Features that numpy computes, holding the GIL for much of the time, so it is done in processes.
WORKER_KINDS = frozenset({"fma-statistics"})

Samples = NDArray[np.float32]
# Alters a window of samples before anything is computed from it; crosses to the worker by pickle.
Change = Callable[[Samples, FeatureSpec], Samples]


@dataclass(frozen=True)
class WorkerSettings:
    """What every worker of a pool is told: the windows to cut and the ring of `slots` it puts them in.

    A file is given up after `timeout` seconds without progress, and one that always makes a little after
    `patience` seconds and SLOWEST more for each second of its sound. `memory`: bytes beyond the first ones.
    """

    spec: FeatureSpec
    coverage: Coverage
    chunk_windows: int
    slots: int
    timeout: float
    patience: float
    change: Change | None = None
    memory: int = MEMORY_BYTES

    def ring_of(self, memory: Any) -> NDArray[np.float32]:
        """The shared memory as float32 (slots, chunk_windows, width)."""
        shape = (self.slots, self.chunk_windows, self.width)
        return np.frombuffer(memory, dtype=np.float32).reshape(shape)

    @property
    def width(self) -> int:
        """Numbers that are handed over for a window: its samples or, of WORKER_KINDS, its features."""
        return math.prod(self.spec.shape) if self.spec.kind in WORKER_KINDS else self.spec.window_samples

    @property
    def warms_up(self) -> bool:
        """Return True if a worker computes something once before it is ready; see `_Worker.warm_up`."""
        return self.change is not None or self.spec.kind in WORKER_KINDS

    @property
    def ring_floats(self) -> int:
        return self.slots * self.chunk_windows * self.width


@dataclass(frozen=True)
class Decode:
    """To the worker: decode this file when those before it are done."""

    task: int
    path: Path


@dataclass(frozen=True)
class Release:
    """To the worker: this slot of the ring may be filled again."""

    slot: int


@dataclass(frozen=True)
class Ready:
    """From the worker: it runs."""


@dataclass(frozen=True)
class Started:
    """From the worker: it opens this file now."""

    task: int


@dataclass(frozen=True)
class Filled:
    """From the worker: windows of this file, from the window numbered `first`, lie in the slot."""

    task: int
    slot: int
    first: int
    starts: NDArray[np.float64]


@dataclass(frozen=True)
class Finished:
    """From the worker: the file is done; `seconds` of work, `duration` of sound."""

    task: int
    seconds: float
    duration: float
    n_windows: int
    state: DecodedState | None = None


@dataclass(frozen=True)
class Failed:
    """From the worker: the file gives no windows; those already sent are void."""

    task: int
    seconds: float
    code: str
    message: str
    state: DecodedState | None = None


def main(pipe: Connection, memory: Any, beat: Any, settings: WorkerSettings) -> None:
    """Serve until the other end of the pipe closes. `beat` (shared integer) grows while there is progress."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    # Decoding libraries print to stderr, and a worker must not hold the parent's pipes open.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    keep_freed_memory(KEPT_BYTES)
    one = _Worker(pipe, settings.ring_of(memory), beat, settings)
    if settings.warms_up:
        one.warm_up()
    limit_memory(settings.memory)
    one.serve()


class _Worker:
    def __init__(
        self, pipe: Connection, ring: NDArray[np.float32], beat: Any, settings: WorkerSettings
    ) -> None:
        self.pipe, self.ring, self.beat, self.settings = pipe, ring, beat, settings
        self.tasks: deque[Decode] = deque()
        self.free = set(range(settings.slots))
        self.checked = self.looked = time.monotonic()
        self.waited = self.worked = self.heard = 0.0
        self.audio: AudioFile | None = None

    def warm_up(self) -> None:
        """Compute the features of a window of noise, so that no file pays for imports and compilation.

        librosa compiles code with numba at its first use, for 20 s or minutes, if the result cannot be kept.
        """
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, (1, self.settings.spec.window_samples))
        # What goes wrong here goes wrong with every file, and is then reported with its name.
        with contextlib.suppress(Exception), compiling_alone():
            self._prepared(noise.astype(np.float32))

    def serve(self) -> None:
        self._send(Ready())
        while True:
            while not self.tasks:
                _set_alarm(0)
                self._receive(None)
            self._decode(self.tasks.popleft())

    def _decode(self, task: Decode) -> None:
        settings = self.settings
        self._send(Started(task.task))
        self._progress()
        self.waited = self.worked = self.heard = 0.0
        self.audio = None
        started = time.monotonic()
        try:
            heard = decode(
                task.path,
                settings.spec,
                settings.coverage,
                lambda chunk: self._hand_over(task, chunk),
                chunk_windows=settings.chunk_windows,
                progress=lambda seconds: self._hear(task, seconds),
                opened=self._opened,
            )
            result: Finished | Failed = Finished(task.task, 0.0, heard.duration, heard.n_windows)
        except DecodeError as error:
            result = Failed(task.task, 0.0, error.code, str(error))
        except Exception as error:  # noqa: BLE001  no file, however odd, may take the others with it
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            result = Failed(task.task, 0.0, DecodeError.code, f"{one_line(task.path)}: {reason}")
        state = None if self.audio is None else self.audio.state
        self._send(replace(result, seconds=time.monotonic() - started - self.waited, state=state))

    def _opened(self, audio: AudioFile) -> None:
        self.audio = audio

    def _hand_over(self, task: Decode, chunk: Chunk) -> None:
        windows = self._prepared(chunk.waves)
        waiting = time.monotonic()
        while not self.free:
            self._progress()  # waiting for the scores of others is no fault of this file
            self._receive(CHECK_SECONDS)
            self.looked = time.monotonic()
        self.waited += time.monotonic() - waiting
        slot = self.free.pop()
        self.ring[slot, : len(windows)] = windows
        self._send(Filled(task.task, slot, chunk.first, chunk.starts))

    def _prepared(self, waves: Samples) -> Samples:
        """What is handed over for windows of samples: float32 (windows, width)."""
        spec, change = self.settings.spec, self.settings.change
        if change is None and spec.kind not in WORKER_KINDS:
            return waves
        import scipy.linalg  # noqa: F401  only what is loaded can be limited
        from threadpoolctl import threadpool_limits

        rows = []
        # Every core has a worker: more threads would stand in each other's way, and change the last bits.
        with threadpool_limits(1):
            for wave in waves:
                rows.append(_computed(wave if change is None else change(wave, spec), spec))
                self._progress()
        return np.stack(rows)

    def _hear(self, task: Decode, seconds: float) -> None:
        """Progress over so much sound, and an end for a file that would go on like this for ever."""
        self._progress()
        self.heard += seconds
        if self.worked > self.settings.patience + SLOWEST * self.heard:
            reason = f"given up, {self.worked:,.0f} s of work made {self.heard:,.1f} s of sound"
            raise DecodeError(f"{one_line(task.path)}: {reason}", code="timeout")

    def _progress(self) -> None:
        """A sign of life for the parent, and a look whether the parent lives: its death ends the pipe."""
        self.beat.value += 1
        now = time.monotonic()
        # What a stopped process slept is no work, and a longer stand-still ends the worker anyway.
        self.worked += min(now - self.looked, self.settings.timeout)
        self.looked = now
        if now - self.checked > CHECK_SECONDS:
            self.checked = now
            self._receive(0)
        # A decoder that hangs in C looks no more: then the kernel ends the orphan.
        _set_alarm(2 * self.settings.timeout + 60)

    def _receive(self, patience: float | None) -> None:
        """Take in what the parent sent, waiting `patience` seconds for it (None: as long as it takes)."""
        with _ending_with_parent():
            while self.pipe.poll(patience):
                message = self.pipe.recv()
                if isinstance(message, Decode):
                    self.tasks.append(message)
                else:
                    self.free.add(message.slot)
                patience = 0

    def _send(self, message: object) -> None:
        with _ending_with_parent():
            self.pipe.send(message)


def _computed(wave: Samples, spec: FeatureSpec) -> Samples:
    """One window of samples, or of WORKER_KINDS its features."""
    if spec.kind not in WORKER_KINDS:
        return wave
    from genretag.audio.statistics import statistics

    return statistics(wave[spec.lead_samples : spec.window_samples - spec.lead_samples], spec)


@contextlib.contextmanager
def _ending_with_parent() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError):
        raise SystemExit from None


def _set_alarm(seconds: float) -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(int(min(seconds, 1e6)))
