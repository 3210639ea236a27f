"""Decode workers: processes that turn files into windows in shared memory, replaced when one is lost.

Workers are never forked from this process: threads, an open GPU or an open database would not survive that.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genretag.audio.audiofile import DecodedState, one_line
from genretag.audio.features import FeatureSpec
from genretag.audio.windows import Coverage
from genretag.errors import EngineError, FileError
from genretag.predict import worker
from genretag.predict.worker import Change, WorkerSettings
from genretag.tempdir import use_own_directory

AHEAD = 2  # files a worker holds: the one it decodes and the next, so that it never waits for a message
SLOTS = 3  # chunks of a worker in shared memory: one being filled, one waiting, one being scored
CHUNK_WINDOWS = 8
CHUNK_BYTES = 2 << 20  # long windows come in smaller chunks
START_SECONDS = 60.0  # in which a worker must report; a cold disk takes long over the first imports
# More for a worker that computes features, which may compile code first: 20 s on a free core, minutes on a
# slow machine where every core does so. A worker that hangs there is noticed so much later.
WARM_UP_SECONDS = 600.0
STARTS = 3  # workers lost before they report, one after the other, that mean that none can run here
LOOK_SECONDS = 0.5
PATIENCE = 10  # timeouts that a file may take that always makes a little progress


@dataclass(frozen=True)
class Decoded:
    """Windows of a file from the window numbered `first`; `starts` in seconds.

    `waves` (windows, width) lies in shared memory and holds until the chunk is released; see WorkerSettings.
    `retried`: of the second attempt; the chunks of the first one are void.
    """

    task: int
    first: int
    starts: NDArray[np.float64]
    waves: NDArray[np.float32]
    slot: int
    owner: _Process
    retried: bool = False


@dataclass(frozen=True)
class Ended:
    """A file is through: `error` is None and `n_windows` came, or it failed and what came is void.

    `state` is that of the file when it was opened, None if it was not. `retried` as in Decoded.
    """

    task: int
    seconds: float
    duration: float | None
    n_windows: int
    error: FileError | None
    state: DecodedState | None = None
    retried: bool = False


@dataclass
class _Task:
    number: int
    path: Path
    started: float | None = None
    losses: int = 0
    retried: bool = False


def settings_for(
    spec: FeatureSpec, coverage: Coverage, timeout: float, change: Change | None = None
) -> WorkerSettings:
    """Chunk and ring sizes for windows of this length."""
    chunk = min(CHUNK_WINDOWS, max(1, CHUNK_BYTES // (spec.window_samples * 4)))
    return WorkerSettings(spec, coverage, chunk, SLOTS, timeout, PATIENCE * timeout, change)


def available_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class DecodePool:
    """Up to `size` workers, started as files arrive.

    One thread calls `events`; the other methods are for any thread.
    """

    def __init__(self, size: int, settings: WorkerSettings) -> None:
        self._size, self._settings = size, settings
        self._waiting: deque[_Task] = deque()
        self._retries: deque[_Task] = deque()
        self._workers: list[_Process] = []
        self._lost_starts = 0
        self._wake, self._waker = multiprocessing.Pipe(duplex=False)
        self._lock = threading.Lock()
        self._woken = False

    def submit(self, task: int, path: Path) -> None:
        """Decode this file after those submitted before it."""
        self._waiting.append(_Task(task, path))
        self.wake()

    def wake(self) -> None:
        """Let a thread that waits in `events` return."""
        with self._lock:
            if not self._woken:
                self._woken = True
                self._waker.send(None)

    def events(self) -> list[Decoded | Ended]:
        """What happened since the last call, waiting a moment for it; in order for each file.

        EngineError where no worker can be started.
        """
        self._assign()
        pipes = {process.pipe: process for process in self._workers}
        ready = connection.wait([*pipes, self._wake], LOOK_SECONDS)
        events: list[Decoded | Ended] = []
        for pipe in ready:
            if pipe is self._wake:
                with self._lock:
                    self._wake.recv()
                    self._woken = False
            else:
                events += self._read(pipes[pipe])
        start_seconds = START_SECONDS + (WARM_UP_SECONDS if self._settings.warms_up else 0.0)
        for process in list(self._workers):
            if process.stalled() > (self._settings.timeout if process.ready else start_seconds):
                events += self._lose(process, "timeout")
        return events

    @staticmethod
    def release(chunk: Decoded) -> None:
        """Give the memory of a chunk back to its worker."""
        chunk.owner.send(worker.Release(chunk.slot))

    def close(self) -> None:
        """End all workers at once. Not while another thread is in `events`."""
        for process in self._workers:
            process.end()
        self._workers.clear()
        self._wake.close()
        self._waker.close()

    def _assign(self) -> None:
        """Hand waiting files to the workers with the fewest, starting another worker while all have one.

        A file whose worker died is tried again while no other is decoded: a neighbour may have used up the
        memory or crashed the worker.
        """
        if self._retries:
            if not any(process.tasks for process in self._workers):
                if not self._workers:
                    self._workers.append(_Process(self._settings))
                self._workers[0].decode(self._retries.popleft())
            return
        if any(task.retried for process in self._workers for task in process.tasks):
            return
        while self._waiting:
            if len(self._workers) < self._size and all(process.tasks for process in self._workers):
                self._workers.append(_Process(self._settings))
            process = min(self._workers, key=lambda process: len(process.tasks))
            if len(process.tasks) >= AHEAD:
                return
            process.decode(self._waiting.popleft())

    def _read(self, process: _Process) -> list[Decoded | Ended]:
        events: list[Decoded | Ended] = []
        try:
            while process.pipe.poll():
                if event := self._understand(process, process.pipe.recv()):
                    events.append(event)
        except (EOFError, OSError):
            events += self._lose(process, "worker-died")
        return events

    def _understand(self, process: _Process, message: object) -> Decoded | Ended | None:
        match message:
            case worker.Ready():
                process.ready = True
                self._lost_starts = 0
            case worker.Started():
                process.tasks[0].started = time.monotonic()
            case worker.Filled(task, slot, first, starts):
                waves, retried = process.ring[slot, : len(starts)], process.tasks[0].retried
                return Decoded(task, first, starts, waves, slot, process, retried)
            case worker.Finished(task, seconds, duration, n_windows, state):
                retried = process.tasks.popleft().retried
                return Ended(task, seconds, duration, n_windows, None, state, retried)
            case worker.Failed(task, seconds, code, text, state):
                retried = process.tasks.popleft().retried
                return Ended(task, seconds, None, 0, FileError(code, text), state, retried)
        return None

    def _lose(self, process: _Process, code: str) -> list[Decoded | Ended]:
        """Remove a worker: its current file is tried once more if it died; the next goes to another worker.

        A file that stopped making progress, or whose second worker died too, has failed.
        """
        process.end()
        self._workers.remove(process)
        if not process.ready:
            self._lost_starts += 1
            if self._lost_starts >= STARTS:
                raise EngineError(f"no decode worker can start here ({process.ending()})")
        ended: list[Decoded | Ended] = []
        for task in reversed(process.tasks):
            task.losses += process.ready
            if not process.ready and task.retried:
                self._retries.appendleft(task)
            elif not process.ready or (task.started is None and not task.retried and task.losses < STARTS):
                self._waiting.appendleft(task)
            elif task.retried or (task.started is not None and code == "timeout"):
                ended.append(self._failed(task, process, code))
            else:
                task.started, task.retried = None, True
                self._retries.append(task)
        return ended

    def _failed(self, task: _Task, process: _Process, code: str) -> Ended:
        seconds = 0.0 if task.started is None else time.monotonic() - task.started
        if code == "timeout":
            reason = f"given up, decoding stood still for {self._settings.timeout:g} s"
        else:
            reason = f"its decode worker died twice ({process.ending()}), the second time with no other file"
        error = FileError(code, f"{one_line(task.path)}: {reason}")
        return Ended(task.number, seconds, None, 0, error, None, task.retried)


class _Process:
    """One worker as its parent sees it."""

    def __init__(self, settings: WorkerSettings) -> None:
        use_own_directory()
        methods = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if context.get_start_method() == "forkserver":
            context.set_forkserver_preload([worker.__name__])
        # Memory without a name: nothing of it is left behind, however the processes end.
        memory = context.RawArray(ctypes.c_float, settings.ring_floats)
        self.ring = settings.ring_of(memory)
        self.tasks: deque[_Task] = deque()
        self.ready = False
        self._beat: Any = context.RawValue(ctypes.c_uint64, 0)
        self._last_beat, self._looked, self._idle = 0, time.monotonic(), 0.0
        self._lock = threading.Lock()
        self.pipe, other_end = context.Pipe()
        self._process = context.Process(
            target=worker.main, args=(other_end, memory, self._beat, settings), daemon=True
        )
        with _starting():
            self._process.start()
        other_end.close()

    def decode(self, task: _Task) -> None:
        self.tasks.append(task)
        self.send(worker.Decode(task.number, task.path))

    def send(self, message: object) -> None:
        # A worker that is gone is noticed at the next reading of its pipe.
        with self._lock, contextlib.suppress(OSError):
            self.pipe.send(message)

    def stalled(self) -> float:
        """Seconds without progress over a file, leaving out those in which this process was stopped too."""
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        beat = self._beat.value
        if beat != self._last_beat or (self.ready and not self.tasks):
            self._last_beat, self._idle = beat, 0.0
        else:
            self._idle += min(passed, 2 * LOOK_SECONDS)
        return self._idle

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        with self._lock:
            self.pipe.close()

    def ending(self) -> str:
        """How the process ended, in words."""
        code = self._process.exitcode
        return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """What holds while a process starts.

    Interrupts are held off (a child inherits that), so that Ctrl-C finds no child before it ignores them.
    And `__main__` is out of sight: multiprocessing would run the caller's script again in every worker, with
    all that it imports, and without end where the script has no guard.
    """
    can_mask = hasattr(signal, "pthread_sigmask")
    if os.name == "posix":
        resource_tracker.ensure_running()  # unblocks signals when it starts, so it starts first
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if can_mask else None
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if masked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
