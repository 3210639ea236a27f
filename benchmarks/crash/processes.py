"""Processes of genretag that are stopped, delayed or refused at a chosen point.

Each is a process of its own, forked from one that has imported everything already: a kill costs a tenth of a
second instead of two.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

CHANGING = (
    *("openat", "write", "writev", "pwrite64", "pwritev", "ftruncate", "truncate", "fallocate", "fsync"),
    *("fdatasync", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir"),
    *("mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat"),
    *("utimensat", "setxattr", "fsetxattr", "removexattr", "copy_file_range", "sendfile"),
)
"""System calls that change something on a disk: stops between two of them leave the same disk."""

READING = ("read", "pread64")
"""System calls that an error of the disk can meet besides."""

REPLACEMENT, IN_PLACE = "exchange_names", "write_into"
"""The function that puts the copy in the file's place, and the one that writes it into the file."""

CALLS = frozenset(
    (
        *("open", "write", "flush", "close", "__exit__", "truncate", "ftruncate", "fsync", "replace"),
        *("rename", "unlink", "remove", "fchmod", "fchown", "utime", "setxattr", "removexattr", "mkdir"),
        *("chmod", "chown"),
        *("rmdir", "flock", "execute", "executescript", REPLACEMENT, IN_PLACE),
    )
)
"""The same by the names of the functions that Python calls."""

FINE = CALLS | {"fcntl", "fstat", "stat", "read", "lseek"}
"""CALLS and the steps between which the file is read, compared and leased."""

OWNERS = frozenset({"posix", "nt", "fcntl", "msvcrt", "_io", "io", "sqlite3"})
"""Modules that these functions, or the classes that they are methods of, belong to."""

PATIENCE = 60.0


@dataclass(frozen=True)
class Boundary:
    """The entry of a system call: the `number`-th of its name, from 1."""

    name: str
    number: int


@dataclass(frozen=True)
class Ended:
    """How a process ended; `code` is negative where a signal did it."""

    code: int
    output: str

    @property
    def killed(self) -> bool:
        """Whether it was stopped from outside."""
        return self.code == -signal.SIGKILL


Before = Callable[[], None]


@dataclass(frozen=True)
class Process:
    """One run of genretag in a child; wait for it once."""

    pid: int
    output: Path

    def wait(self) -> Ended:
        """Wait for the end; a process that hangs is killed and reported."""
        deadline = time.monotonic() + PATIENCE
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return Ended(1000, "it hung")
            time.sleep(0.0005)
        text = self.output.read_text(encoding="utf-8", errors="replace")
        self.output.unlink()
        return Ended(os.waitstatus_to_exitcode(status), text)


Starter = Callable[[Before | None], Process]


def starter(home: Path, arguments: Sequence[str]) -> Starter:
    """What runs genretag's command line in a child, whose store is in `home`, each time it is called."""

    def work() -> int:
        from genretag.__main__ import run as run_command

        return run_command(list(arguments))

    return worker(home, work)


def worker(home: Path, work: Callable[[], int]) -> Starter:
    """The same for any work; its result is the exit code. `before` is called in the child first."""

    def start(before: Before | None = None) -> Process:
        # Elsewhere than the store: that disk may be full.
        descriptor, output = tempfile.mkstemp(prefix="genretag-crash-")
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            os.close(descriptor)
            return Process(pid, Path(output))
        code = 99
        try:
            os.environ["GENRETAG_HOME"] = str(home)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            os.close(descriptor)
            sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
            sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
            if before is not None:
                before()
            code = work()
        except BaseException:  # noqa: BLE001 - it ends here, and the trial must see why
            traceback.print_exc()
        finally:
            sys.setprofile(None)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    return start


def run(home: Path, *arguments: str) -> Ended:
    """One undisturbed run."""
    return starter(home, arguments)(None).wait()


# The portable layer


