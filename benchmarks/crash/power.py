"""The power cut: what a run wrote and never synced is lost, whole or in parts.

A run's calls are recorded by strace and played back, up to every one of them, on a disk that keeps only what
was synced: content of a file by fsync of the file, names by fsync of the folder. Of the rest nothing is kept,
or everything, or a part drawn by chance. That is what POSIX allows, and more than ext4 or APFS would lose.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Literal, get_args

from benchmarks.crash import processes
from benchmarks.crash.judge import Bench, Findings
from benchmarks.crash.kills import Mode, stops
from benchmarks.crash.processes import Boundary, Starter

RECORDED = (
    *("openat", "close", "read", "write", "lseek", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename"),
    *("renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
)
EXCHANGE = "RENAME_EXCHANGE"
PINNED = b"/proc/self/fd/"

Keep = Literal["nothing", "everything", "a part"]
Keeping = Callable[[], float]
"""How much of the next change was kept: of a write its first part, of any other all from a half on."""

State = tuple[tuple[bytes, bytes | None], ...]


@dataclass(frozen=True)
class Call:
    """One system call that succeeded; strings are bytes, the result a number."""

    name: str
    arguments: tuple[bytes | str, ...]
    result: int


@dataclass
class File:
    """An inode: the content that is safe, and what was done to it since; `None` marks a folder."""

    safe: bytes | None
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes (offset, bytes) and truncations (length, None)."""

    def content(self, keep: Keeping) -> bytes:
        """The content after a cut."""
        content = bytearray(self.safe or b"")
        for at, written in self.pending:
            share = keep()
            if written is None and share >= 0.5:
                content[at:] = bytes(max(0, at - len(content)))
            elif written is not None and (written := written[: round(share * len(written))]):
                content += bytes(max(0, at - len(content)))
                content[at : at + len(written)] = written
        return bytes(content)


Names = dict[bytes, File]


