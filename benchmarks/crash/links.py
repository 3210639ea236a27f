"""Links and pipes that somebody puts in place of names while genretag writes the files of these names."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from benchmarks.crash import processes
from benchmarks.crash.judge import Bench, Findings
from benchmarks.crash.kills import Mode
from benchmarks.crash.others import Other, Trial, judge_end, judge_start, make_trial
from benchmarks.crash.processes import FINE
from genretag.tagging.write import TEMP_PREFIX

USER = 12345
"""Owner of the music in `linked`, who has no other rights."""


def linked(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """The owner of the music folder puts links in place of names while root writes there.

    In place of the copy, the file or the folder, while a plan is applied or undone, or while the start after
    a kill settles the write, or before that start. What the links lead to must stay as it was.
    """
    findings, known = Findings(), dict[tuple[str, str], Trial]()
    library, elsewhere = bench.scratch.with_name("library"), bench.scratch.with_name("elsewhere")
    other_bench = Bench(bench.home.parent, bench.old, library / "album", in_place=bench.in_place)
    for name in islice(cycle(other_bench.old), trials):
        command = chance.choice(("apply", "undo", "start", "before the start"))
        what = chance.choice(("copy", "file", "folder"))
        kind = "symlink" if what == "folder" else chance.choice(("symlink", "hard link"))

        def prepare(name: str = name, *, undo: bool = command == "undo") -> None:
            _release(library, elsewhere)
            (other_bench.written if undo else other_bench.fresh)([name])
            _give_to_user(library, name)

        arguments = ("undo", "--json") if command == "undo" else other_bench.apply_json
        trial = make_trial(other_bench, known, name, prepare, arguments)
        findings.possible = sum(each.last - each.first + 1 for each in known.values())
        number = trial.draw(chance, near=findings.trials % 2 == 0)
        trial.prepare()
        before = _victims(elsewhere, name, other_bench.old)
        inode = (other_bench.music / name).stat().st_ino
        other = _Linker(other_bench.music, name, elsewhere, what, kind)
        if command in ("apply", "undo"):
            before_call = processes.at_call(number, other.step, FINE)
            ended = other_bench.starter(trial.arguments)(before_call).wait()
        else:
            kill = processes.at_call(number, lambda: os.kill(os.getpid(), signal.SIGKILL), FINE)
            findings.kills += other_bench.starter(trial.arguments)(kill).wait().killed
            number = chance.randint(1, 150)
            if command == "before the start":
                other.step()
            begin = processes.at_call(number, other.step, FINE) if command == "start" else None
            ended = other_bench.starter(other_bench.history)(begin).wait()
        other.end()
        moment = f"at call {number} of {command}" if command != "before the start" else command
        words = f"{name}: {kind} in place of the {what} {moment}"
        findings.trials += 1
        findings.formats.add(name.split()[0])
        if command in ("apply", "undo"):
            judge_end(ended, words, findings)
        # Other commands would follow the links, as they follow all that a library holds before they begin.
        judge_start(other_bench, words, findings)
        after = {path: _state(path) for path in (elsewhere, *elsewhere.rglob("*"))}
        findings.losses += [
            f"{words}: {path.name} elsewhere is not as it was"
            for path in sorted(before.keys() | after.keys())
            if before.get(path) != after.get(path)
        ]
        _judge_library(library, elsewhere, inode, words, findings)
    _release(library, elsewhere)
    return findings


SECRET = b"what only root may read"


def _victims(folder: Path, name: str, old: dict[str, bytes]) -> dict[Path, object]:
    """Make files that only root may use, one with the name of the music; return their state."""
    folder.mkdir(mode=0o755)
    (folder / name).write_bytes(old[name] + SECRET)
    (folder / "secret").write_bytes(SECRET)
    for path in folder.iterdir():
        path.chmod(0o600)
        os.utime(path, ns=(10**18, 10**18))
    os.utime(folder, ns=(10**18, 10**18))
    return {path: _state(path) for path in (folder, *folder.rglob("*"))}


def _state(path: Path) -> object:
    status = path.lstat()
    content = path.read_bytes() if path.is_file() else None
    return content, status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns


def _give_to_user(library: Path, name: str) -> None:
    """Give the music to the user; half of the files have set-user-ID and set-group-ID."""
    for path in (library, library / "album", library / "album" / name):
        os.chown(path, USER, USER)
    if len(name) % 2:
        (library / "album" / name).chmod(0o6755)


def _release(library: Path, elsewhere: Path) -> None:
    for folder in (library, elsewhere):
        shutil.rmtree(folder, ignore_errors=True)


class _Linker(Other):
    """The user who puts one link in place of a name."""

    def __init__(self, album: Path, name: str, elsewhere: Path, what: str, kind: str) -> None:
        library = os.open(album.parent, os.O_RDONLY)
        victims = os.open(elsewhere, os.O_RDONLY)
        # Systems may refuse hard links to files of others; on the ones that do not, the user can make them.
        if kind == "hard link":
            os.link(name, "link", src_dir_fd=victims, dst_dir_fd=library)

        def swap() -> None:
            os.fchdir(library)
            if what == "folder":
                os.rename("album", "album before")
                os.symlink(elsewhere, "album")
                return
            names = os.listdir("album")
            replaced = name if what == "file" else next((n for n in names if n.startswith(TEMP_PREFIX)), "")
            if not replaced:
                return
            if kind == "symlink":
                os.symlink(elsewhere / name, "link")
            os.rename("link", f"album/{replaced}")

        super().__init__(swap, user=USER)
        os.close(library)
        os.close(victims)


def _judge_library(library: Path, elsewhere: Path, inode: int, words: str, findings: Findings) -> None:
    """Judge the music: it holds nothing of the victims, and no file of root but copies of genretag.

    A file that replaced the one of this inode must not have its set-user-ID and set-group-ID.
    """
    inodes = {path.stat().st_ino for path in elsewhere.iterdir()}
    for path in library.rglob("*"):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_ino in inodes:
            continue
        content = path.read_bytes()
        if SECRET in content:
            findings.losses.append(f"{words}: {path.name} holds what only root may read")
        if status.st_uid != USER and not path.name.lstrip(".").startswith(TEMP_PREFIX[1:]):
            findings.losses.append(f"{words}: {path.name} belongs to {status.st_uid}")
        if status.st_ino != inode and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
            findings.losses.append(f"{words}: {path.name} has the mode {status.st_mode:o}")


# Pipes


def fifo(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """A pipe takes the name of the file, or of its copy: the run must end and report a failure.

    Unless it had put the new file in place before.
    """
    findings, known = Findings(), dict[tuple[str, str], Trial]()
    for name in islice(cycle(bench.old), trials):
        what, undo = chance.choice(("file", "copy")), chance.random() < 0.3
        prepare = partial(bench.written if undo else bench.fresh, [name])
        arguments = ("undo", "--json") if undo else bench.apply_json
        trial = make_trial(bench, known, name, prepare, arguments)
        findings.possible = sum(each.last - each.first + 1 for each in known.values())
        number = trial.draw(chance, near=findings.trials % 2 == 0)
        trial.prepare()
        path = bench.music / name

        def swap(path: Path = path, *, copy: bool = what == "copy") -> None:
            pipe = path.with_name("pipe")
            os.mkfifo(pipe)
            names = list(path.parent.glob(f"{TEMP_PREFIX}*")) if copy else [path]
            for taken in names[:1]:
                pipe.rename(taken)

        other = Other(swap)
        ended = bench.starter(trial.arguments)(processes.at_call(number, other.step, FINE)).wait()
        other.end()
        words = f"{name}: a pipe in place of the {what} at call {number} of {arguments[0]}"
        findings.trials += 1
        findings.formats.add(name.split()[0])
        outcome = judge_end(ended, words, findings)
        done = outcome in ("written", "undone")
        if what == "file" and done and number <= trial.moment:
            findings.untruths.append(f"{words}: {outcome}")
        path.with_name("pipe").unlink(missing_ok=True)
        judge_start(bench, words, findings)
        if what == "file" and not stat.S_ISFIFO(path.lstat().st_mode):
            findings.losses.append(f"{words}: {outcome}, and the pipe is gone")
        wanted = (bench.old if done == undo else bench.new)[name]
        # A pipe that came just before the exchange has the name now; then the file is kept beside it.
        # One that came after it has replaced the old file itself, which had the name of the copy.
        kept = [path, *path.parent.glob(f"{TEMP_PREFIX[1:]}*")]
        whole = any(each.is_file() and each.read_bytes() == wanted for each in kept)
        if what == "copy" and not whole and not trial.moment < number <= trial.end:
            findings.losses.append(f"{words}: {outcome}, and the file is not as it should be")
    return findings


def modes() -> Iterator[tuple[str, Mode]]:
    """The modes of this module by name."""
    if sys.platform == "linux" and os.geteuid() == 0:
        yield "linked", linked
    if hasattr(os, "mkfifo"):
        yield "fifo", fifo
