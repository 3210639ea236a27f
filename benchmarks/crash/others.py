"""Another process that steps in at a chosen call of a run, and the judgement of that run.

Unlike in `faults`, it is a real process: opening a file on which the run holds a lease blocks it.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.crash import processes
from benchmarks.crash.judge import GENRES, Bench, Findings
from benchmarks.crash.processes import FINE, PATIENCE, Ended
from genretag.audio.payload import identify
from genretag.tagging import tags

NEAR = 16
"""Calls before and after the exchange, or the write in place, that every other trial is drawn from."""

OPENING = frozenset({"257", "56"})
"""Numbers of the system call openat: x86-64, and what shares the generic table."""

Step = Callable[[], object]


class Other:
    """Another process, forked now, that carries out steps one by one when it is signalled.

    Args:
        steps: The steps; what the first ones open, the later ones can use.
        user: The user and group that it runs as.
    """

    def __init__(self, *steps: Step, user: int | None = None) -> None:
        self._count = len(steps)
        go, self._go = os.pipe()
        self._done, done = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid:
            os.close(go)
            os.close(done)
            return
        code = 1
        try:
            os.close(self._go)
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            for step in steps:
                if not os.read(go, 1):
                    break
                step()
                os.write(done, b".")
            code = 0
        except BaseException:  # noqa: BLE001 - it ends here, and the trial must report why
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def step(self) -> None:
        """Let it carry out its next step; return when that is done, or waits for a file to be opened."""
        os.write(self._go, b".")
        waiting = 0
        while waiting < 3 and not select.select([self._done], [], [], 0.001)[0]:
            waiting = waiting + 1 if _opens(self._pid) else 0
        if waiting < 3:
            os.read(self._done, 1)

    def end(self) -> None:
        """Let it carry out the rest and wait for its end."""
        with suppress(BrokenPipeError):
            os.write(self._go, b"." * self._count)
        deadline = time.monotonic() + PATIENCE
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid or time.monotonic() > deadline:
                break
            time.sleep(0.0005)
        else:
            os.kill(self._pid, signal.SIGKILL)
        for descriptor in (self._go, self._done):
            os.close(descriptor)
        assert pid, "the other process was blocked for good"
        assert status == 0, "the other process failed; see its traceback"


def _opens(pid: int) -> bool:
    """Return True if a process sleeps in a system call that opens a file."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/syscall").read_text(encoding="ascii").split()[0] in OPENING
    return False


# The runs


@dataclass(frozen=True)
class Trial:
    """A command over one file, and the calls at which others can step in.

    `first` is the call from which the file is in use, `moment` the exchange or the write in place, `leased`
    the first of the calls of the last check before it, `end` the removal of the copy (or of the old file)
    after it.
    """

    name: str
    prepare: Callable[[], None]
    arguments: tuple[str, ...]
    first: int
    leased: int
    moment: int
    end: int
    last: int

    def in_window(self, number: int) -> bool:
        """Return True if nothing keeps a program that steps in here from writing during a write in place.

        One that waits for the lease goes ahead when it is released.
        """
        return self.leased <= number <= self.end

    def draw(self, chance: random.Random, *, near: bool) -> int:
        """Return a call to step in at."""
        if near:
            return chance.randint(max(self.first, self.moment - NEAR), min(self.last, self.moment + NEAR))
        return chance.randint(self.first, self.last)


def make_trial(
    bench: Bench,
    known: dict[tuple[str, str], Trial],
    name: str,
    prepare: Callable[[], None],
    arguments: tuple[str, ...],
) -> Trial:
    """Return a trial; its calls are listed once for each file and command."""
    key = (name, arguments[0])
    if key not in known:
        prepare()
        calls = processes.list_calls(bench.home, arguments, FINE)
        moment = max(number for number, call in enumerate(calls) if call == bench.replacement)
        # The lock of the run is taken before the file is opened.
        first = moment - calls[moment::-1].index("mkdir")
        leased = next(n for n in range(moment, 0, -1) if calls[n - 1] not in ("fcntl", "stat", "fstat"))
        end = calls.index("unlink", moment)
        numbers = (number + 1 for number in (first, leased, moment, end))
        known[key] = Trial(name, prepare, arguments, *numbers, len(calls))
    return replace(known[key], prepare=prepare)


def write_plan(bench: Bench, name: str) -> None:
    """Write a plan that names the recording and its genres, as `tag --plan` does."""
    path = bench.music / name
    line = {
        "path": str(path),
        "genres": GENRES,
        "previous": tags.read(path).genres,
        "audio": identify(path),
    }
    bench.plan.write_text(json.dumps(line) + "\n", encoding="utf-8")


def _outcome(ended: Ended) -> str:
    """Return the status of the one record of a run, or the code of its error."""
    for line in ended.output.splitlines():
        with suppress(ValueError):
            record = json.loads(line)
            if "status" in record:
                return record["error"]["code"] if record["error"] else record["status"]
    return f"exit code {ended.code}"


def judge_end(ended: Ended, what: str, findings: Findings) -> str:
    """Judge exit code and output of a run; return its outcome."""
    outcome = _outcome(ended)
    findings.count(outcome)
    if ended.code not in (0, 1, 2) or "Traceback" in ended.output:
        findings.untruths.append(f"{what}: ended with {ended.code}: {ended.output[-400:]}")
    elif (ended.code == 0) != (outcome in ("written", "unchanged", "kept", "undone")):
        findings.untruths.append(f"{what}: exit code {ended.code}, but {outcome}")
    return outcome


def judge_start(bench: Bench, what: str, findings: Findings) -> None:
    """Start genretag again; nothing temporary may be left."""
    ended = processes.run(bench.home, *bench.history)
    if ended.code != 0 or "Traceback" in ended.output:
        findings.untruths.append(f"{what}: history ended with {ended.code}: {ended.output[-400:]}")
    bench.judge_left(what, findings)