class Disk:
    """Files and folders below a root, as programs see them (`names`) and as a cut would leave them."""

    def __init__(self, root: Path) -> None:
        self.names: Names = {os.fsencode(root): File(None)}
        for path in root.rglob("*"):
            self.names[os.fsencode(path)] = File(None if path.is_dir() else path.read_bytes())
        self._root = os.fsencode(root)
        self._safe: Names = dict(self.names)
        self._pending: list[tuple[bytes, Callable[[Names], object]]] = []
        self._open: dict[int, tuple[bytes, File]] = {}
        self._at: dict[int, int] = {}

    def apply(self, call: Call) -> bool:
        """Carry out one call; whether it changed anything, or made a change safe."""
        call = self._absolute(call)
        match call.name, call.arguments:
            case "openat", (_, bytes(path), str(flags), *_) if path.startswith(self._root):
                return self._opened(path, flags, call.result)
            case ("rename", (bytes(old), bytes(new))) | ("renameat", (_, bytes(old), _, bytes(new))):
                file = self.names[old]
                return self._named(new, lambda names: _move(names, old, new, file))
            case "renameat2", (_, bytes(old), _, bytes(new), str(flags)):
                first, second = self.names[old], self.names.get(new)
                if EXCHANGE in flags and second is not None:
                    return self._named(new, lambda names: names.update({old: second, new: first}))
                return self._named(new, lambda names: _move(names, old, new, first))
            case ("unlink" | "rmdir", (bytes(path),)) | ("unlinkat", (_, bytes(path), _)):
                if path not in self.names:
                    return False
                return self._named(path, lambda names: names.pop(path, None))
            case ("mkdir", (bytes(path), _)) | ("mkdirat", (_, bytes(path), _)):
                folder = File(None)
                return self._named(path, lambda names: names.__setitem__(path, folder))
        return self._described(call)

    def _absolute(self, call: Call) -> Call:
        """Return the call with whole paths: those beside the descriptor of a folder, or of an open file."""
        arguments = list(call.arguments)
        for number, argument in enumerate(arguments):
            if not isinstance(argument, bytes) or call.name in ("write", "pwrite64"):
                continue
            folder = str(arguments[number - 1]) if number else ""
            if not argument.startswith(b"/") and folder.isdigit() and int(folder) in self._open:
                arguments[number] = os.path.join(self._open[int(folder)][0], argument)
            elif argument.startswith(PINNED) and int(argument[len(PINNED) :]) in self._open:
                arguments[number] = self._open[int(argument[len(PINNED) :])][0]
        return Call(call.name, tuple(arguments), call.result)

    def _described(self, call: Call) -> bool:
        descriptor = int(str(call.arguments[0]), 0) if str(call.arguments[0])[:1].isdigit() else -1
        if descriptor not in self._open:
            return False
        path, file = self._open[descriptor]
        match call.name, call.arguments:
            case "write", (_, bytes(content), *_):
                file.pending.append((self._at[descriptor], content[: call.result]))
                self._at[descriptor] += call.result
            case "pwrite64", (_, bytes(content), _, str(offset)):
                file.pending.append((int(offset, 0), content[: call.result]))
            case "ftruncate", (_, str(length)):
                file.pending.append((int(length, 0), None))
            case (("fsync" | "fdatasync"), _):
                self._sync(path, file)
            case "read", _:
                self._at[descriptor] += call.result
                return False
            case "lseek", _:
                self._at[descriptor] = call.result
                return False
            case "close", _:
                del self._open[descriptor]
                return False
            case _:
                return False
        return True

    def _opened(self, path: bytes, flags: str, descriptor: int) -> bool:
        there = self.names.get(path)
        if there is None:
            made = File(b"")
            self._named(path, lambda names: names.__setitem__(path, made))
        elif "O_TRUNC" in flags:
            there.pending.append((0, None))
        self._open[descriptor], self._at[descriptor] = (path, self.names[path]), 0
        return there is None or "O_TRUNC" in flags

    def forget_descriptors(self) -> None:
        """The process has ended."""
        self._open, self._at = {}, {}

    def _named(self, path: bytes, change: Callable[[Names], object]) -> bool:
        change(self.names)
        self._pending.append((os.path.dirname(path), change))
        return True

    def _sync(self, path: bytes, file: File) -> None:
        if file.safe is not None:
            file.safe, file.pending = file.content(lambda: 1.0), []
            return
        for folder, change in self._pending:
            if folder == path:
                change(self._safe)
        self._pending = [(folder, change) for folder, change in self._pending if folder != path]

    def after_cut(self, keep: Keeping) -> dict[bytes, bytes | None]:
        """What is found when power is back: path to content, None for a folder."""
        names = dict(self._safe)
        for _, change in self._pending:
            if keep() >= 0.5:
                change(names)
        found: dict[bytes, bytes | None] = {self._root: None}
        # Sorted: a folder comes before what is in it, and what is in a folder that was lost is lost too.
        for path, file in sorted(names.items(), key=lambda item: item[0]):
            if path in found or found.get(os.path.dirname(path), b"") is None:
                found[path] = None if file.safe is None else file.content(keep)
        return found


def _move(names: Names, old: bytes, new: bytes, file: File) -> None:
    names.pop(old, None)
    names[new] = file


def restore(found: dict[bytes, bytes | None], folders: Iterable[Path]) -> None:
    """Write what a cut left into folders that were cleared."""
    wanted = tuple(os.fsencode(folder) for folder in folders)
    for path, content in found.items():
        if not path.startswith(wanted):
            continue
        if content is None:
            os.makedirs(path, exist_ok=True)
        else:
            Path(os.fsdecode(path)).write_bytes(content)


# Recording


