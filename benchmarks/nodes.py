"""A discrete-event simulation of nodes that tag a library: what `benchmarks.simulate` runs.

A driver hands paths to nodes and takes in records, one thing at a time; or every node is given a part of the
library and drives itself. A node looks at its files one after the other; then workers read them from a file
system that all nodes share, and cores decode them and score their windows. A node has some files under way,
as `predict.machine` and `predict.stations` have; one that is lost gives them back.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from genretag.predict.stations import BATCH

FILES_PER_WORKER = 4
"""Files under way on a node for each of its workers, at least two of them: as in predict.machine."""


@dataclass(frozen=True)
class File:
    """What one file takes: bytes and calls of reading, core-seconds of decoding, windows to score.

    `look` and `look_calls` are what is read of it first, to see what it is; `look_seconds` are of a core.
    """

    read: float
    calls: int
    decode: float
    windows: int
    look: float = 0.0
    look_calls: int = 0
    look_seconds: float = 0.0


@dataclass(frozen=True)
class Setup:
    """Machines, all alike, and what lies between them; seconds, bytes, bytes a second.

    `workers` read and decode on each node (None: one a core). `window` is of one core, or of the device that
    each node has where `device` is true. `record` is the driver's work for a file, half of it before the file
    is handed out. `drivers` "one" is a machine of its own; "each" node has its own, on
    its cores. A read call waits for `delay`; `bandwidth` is that of the file system to all nodes, `link` that
    to one machine. A node is lost after `lifetime` on average (None: never), which is noticed and made good
    `repair` seconds later.
    """

    nodes: int = 1
    cores: int = 2
    window: float = 0.002
    record: float = 0.001
    workers: int | None = None
    device: bool = False
    drivers: Literal["one", "each"] = "each"
    bandwidth: float = float("inf")
    link: float = float("inf")
    delay: float = 0.0
    message: float = 0.0005
    lifetime: float | None = None
    repair: float = 60.0


@dataclass(frozen=True)
class Outcome:
    """One simulated run: `finished` are the moments at which records came, `lost` the files done again."""

    files: int
    seconds: float
    finished: tuple[float, ...]
    busy: dict[str, float]
    lost: int

    @property
    def rate(self) -> float:
        """Files a second once the run is under way, before its end is near."""
        first, last = self.files // 4, 3 * self.files // 4
        return (last - first) / (self.finished[last] - self.finished[first])

    @property
    def overall(self) -> float:
        """Files a second from the first to the last moment."""
        return self.files / self.seconds

    @property
    def busiest(self) -> str:
        return max(self.busy, key=lambda name: self.busy[name])


class Line:
    """Something that serves one request after another."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.free, self.worked = clock, 0.0, 0.0

    def serve(self, seconds: float, then: Callable[[], None]) -> None:
        self.free = max(self.clock.now, self.free) + seconds
        self.worked += seconds
        self.clock.at(self.free, then)


class Clock:
    """What happens when."""

    def __init__(self) -> None:
        self.now, self._order = 0.0, 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when: float, then: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._due, (when, self._order, then))

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        self.at(self.now + seconds, then)

    def step(self) -> None:
        """Go on to the next thing that happens."""
        self.now, _, then = heapq.heappop(self._due)
        then()


@dataclass
class Node:
    """One machine; `life` counts how often it was lost, so that what was under way then means nothing."""

    free: int
    idle: int
    looking: Line
    device: Line
    link: Line
    life: int = 0
    worked: float = 0.0
    held: set[int] = field(default_factory=set)
    unread: deque[int] = field(default_factory=deque)
    ready: list[tuple[int, int, float, Callable[[], None]]] = field(default_factory=list)


