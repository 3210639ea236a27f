"""The nodes of a Ray cluster at work: an actor for each GPU or group of cores, files to them, scores back.

Every actor is this package's own engine with its decode processes, its model and its quarantine; only paths
and numbers cross the network. It is not Ray Data, for three reasons: a dataset's sources are known before it
starts, while files come out of a scan and of answers of the store; each execution of a dataset starts its
actors, and so loads the model, anew; and a block of files that kills its worker fails or is left out whole.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genretag import __version__
from genretag import checkpoint as checkpoints
from genretag.audio.audiofile import one_line
from genretag.checkpoint import Checkpoint
from genretag.errors import EngineError, FileError
from genretag.predict.connection import connect, first_line
from genretag.predict.engine import A, Answer, EngineOptions, Predictor, TrackScores
from genretag.predict.machine import MOST_WORKERS

BATCH = 8  # files of one call: enough that a call costs little beside them
ERRANDS = 32  # files of one call that does something else than hear them; a node has two such calls at once
LOSSES = 3  # actors lost over a file, over the last one alone, after which it is not tried again
STARTS = 3  # times that no actor could start anywhere, which mean that none can
START_SECONDS = 600.0  # for which nobody may be at work; clusters grow slowly
LOOK_SECONDS = 5.0  # between looks for nodes that came or went
# What a node says of a file that the machine of the command could read.
_NOT_SEEN = frozenset({"missing", "unreadable"})


@dataclass(eq=False)
class File:
    """One file on its way to be heard, or to have `work` done with it; `losses` actors were lost that had it.

    In the end it has a `result`, or was `given_up`.
    """

    path: Path
    work: Callable[[Path], Answer] | None = None
    losses: int = 0
    result: Any = None
    given_up: FileError | None = None

    @property
    def done(self) -> bool:
        return self.result is not None or self.given_up is not None


@dataclass(frozen=True)
class _Share:
    """What one actor takes of a node: so many cores and perhaps a GPU; `number` tells its shares apart."""

    node: str
    number: int
    cores: int
    gpu: bool

    @functools.cached_property
    def most(self) -> int:
        """Files to have under way there: short ones must last until the next call comes."""
        return BATCH * (max(self.cores, 2) + 2)


@dataclass(eq=False)
class _Station:
    """One actor as the driver sees it; it is sent files once it has reported.

    Of those under way with it `hearing` are to be heard; with others it has `errands` to do.
    """

    share: _Share
    actor: Any
    host: str | None = None
    alone: bool = False
    calls: dict[Any, list[File]] = field(default_factory=dict)
    hearing: int = 0
    errands: int = 0

    @property
    def ready(self) -> bool:
        return self.host is not None and not self.alone

    @property
    def open(self) -> bool:
        return self.ready and self.hearing < self.share.most

    @property
    def load(self) -> float:
        """Of what it can have under way to be heard, the part that it has."""
        return self.hearing / self.share.most

    def send(self, files: list[File]) -> None:
        # Nodes have other working folders.
        paths, work = [file.path.absolute() for file in files], files[0].work
        if work is None:
            call = self.actor.score.remote(paths)
            self.hearing += len(files)
        else:
            call = self.actor.do.remote(work, paths)
            self.errands += len(files)
        self.calls[call] = files

    def end(self, call: Any) -> list[File]:
        """The files of a call that has been answered."""
        files = self.calls.pop(call)
        if files and files[0].work:
            self.errands -= len(files)
        else:
            self.hearing -= len(files)
        return files


class Hearer:
    """The actor: an engine that stays ready. Several calls run in it at once."""

    def __init__(self, checkpoint: Checkpoint, options: EngineOptions, version: str) -> None:
        self._version = version
        self._predictor = Predictor(checkpoint.path or Path(checkpoint.meta.name), options, checkpoint)

    def start(self) -> str:
        """The name of the host; EngineError where it has another genretag."""
        if self._version != __version__:
            raise EngineError(
                f"{platform.node()} has genretag {__version__}, this command is {self._version}; install the "
                "same on every node"
            )
        return platform.node()

    def score(self, paths: Sequence[Path]) -> list[TrackScores]:
        """Scores of some files, as `Predictor.score`."""
        return self._predictor.score(paths)

    def do(self, work: Callable[[Path], A], paths: Sequence[Path]) -> list[A]:
        """What a function says of some files, one after the other."""
        return [work(path) for path in paths]


class Stations:
    """The actors of a run, on all nodes, also those that join later.

    `capacity` is the number of files that can be under way at once.

    EngineError: the cluster cannot be reached, no node can do the work, or one has another genretag. What
    breaks the engine on a node is raised as here.
    """

    def __init__(self, checkpoint: Path, options: EngineOptions, address: str | None) -> None:
        self._ray, self._ours = connect(address)
        self._options = options
        self._actor = self._ray.remote(Hearer)
        self._checkpoint = self._ray.put(checkpoints.load(checkpoint))
        self._gpus: bool | None = None
        self.capacity = 0
        self._stations: list[_Station] = []
        self._waiting: deque[File] = deque()
        self._errands: deque[File] = deque()
        self._suspects: deque[File] = deque()
        self._lost_starts, self._wanted = 0, 0
        self._looked, self._busy = 0.0, time.monotonic()

    @property
    def hungry(self) -> bool:
        """Whether fewer files wait than a call has: they do while somebody takes them."""
        return len(self._waiting) < BATCH

    def add(self, path: Path) -> File:
        """Hear this file after those added before it; it is `done` after some later call of `turn`."""
        file = File(path)
        self._waiting.append(file)
        if len(self._waiting) >= BATCH:
            self._send_out(more=True)
        return file

    def send(self, work: Callable[[Path], Answer], path: Path) -> File:
        """Have something else done with a file, as soon as there are many or somebody waits."""
        file = File(path, work)
        self._errands.append(file)
        self._send_errands(ERRANDS)
        return file

    def turn(self, *, more: bool, patience: float) -> None:
        """Send out what waits and take in what has come, waiting up to `patience` seconds for something.

        `more`: whether further files will be added whatever comes, so that a call may wait for its batch.
        """
        self._look_round()
        self._send_errands(1 if patience else ERRANDS)
        self._send_out(more)
        calls = {call: station for station in self._stations for call in station.calls}
        if not calls:
            time.sleep(patience)
            return
        done, rest = self._ray.wait(list(calls), num_returns=1, timeout=patience)
        if done and rest:
            done += self._ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        for call in done:
            if call in calls[call].calls:  # else its station was lost with an earlier one
                self._take_in(calls[call], call)

    def close(self) -> None:
        """End all actors, and Ray where it was begun here."""
        for station in self._stations:
            self._ray.kill(station.actor)
        self._stations.clear()
        if self._ours:
            self._ray.shutdown()

    # Nodes

    def _look_round(self) -> None:
        """Give work to shares of nodes that have none yet."""
        now = time.monotonic()
        if any(station.host for station in self._stations):
            self._busy = now
        elif now - self._busy > START_SECONDS:
            raise EngineError(
                f"no node gave its cores within {START_SECONDS:g} s; look at `ray status` for what holds them"
            )
        if self._stations and now - self._looked < LOOK_SECONDS:
            return
        shares = self._shares()
        if not shares and not self._looked:
            kind = "GPU" if self._gpus else "core"
            raise EngineError(f"no node of the Ray cluster has a {kind} to give; see `ray status`")
        taken = {station.share for station in self._stations}
        for share in shares:
            if share not in taken:
                self._start(share)
        self._looked, self._wanted = now, len(shares)

    def _shares(self) -> list[_Share]:
        """What to take of the nodes that are there: GPUs with cores to decode for them, or cores alone."""
        nodes = [(node["NodeID"], node["Resources"]) for node in self._ray.nodes() if node["Alive"]]
        if self._gpus is None:
            # One kind of device for the whole run: scores differ between kinds in the fifth decimal.
            named = self._options.device
            self._gpus = named == "cuda" or (named == "auto" and any(has.get("GPU") for _, has in nodes))
        shares = []
        for node, has in nodes:
            cores, gpus = int(has.get("CPU", 0)), int(has.get("GPU", 0))
            if not self._gpus:
                most = self._options.workers or MOST_WORKERS
                sizes = _divided(cores, -(-cores // most))
            else:
                sizes = _divided(max(cores, gpus), gpus)
            shares += [_Share(node, number, size, self._gpus) for number, size in enumerate(sizes)]
        return shares

    def _start(self, share: _Share) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        device = "cuda" if share.gpu else "cpu"
        options = replace(self._options, device=device, cores=share.cores)
        actor = self._actor.options(
            num_cpus=share.cores,
            num_gpus=int(share.gpu),
            max_concurrency=share.most,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(share.node, soft=False),
        ).remote(self._checkpoint, options, __version__)
        station = _Station(share, actor)
        station.calls[actor.start.remote()] = []
        self._stations.append(station)
        self.capacity += share.most

    # Calls

    def _send_out(self, more: bool) -> None:
        stations = self._unkept()
        while len(self._waiting) >= (BATCH if more else 1):
            stations = [station for station in stations if station.open]
            if not stations:
                return
            # The last ones are shared out.
            count = BATCH if len(self._waiting) >= BATCH else -(-len(self._waiting) // len(stations))
            min(stations, key=lambda station: station.load).send(_first(self._waiting, count))

    def _send_errands(self, least: int) -> None:
        """Give away what waits, if it is so much: short things, which others are waiting for."""
        while len(self._errands) >= least:
            stations = [station for station in self._unkept() if station.errands <= ERRANDS]
            if not stations:
                return
            min(stations, key=lambda station: station.errands).send(_first(self._errands, ERRANDS))

    def _unkept(self) -> list[_Station]:
        """Stations that may have more of anything: all but one that is kept for a suspect."""
        stations = [station for station in self._stations if station.ready]
        if self._suspects and stations:
            # Whether the file or what ran beside it was at fault shows when it has a station for itself.
            kept = min(stations, key=lambda station: station.hearing + station.errands)
            stations.remove(kept)
            if not kept.calls:
                kept.alone = True
                kept.send([self._suspects.popleft()])
        return stations

    def _take_in(self, station: _Station, call: Any) -> None:
        try:
            answer = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise cause if isinstance(cause, Exception) else EngineError(first_line(error)) from error
        except self._ray.exceptions.RayError as error:
            self._lose(station, error)
            return
        files = station.end(call)
        if station.host is None:
            station.host = answer
            self._lost_starts = 0
            return
        station.alone = False
        for file, result in zip(files, answer, strict=True):
            file.result = _named(result, file.path, station.host)

    def _lose(self, station: _Station, error: Exception) -> None:
        """An actor or its node is gone: others get its files, but for one that it had to itself at last."""
        self._stations.remove(station)
        self.capacity -= station.share.most
        with contextlib.suppress(Exception):
            self._ray.kill(station.actor)
        if station.host is None:
            self._lost_starts += 1
            ready = any(other.host for other in self._stations)
            if not ready and self._lost_starts >= STARTS * self._wanted:
                raise EngineError(f"no node of the cluster can run genretag ({first_line(error)})")
        lost = [file for files in station.calls.values() for file in files]
        station.calls.clear()
        for file in reversed(lost):
            file.losses += 1
            if station.alone and file.losses >= LOSSES:
                reason = f"{file.losses} processes that had it were lost, the last with nothing beside it"
                file.given_up = FileError("worker-died", f"{one_line(file.path)}: {reason}")
            elif file.losses >= LOSSES - 1:
                self._suspects.appendleft(file)
            else:
                (self._errands if file.work else self._waiting).appendleft(file)


def _divided(cores: int, parts: int) -> list[int]:
    """`cores` in `parts` groups that differ by one at most."""
    return [cores // parts + (number < cores % parts) for number in range(parts)] if parts > 0 else []


def _first(files: deque[File], count: int) -> list[File]:
    """So many of them at most, taken out; what is done with them is the same for all."""
    first = [files.popleft()]
    while files and len(first) < count and files[0].work == first[0].work:
        first.append(files.popleft())
    return first


def _named(answer: Any, path: Path, host: str) -> Any:
    """A node's answer in the words of this machine: the path as it was given."""
    if answer.error is None:
        return answer
    message = answer.error.message.replace(one_line(path.absolute()), one_line(path), 1)
    if answer.error.code in _NOT_SEEN and host != platform.node():
        message += f" (on {host}; every node must see the files under the same path)"
    return replace(answer, error=replace(answer.error, message=message))