def record(start: Starter, log: Path, kill: Boundary | None = None) -> list[Call]:
    """The calls of a run, with what it wrote; `kill` ends it early."""
    names = ",".join(f"?{name}" for name in RECORDED)
    options = ["-e", f"trace={names}", "-e", "raw=read", "-xx", "-s", str(1 << 26)]
    if kill is not None:
        options += ["-e", f"inject={kill.name}:signal=SIGKILL:when={kill.number}"]
    ended = processes.traced(start, options, log)
    # How often a call is made can differ by one between runs: then the run comes to its end.
    assert ended.code == 0 or (kill is not None and ended.killed), ended.output
    calls = [call for line in log.read_text().splitlines() if (call := _parse(line)) is not None]
    log.unlink()
    return calls


def _parse(line: str) -> Call | None:
    found = re.match(r"(\w+)\((.*)\)\s+= (0x[0-9a-f]+|\d+)", line)
    if found is None:
        return None
    # Bytes are all in hexadecimal, so no comma stands within them.
    arguments = tuple(
        bytes.fromhex(word.strip('"').replace("\\x", "")) if word.startswith('"') else word
        for word in found[2].split(", ")
    )
    return Call(found[1], arguments, int(found[3], 0))


# The mode


@dataclass(frozen=True)
class Scenario:
    """Runs over one file before the power goes, one after the other; with a boundary: killed there."""

    name: str
    prepare: Callable[[], None]
    runs: tuple[tuple[Starter, Boundary | None], ...]


def scenarios(bench: Bench, name: str) -> list[Scenario]:
    """A write into a new store, its undo, and the start after either was killed."""
    apply, undo, history = (bench.starter(command) for command in (bench.apply, bench.undo, bench.history))
    fresh, written = partial(bench.fresh, [name]), partial(bench.written, [name])
    found = [Scenario("apply", fresh, ((apply, None),)), Scenario("undo", written, ((undo, None),))]
    for prepare, arguments in ((fresh, bench.apply), (written, bench.undo)):
        prepare()
        for stop in stops(bench, prepare, arguments):
            killed = (bench.starter(arguments), stop)
            found.append(
                Scenario(
                    f"{arguments[0]} killed at {stop.name}, next start", prepare, (killed, (history, None))
                )
            )
    return found


def play(bench: Bench, scenario: Scenario) -> Iterator[tuple[Disk, str]]:
    """The disk after every call of a scenario that changes something, and words for that moment."""
    scenario.prepare()
    disk = Disk(bench.home.parent)
    for number, (start, kill) in enumerate(scenario.runs, start=1):
        for call in record(start, bench.scratch, kill):
            if disk.apply(call):
                yield disk, f"{scenario.name}, power cut in run {number} after {call.name}"
        disk.forget_descriptors()


def cut(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """Cuts of power in runs over single files: after every call, with every way to lose what was not synced.

    Each recording is played back a few times, so that many files have their turn.
    """
    findings = Findings()
    names = sorted(bench.old)
    chance.shuffle(names)
    share = max(3, trials // len(names))
    for name in cycle(names):
        states: dict[State, str] = {}
        for disk, moment in play(bench, chance.choice(scenarios(bench, name))):
            for keep in get_args(Keep):
                found = tuple(sorted(disk.after_cut(_keeping(keep, chance)).items()))
                states.setdefault(found, f"{moment}, {keep} of what was unsynced kept")
        findings.possible += len(states)
        for found, what in chance.sample(list(states.items()), min(share, len(states))):
            judge(bench, name, dict(found), what, findings)
            if findings.trials == trials:
                return findings
    raise AssertionError


def judge(bench: Bench, name: str, found: dict[bytes, bytes | None], what: str, findings: Findings) -> None:
    """Start genretag on what a cut left."""
    bench.clear()
    restore(found, (bench.music, bench.home))
    bench.judge([name], what, findings)


def _keeping(keep: Keep, chance: random.Random) -> Keeping:
    return {
        "nothing": lambda: 0.0,
        "everything": lambda: 1.0,
        "a part": lambda: chance.choice((0.0, 1.0, chance.random())),
    }[keep]


def modes() -> Iterator[tuple[str, Mode]]:
    """The modes of this module by name."""
    if processes.has_strace():
        yield "power-cut", cut
