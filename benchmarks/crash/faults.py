"""The system refuses or somebody steps in: full disks, errors, rights that go, files that change hands."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count, cycle, islice, product
from pathlib import Path

from benchmarks import sounds
from benchmarks.crash import processes
from benchmarks.crash.judge import GENRES, Bench, Findings
from benchmarks.crash.kills import Mode, writes
from benchmarks.crash.others import Other
from benchmarks.crash.processes import READING, Boundary
from genretag.audio.payload import payload_digest
from genretag.tagging import tags

DISK = 8 << 20
"""Bytes of the small file system."""

OTHERS = ("Polka",)
"""Genres of the second plan where two run at once."""


def errors(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """ENOSPC and EIO at a system call, once or from then on; EIO also where something is read."""
    points: list[tuple[str, int, Boundary, str]] = []
    for name in bench.old:
        for number, operation in enumerate(writes(bench, [name])):
            operation.prepare()
            for boundary in processes.list_boundaries(operation.start, bench.scratch):
                points += [(name, number, boundary, code) for code in ("ENOSPC", "EIO")]
            operation.prepare()
            for boundary in processes.list_boundaries(operation.start, bench.scratch, READING):
                points.append((name, number, boundary, "EIO"))
    chance.shuffle(points)
    findings = Findings(possible=2 * len(points))
    for name, number, boundary, code in points[:trials]:
        lasting = chance.choice(("", "+"))
        operation = writes(bench, [name])[number]
        operation.prepare()
        ended = processes.inject(
            operation.start, f"{boundary.name}:error={code}:when={boundary.number}{lasting}"
        )
        what = f"{operation.name}, {code} at {boundary.name} {boundary.number}{lasting}"
        if boundary.name != "write" or not lasting:  # else it cannot say anything
            _judge_words(ended, what, findings)
        bench.judge([name], what, findings)
    return findings


def full_disk(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """Music and store on a file system with less room than the copy and the journal need."""
    findings = Findings()
    with _small_disk(bench.home.parent / "disk") as disk:
        few = {name: content for name, content in bench.old.items() if len(content) < DISK // 60}
        small = Bench(disk / "bench", few, in_place=bench.in_place)
        for _ in range(trials):
            names = chance.sample(sorted(small.old), min(3, len(small.old)))
            operation = writes(small, names)[chance.randrange(2)]
            operation.prepare()
            room = chance.randrange(DISK // 32)
            filler = disk / "filler"
            filler.write_bytes(bytes(max(0, _room(disk) - room)))
            ended = operation.start(None).wait()
            filler.unlink()
            what = f"{operation.name} with {room} bytes free"
            _judge_words(ended, what, findings)
            small.judge(names, what, findings)
    return findings


def read_only(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """The music's file system becomes read-only while a run goes on (or only its folder's mode does)."""
    findings = Findings()
    with _small_disk(bench.home.parent / "disk") as disk:
        few = dict(chance.sample(sorted(bench.old.items()), min(12, len(bench.old))))
        other = Bench(bench.home.parent, few, disk / "music", in_place=bench.in_place)
        for turn, name in enumerate(islice(cycle(few), trials)):
            other.fresh([name])
            number = 1 + chance.randrange(len(processes.list_calls(other.home, other.apply)))
            operation = writes(other, [name])[turn % 2]
            operation.prepare()
            locking = partial(_remount, disk, "ro") if turn % 3 else partial(other.music.chmod, 0o555)
            ended = operation.start(processes.at_call(number, locking)).wait()
            _remount(disk, "rw")
            other.music.chmod(0o755)
            what = f"{operation.name}, read-only at call {number}"
            _judge_words(ended, what, findings)
            other.judge([name], what, findings)
    return findings


# Others


Meddling = Callable[[Path, Path], object]
"""What somebody does to a file, given the path of another one of theirs."""


def replaced(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """Somebody puts another recording in the place of the file that is being written: it must stay there."""
    return _meddled(bench, trials, chance, lambda path, theirs: theirs.replace(path))


def rewritten(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """Somebody writes another recording into the very file that is being written: it must stay there."""
    return _meddled(bench, trials, chance, lambda path, theirs: path.write_bytes(theirs.read_bytes()))


def removed(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """Somebody removes the file that is being written: it must not come back."""
    return _meddled(bench, trials, chance, lambda path, theirs: path.unlink(), gone=True)


def _meddled(
    bench: Bench, trials: int, chance: random.Random, meddle: Meddling, *, gone: bool = False
) -> Findings:
    findings = Findings()
    names = [name for name in bench.old if name.split()[0] in sounds.ENCODINGS]
    for name in islice(cycle(names), trials):
        path, theirs = bench.music / name, bench.home.with_name(f"theirs{Path(name).suffix}")
        bench.fresh([name])
        calls = processes.list_calls(bench.home, bench.apply)
        # Every other time at the last moment.
        last, moment = findings.trials % 2, calls.index(bench.replacement)
        # In place nobody is kept from writing at the same time: only who comes before it begins is seen.
        number = 1 + (moment if last else chance.randrange(moment if bench.in_place else len(calls)))
        bench.fresh([name])
        sounds.encode(sounds.tune(11, 0.7), theirs, name.split()[0])
        sound = payload_digest(theirs)
        # Another process, since opening a file for writing waits for a lease that this one holds.
        other = Other(partial(meddle, path, theirs))
        ended = bench.starter(bench.apply)(processes.at_call(number, other.step)).wait()
        other.end()
        theirs.unlink(missing_ok=True)
        what = f"{name} meddled with at call {number}"
        findings.trials += 1
        findings.formats.add(name.split()[0])
        for command in ((), bench.history, bench.undo):
            if command:
                ended = processes.run(bench.home, *command)
            _judge_words(ended, what, findings)
            if path.exists() == gone or not (gone or payload_digest(path) == sound):
                findings.losses.append(f"{what}: theirs did not survive {' '.join(command) or 'the run'}")
        bench.judge_left(what, findings)
    return findings


def two_at_once(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """Two runs with different genres over the same files, from both ends; of every third pair one is killed.

    With one store only one of them may be at work: the other starts nothing and says why, or comes after it.
    With two stores, as two people on one share have, they race. Each file must hold one of the two plans'
    genres or its old ones, as a journal says, and go back.
    """
    findings = Findings()
    plan, other_home = bench.home.with_name("second.jsonl"), bench.home.with_name("home2")
    while findings.trials < trials:
        names = chance.sample(sorted(bench.old), min(4, len(bench.old)))
        bench.fresh(names)
        shutil.rmtree(other_home, ignore_errors=True)
        bench.write_plan(plan, OTHERS, backwards=True)
        shared = findings.trials % 2 == 0
        homes = (bench.home, bench.home if shared else other_home)
        in_place = ["--in-place"] * (bench.in_place or chance.random() < 0.25)
        second = processes.starter(
            homes[1], ("apply", "--quiet", "--under", str(bench.music), *in_place, str(plan))
        )
        running = [bench.starter(bench.apply)(None), second(None)]
        if findings.trials % 3 == 0:
            time.sleep(chance.uniform(0, 0.05))
            os.kill(running[0].pid, signal.SIGKILL)
        what = f"two at once with {'one store' if shared else 'two stores'}, {', '.join(names)}"
        for process in running:
            ended = process.wait()
            findings.kills += ended.killed
            _judge_words(ended, what, findings)
            if ended.code == 2 and not (shared and "has been writing there since" in ended.output):
                findings.untruths.append(f"{what}: refused without need: {ended.output[-300:]}")
        findings.trials += 1
        findings.formats |= {name.split()[0] for name in names}
        for home in set(homes):
            processes.run(home, *bench.history)
        _judge_race(bench, set(homes), names, what, findings)
        # What both wrote goes back from the last write to the first, file by file.
        for _ in range(4):
            for home, run_id in product(sorted(set(homes)), ("1", "2")):
                processes.run(home, *bench.undo, run_id)
        bench.judge_undo(names, what, findings)
    plan.unlink(missing_ok=True)
    shutil.rmtree(other_home, ignore_errors=True)
    return findings


def _judge_race(
    bench: Bench, homes: Iterable[Path], names: Iterable[str], what: str, findings: Findings
) -> None:
    last = [bench.last_written(home) for home in homes]
    for name in names:
        content = (bench.music / name).read_bytes()
        said = [written[name] for written in last if name in written]
        if content != bench.old[name]:
            if hashlib.sha256(content).digest() not in said:
                findings.untruths.append(f"{what}: no journal knows {name} as it is")
            if tags.read(bench.music / name).genres not in (GENRES, OTHERS):
                findings.losses.append(f"{what}: {name}")
        elif said:
            findings.untruths.append(f"{what}: {name} is old, not so in the journal")
    bench.judge_left(what, findings)


def clock_back(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """Every look at the clock shows an earlier time; killed at random calls all the same."""
    findings = Findings()

    def turn_back() -> None:
        past = count(1_700_000_000, -3600)
        time.time = lambda: float(next(past))

    for name in islice(cycle(bench.old), trials):
        bench.fresh([name])
        number = 1 + chance.randrange(len(processes.list_calls(bench.home, bench.apply)))
        bench.fresh([name])
        kill = processes.kill_at_call(number)

        def before(kill: processes.Before = kill) -> None:
            turn_back()
            kill()

        findings.kills += bench.starter(bench.apply)(before).wait().killed
        bench.judge([name], f"clock set back, killed at call {number}", findings)
    return findings


# Small things


def _judge_words(ended: processes.Ended, what: str, findings: Findings) -> None:
    """A run that cannot go on says so in its own words."""
    if ended.code not in (0, 1, 2, -9) or "Traceback" in ended.output:
        findings.untruths.append(f"{what}: ended with {ended.code}: {ended.output[-400:]}")


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def may_mount() -> bool:
    """Whether file systems may be mounted here."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with (
        tempfile.TemporaryDirectory() as name,
        suppress(subprocess.CalledProcessError),
        _small_disk(Path(name) / "disk"),
    ):
        return True
    return False


def _remount(folder: Path, how: str) -> None:
    # Refused while a file is open for writing: then the run goes on undisturbed.
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], stderr=subprocess.DEVNULL, check=False)


def _room(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_bsize


def modes() -> Iterator[tuple[str, Mode]]:
    """The modes of this module by name."""
    if processes.has_strace():
        yield "errors", errors
    if may_mount():
        yield "full-disk", full_disk
        yield "read-only", read_only
    yield "replaced", replaced
    yield "rewritten", rewritten
    yield "removed", removed
    yield "two-at-once", two_at_once
    yield "clock-back", clock_back