class _Counter:
    """Counts calls of some functions in its process and does something at one of them."""

    def __init__(self, number: int, action: Callable[[], object], names: frozenset[str] = CALLS) -> None:
        self.seen: list[str] = []
        self._names = names
        self._number = number
        self._action = action

    def __call__(self, frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and (function.__module__ or type(function.__self__).__module__) in OWNERS:
            name = function.__name__
        elif event == "call" and frame.f_code.co_name in (REPLACEMENT, IN_PLACE):
            name = frame.f_code.co_name
        else:
            return
        if name in self._names:
            self.seen.append(name)
            if len(self.seen) == self._number:
                sys.setprofile(None)
                self._action()


def at_call(number: int, action: Callable[[], object], names: frozenset[str] = CALLS) -> Before:
    """Do `action` in the child just before the `number`-th call of `names`, counted from 1.

    It runs on every system and needs no rights; what SQLite does within one call is one step.
    """
    return lambda: sys.setprofile(_Counter(number, action, names))


def at_calls(numbers: Sequence[int], action: Callable[[], object], names: frozenset[str] = CALLS) -> Before:
    """Do `action` before each of several calls; the numbers must rise."""

    def begin(done: int, rest: Sequence[int]) -> None:
        def act() -> None:
            action()
            if rest[1:]:
                begin(rest[0], rest[1:])

        at_call(rest[0] - done, act, names)()

    return lambda: begin(0, numbers)


def kill_at_call(number: int) -> Before:
    """Kill the child at that call."""
    return at_call(number, lambda: os.kill(os.getpid(), signal.SIGKILL))


def list_calls(home: Path, arguments: Sequence[str], names: frozenset[str] = CALLS) -> list[str]:
    """The calls of `names` that an undisturbed run makes, in order."""
    log = home.with_name(f"{home.name}.calls")

    def work() -> int:
        from genretag.__main__ import run as run_command

        counter = _Counter(-1, lambda: None, names)
        sys.setprofile(counter)
        code = run_command(list(arguments))
        sys.setprofile(None)
        log.write_text("\n".join(counter.seen))
        return code

    ended = worker(home, work)(None).wait()
    assert ended.code == 0, ended.output
    calls = log.read_text().split()
    log.unlink()
    return calls


# System calls, by strace


def has_strace() -> bool:
    """Whether `strace` is here and may trace."""
    program = shutil.which("strace")
    return (
        program is not None and subprocess.run([program, "-qq", "true"], capture_output=True).returncode == 0
    )


def traced(start: Starter, options: Sequence[str], log: Path) -> Ended:
    """Run under strace, from the first of its own steps on."""
    process = start(lambda: os.kill(os.getpid(), signal.SIGSTOP))
    os.waitpid(process.pid, os.WUNTRACED)
    command = ["strace", "-qq", "-o", str(log), *options, "-p", str(process.pid)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        status = Path(f"/proc/{process.pid}/status")
        while "TracerPid:\t0\n" in status.read_text():
            if tracer.poll() is not None:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                raise SystemExit("strace may not trace here; see --only for what works without it")
            time.sleep(0.0005)
        os.kill(process.pid, signal.SIGCONT)
        return process.wait()


def inject(start: Starter, what: str) -> Ended:
    """A run with an `--inject` of strace, such as `fsync:error=EIO:when=2`."""
    name = what.split(":")[0]
    return traced(start, ["-e", f"trace={name}", "-e", f"inject={what}"], Path(os.devnull))


def kill_at(start: Starter, boundary: Boundary) -> Ended:
    """Kill a run on entering a system call, which is not carried out."""
    return inject(start, f"{boundary.name}:signal=SIGKILL:when={boundary.number}")


def list_boundaries(start: Starter, log: Path, names: Sequence[str] = CHANGING) -> list[Boundary]:
    """The system calls of an undisturbed run that change something, in order; `log` is made and removed."""
    ended = traced(start, ["-e", f"trace={','.join(f'?{name}' for name in names)}"], log)
    assert ended.code in (0, 1), ended.output
    seen: Counter[str] = Counter()
    boundaries = []
    for line in log.read_text(errors="replace").splitlines():
        name = line.partition("(")[0]
        if name in names:
            seen[name] += 1
            if name != "openat" or "O_CREAT" in line or "O_TRUNC" in line:
                boundaries.append(Boundary(name, seen[name]))
    log.unlink()
    return boundaries
