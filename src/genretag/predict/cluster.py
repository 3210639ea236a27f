"""Files in, scores out, over the nodes of a Ray cluster: another Predictor, with the same answers in order.

Importing this module imports neither torch nor Ray.
"""

from __future__ import annotations

import importlib.util
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from genretag.errors import EngineError, FileError, UsageError, install_hint
from genretag.predict.engine import LOOK_AHEAD, A, EngineOptions, Job, TrackScores

if TYPE_CHECKING:
    from genretag.predict.stations import File, Stations

T = TypeVar("T")

WAIT_SECONDS = 1.0
LOOK_SECONDS = 0.02  # in which finished files are answered before the nodes are given more
# For each file that can be under way, so many wait in line for one before them that takes long.
LINE = 4


class ClusterPredictor:
    """`predict.engine.Predictor` on all nodes of a Ray cluster; `close` lets go of them.

    `options.workers` is the number of cores of one actor. Nothing starts before the first file. EngineError
    where Ray is not installed; UsageError for an address or device that a cluster cannot have.
    """

    def __init__(self, checkpoint: Path, options: EngineOptions, address: str | None = None) -> None:
        _check(options, address)
        self.checkpoint = checkpoint
        self.options = options
        self._address = address
        self._stations: Stations | None = None

    def predict(self, jobs: Iterable[Job[T]]) -> Generator[tuple[T, TrackScores | None], None, None]:
        """As `predict.engine.predict`; an iterator that does not come to its end stops everything."""
        source = iter(jobs)
        line: deque[tuple[T, File | None]] = deque()
        under_way, exhausted, next_look = 0, False, 0.0
        try:
            while True:
                # With no file under way there is nothing to keep busy: what is known goes out first.
                while not exhausted and self._wants_more(len(line)) and not (line and under_way == 0):
                    job = next(source, None)
                    if job is None:
                        exhausted = True
                    elif job.path is None:
                        line.append((job.item, None))
                    else:
                        line.append((job.item, self._started().add(job.path)))
                        under_way += 1
                if not line:
                    return
                item, file = line[0]
                answered = file is None or file.done
                if self._stations is not None and not (answered and time.monotonic() < next_look):
                    more = not exhausted and self._has_room(len(line))
                    self._stations.turn(more=more, patience=0.0 if answered else WAIT_SECONDS)
                    next_look = time.monotonic() + LOOK_SECONDS
                if not answered:
                    continue
                line.popleft()
                under_way -= file is not None
                yield item, None if file is None else _scores_of(file)
        finally:
            if under_way:
                self.close()

    def elsewhere(self, work: Callable[[Path], A], path: Path) -> Callable[[], A | FileError]:
        """As `predict.engine.Elsewhere`: on the nodes."""
        stations = self._started()
        file = stations.send(work, path)

        def answer() -> A | FileError:
            while not file.done:
                stations.turn(more=True, patience=WAIT_SECONDS)
            return file.given_up or file.result

        return answer

    def _wants_more(self, in_line: int) -> bool:
        return self._has_room(in_line) and (self._stations is None or self._stations.hungry)

    def _has_room(self, in_line: int) -> bool:
        """Whether more may wait for the first in line."""
        return in_line < LOOK_AHEAD or (
            self._stations is not None and in_line < LINE * self._stations.capacity
        )

    def _started(self) -> Stations:
        from genretag.predict.stations import Stations

        if self._stations is None:
            self._stations = Stations(self.checkpoint, self.options, self._address)
        return self._stations

    def close(self) -> None:
        """Let go of the nodes; may be called again, and `predict` starts anew."""
        if self._stations is not None:
            self._stations.close()
            self._stations = None


def _scores_of(file: File) -> TrackScores:
    if file.given_up is not None:
        return TrackScores(None, None, None, None, 0, 0.0, file.given_up)
    scores: TrackScores = file.result
    return scores


def _check(options: EngineOptions, address: str | None) -> None:
    """Refuse at once what cannot work: no Ray (EngineError, with the way to get it), a device or address.

    UsageError for addresses of Ray's client: through it no work can be given to one node or another.
    """
    if address and address.startswith("ray://"):
        raise UsageError(
            f"--ray-address {address}: start genretag on a node of the cluster, with the address auto"
        )
    if options.device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {options.device}: with --engine ray give auto, cpu or cuda")
    if importlib.util.find_spec("ray") is None:
        raise EngineError(f"--engine ray: Ray is not installed; {install_hint('cluster')}")
