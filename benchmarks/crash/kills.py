"""kill -9: at a random moment, at every system call that changes something, and at every call from Python."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import mutagen
from mutagen.id3 import ID3, TCON

from benchmarks.crash import processes
from benchmarks.crash.judge import GENRES, Bench, Findings
from benchmarks.crash.processes import Boundary, Starter

GROUP = 6
"""Files of one run that is killed at a random moment."""


def stops(bench: Bench, prepare: Callable[[], None], arguments: tuple[str, ...]) -> tuple[Boundary, ...]:
    """Where a run is killed for the sake of the start after it.

    Before the copy takes the file's name, before the old file is removed, and before that is durable. In
    place: before the last bytes of the file are written, before they are synced, and before the copy goes.
    """
    key = (arguments[0], *sorted(path.name for path in bench.music.iterdir()))
    if key not in bench.stops:
        prepare()
        points = processes.list_boundaries(bench.starter(arguments), bench.scratch)
        begun = "utimensat" if bench.in_place else "renameat2"
        moment = max(number for number, point in enumerate(points) if point.name == begun)
        removed = next(n for n in range(moment, len(points)) if points[n].name == "unlinkat")
        if bench.in_place:
            write = max(number for number, point in enumerate(points[:moment]) if point.name == "write")
            bench.stops[key] = (points[write], points[moment], points[removed])
        else:
            durable = next(n for n in range(removed, len(points)) if points[n].name == "fsync")
            bench.stops[key] = (points[moment], points[removed], points[durable])
    return bench.stops[key]


@dataclass(frozen=True)
class Operation:
    """A command to be killed and what has to be there before."""

    name: str
    prepare: Callable[[], None]
    start: Starter


def writes(bench: Bench, names: Sequence[str]) -> list[Operation]:
    """The two commands that write: a plan and its undo."""
    fresh, written = partial(bench.fresh, names), partial(bench.written, names)
    return [
        Operation("apply", fresh, bench.starter(bench.apply)),
        Operation("undo", written, bench.starter(bench.undo)),
    ]


def operations(bench: Bench, names: Sequence[str]) -> list[Operation]:
    """What writes: a plan, the way back, and the start after a kill in the middle of either."""

    def broken(prepare: Callable[[], None], arguments: tuple[str, ...], boundary: Boundary) -> None:
        prepare()
        processes.kill_at(bench.starter(arguments), boundary)

    fresh, written = partial(bench.fresh, names), partial(bench.written, names)
    found = writes(bench, names)
    if processes.has_strace():
        for prepare, arguments in ((fresh, bench.apply), (written, bench.undo)):
            prepare()
            for stop in stops(bench, prepare, arguments):
                found.append(
                    Operation(
                        f"start after {arguments[0]} was killed at {stop.name}",
                        partial(broken, prepare, arguments, stop),
                        bench.starter(bench.history),
                    )
                )
    return found


def at_random(bench: Bench, kills: int, chance: random.Random) -> Findings:
    """Several files at once, killed after a random part of the time that such a run takes."""
    findings = Findings()
    while findings.kills < kills:
        names = chance.sample(sorted(bench.old), min(GROUP, len(bench.old)))
        operation = writes(bench, names)[chance.randrange(2)]
        operation.prepare()
        begun = time.monotonic()
        operation.start(None).wait()
        longest = time.monotonic() - begun
        operation.prepare()
        process = operation.start(None)
        moment = chance.uniform(0, longest)
        time.sleep(moment)
        os.kill(process.pid, signal.SIGKILL)
        findings.kills += process.wait().killed
        bench.judge(names, f"{operation.name} killed after {moment * 1000:.1f} ms", findings)
    return findings


def at_system_calls(bench: Bench, kills: int, chance: random.Random) -> Findings:
    """One file at a time, killed at each system call; `kills` of them, drawn from all."""
    points: list[tuple[str, int, Boundary]] = []
    for name in bench.old:
        for number, operation in enumerate(operations(bench, [name])):
            operation.prepare()
            points += [(name, number, b) for b in processes.list_boundaries(operation.start, bench.scratch)]
    chance.shuffle(points)
    findings = Findings(possible=len(points))
    for name, number, boundary in points[:kills]:
        operation = operations(bench, [name])[number]
        operation.prepare()
        findings.kills += processes.kill_at(operation.start, boundary).killed
        what = f"{operation.name} killed at {boundary.name} {boundary.number}"
        bench.judge([name], what, findings)
    return findings


def at_calls(bench: Bench, kills: int, chance: random.Random) -> Findings:
    """One file at a time, killed at each call from Python that changes something: the portable layer."""
    points = []
    for name in bench.old:
        bench.fresh([name])
        calls = processes.list_calls(bench.home, bench.apply)
        points += [(name, number) for number in range(1, 1 + len(calls))]
    chance.shuffle(points)
    findings = Findings(possible=len(points))
    for name, number in points[:kills]:
        bench.fresh([name])
        process = bench.starter(bench.apply)(processes.kill_at_call(number))
        findings.kills += process.wait().killed
        bench.judge([name], f"killed at call {number}", findings)
    return findings


# For comparison: what a library that edits in place does


def save_in_place(bench: Bench, kills: int, chance: random.Random) -> Findings:
    """mutagen's own save of the same genres, killed at each system call that changes something."""
    findings = Findings()
    new: dict[str, bytes] = {}
    points: list[tuple[str, Boundary]] = []
    for name in bench.old:
        bench.fresh([name])
        points += [(name, b) for b in processes.list_boundaries(_saver(bench, name), bench.scratch)]
        new[name] = (bench.music / name).read_bytes()
    chance.shuffle(points)
    findings.possible = len(points)
    for name, boundary in points[:kills]:
        bench.fresh([name])
        findings.kills += processes.kill_at(_saver(bench, name), boundary).killed
        findings.trials += 1
        findings.formats.add(name.split()[0])
        if (bench.music / name).read_bytes() not in (bench.old[name], new[name]):
            findings.losses.append(f"mutagen killed at {boundary.name} {boundary.number}: {name}")
    return findings


def _saver(bench: Bench, name: str) -> Starter:
    def save() -> int:
        file = mutagen.File(bench.music / name)
        if file.tags is None:
            file.add_tags()
        if isinstance(file.tags, ID3):
            file.tags.add(TCON(encoding=3, text=list(GENRES)))
        else:
            keys = {".m4a": "\xa9gen", ".wma": "WM/Genre"}
            file.tags[keys.get((bench.music / name).suffix, "genre")] = list(GENRES)
        file.save()
        return 0

    return processes.worker(bench.home, save)


Mode = Callable[[Bench, int, random.Random], Findings]


def modes() -> Iterator[tuple[str, Mode]]:
    """The modes of this module by name."""
    yield "kill-random", at_random
    yield "kill-call", at_calls
    if processes.has_strace():
        yield "kill-syscall", at_system_calls
        yield "mutagen", save_in_place