class Simulation:
    """One run over `files`."""

    def __init__(self, setup: Setup, files: Sequence[File], seed: int = 0) -> None:
        self.setup, self.files, self.clock = setup, files, Clock()
        self.chance = random.Random(seed)
        self.waiting = deque(range(len(files)))
        self.finished: dict[int, float] = {}
        self.driver, self.store = Line(self.clock), Line(self.clock)
        self.workers = setup.workers or setup.cores
        self.capacity = FILES_PER_WORKER * max(self.workers, 2)
        if setup.drivers == "one":
            self.capacity = BATCH * (max(setup.cores, 2) + 2)
        self.order = self.lost = 0
        self.nodes = [
            Node(setup.cores, self.workers, *(Line(self.clock) for _ in range(3))) for _ in range(setup.nodes)
        ]

    def run(self) -> Outcome:
        for node in self.nodes:
            self._live(node)
        while len(self.finished) < len(self.files):
            self.clock.step()
        seconds = self.clock.now
        setup = self.setup
        busy = {
            "cores": sum(node.worked for node in self.nodes) / (seconds * setup.nodes * setup.cores),
            "driver": self.driver.worked / seconds,
            "file system": self.store.worked / seconds,
            "link": max(node.link.worked for node in self.nodes) / seconds,
            "device": max(node.device.worked for node in self.nodes) / seconds,
        }
        return Outcome(len(self.files), seconds, tuple(sorted(self.finished.values())), busy, self.lost)

    # A file's way

    def _ask(self, node: Node) -> None:
        """Let the driver hand out files while the node has room for them."""
        while self.waiting and len(node.held) < self.capacity:
            number = self.waiting.popleft()
            node.held.add(number)
            self._drive(node, partial(self._look, node, number))

    def _look(self, node: Node, number: int) -> None:
        file, setup = self.files[number], self.setup
        waited = file.look_calls * setup.delay + file.look / min(setup.link, setup.bandwidth)
        # What is read here is in the way of what workers read.
        self.store.serve(file.look / setup.bandwidth, _nothing)
        node.link.serve(file.look / setup.link, _nothing)
        seen = partial(self._work, node, 0, file.look_seconds, partial(self._receive, node, number))
        node.looking.serve(waited, self._of(node, seen))

    def _receive(self, node: Node, number: int) -> None:
        node.unread.append(number)
        self._read(node)

    def _read(self, node: Node) -> None:
        """Let idle workers begin with files."""
        while node.idle and node.unread:
            node.idle -= 1
            number = node.unread.popleft()
            waited = self.files[number].calls * self.setup.delay
            self.clock.after(waited, self._of(node, partial(self._transfer, node, number)))

    def _transfer(self, node: Node, number: int) -> None:
        """The file's bytes through both the file system and the link: the slower one is waited for."""
        size = self.files[number].read
        arrived = self._twice(self._of(node, partial(self._decode, node, number)))
        node.link.serve(size / self.setup.link, arrived)
        self.store.serve(size / self.setup.bandwidth, arrived)

    def _decode(self, node: Node, number: int) -> None:
        self._work(node, 1, self.files[number].decode, partial(self._score, node, number))

    def _score(self, node: Node, number: int) -> None:
        node.idle += 1
        self._read(node)
        seconds = self.files[number].windows * self.setup.window
        if self.setup.device:
            node.device.serve(seconds, self._of(node, partial(self._tell, node, number)))
        else:
            self._work(node, 0, seconds, partial(self._tell, node, number))

    def _tell(self, node: Node, number: int) -> None:
        self._drive(node, partial(self._finish, node, number))

    def _finish(self, node: Node, number: int) -> None:
        node.held.discard(number)
        self.finished.setdefault(number, self.clock.now)
        self._ask(node)

    # Who works

    def _drive(self, node: Node, then: Callable[[], None]) -> None:
        """Half of the driver's work for a file, then the next thing on the node."""
        seconds = self.setup.record / 2
        if self.setup.drivers == "each":
            self._work(node, 0, seconds, then)
        else:
            told = self._of(node, then)
            self.driver.serve(seconds, partial(self.clock.after, self.setup.message, told))

    def _work(self, node: Node, rank: int, seconds: float, then: Callable[[], None]) -> None:
        """Have a core of the node do this: the lowest rank first, then what came first."""
        self.order += 1
        heapq.heappush(node.ready, (rank, self.order, seconds, then))
        self._begin(node)

    def _begin(self, node: Node) -> None:
        while node.free and node.ready:
            _, _, seconds, then = heapq.heappop(node.ready)
            node.free -= 1
            self.clock.after(seconds, self._of(node, partial(self._done, node, seconds, then)))

    def _done(self, node: Node, seconds: float, then: Callable[[], None]) -> None:
        node.worked += seconds
        node.free += 1
        then()
        self._begin(node)

    @staticmethod
    def _twice(then: Callable[[], None]) -> Callable[[], None]:
        """Something that happens when it is asked for the second time."""
        asked: list[None] = []

        def ask() -> None:
            asked.append(None)
            if len(asked) == 2:
                then()

        return ask

    # Lost nodes

    def _of(self, node: Node, then: Callable[[], None]) -> Callable[[], None]:
        """What happens only if the node has not been lost until then."""
        life = node.life
        return lambda: then() if node.life == life else None

    def _live(self, node: Node) -> None:
        self._ask(node)
        if self.setup.lifetime is not None:
            life = self.chance.expovariate(1 / self.setup.lifetime)
            self.clock.after(life, self._of(node, partial(self._lose, node)))

    def _lose(self, node: Node) -> None:
        """What the node held goes to others, and it comes back empty."""
        node.life += 1
        given_back = sorted(node.held - self.finished.keys())
        self.lost += len(given_back)
        node.held.clear()
        node.unread.clear()
        node.ready.clear()
        node.free, node.idle = self.setup.cores, self.workers
        self.clock.after(self.setup.repair, partial(self._return, node, given_back))

    def _return(self, node: Node, given_back: Sequence[int]) -> None:
        self.waiting.extendleft(reversed(given_back))
        self._live(node)
        for other in self.nodes:
            self._ask(other)


def _nothing() -> None:
    """Nobody waits for this."""
