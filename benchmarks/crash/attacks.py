"""Another process that steps in while a file is written: it writes, edits, or puts links or pipes in place.

Unlike in `faults`, the other process is a real one: opening a file on which the run holds a lease blocks it.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import mutagen
import numpy as np
from mutagen.asf import ASFTags
from mutagen.id3 import ID3, TCON, TIT2
from mutagen.mp4 import MP4Tags

from benchmarks.crash import processes
from benchmarks.crash.judge import GENRES, Bench, Findings
from benchmarks.crash.kills import Mode
from benchmarks.crash.processes import FINE, PATIENCE, Ended
from genretag import checkpoint
from genretag.audio.payload import identify
from genretag.store import CachedScores, Store
from genretag.tagging import tags
from genretag.tagging.write import TEMP_PREFIX

USER = 12345
"""Owner of the music in `linked`, who has no other rights."""

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

    `first` is the call from which the file is in use, `moment` the exchange or the write in place, `end` the
    removal of the copy (or of the old file) after it.
    """

    name: str
    prepare: Callable[[], None]
    arguments: tuple[str, ...]
    first: int
    moment: int
    end: int
    last: int

    def draw(self, chance: random.Random, *, near: bool) -> int:
        """Return a call to step in at."""
        if near:
            return chance.randint(max(self.first, self.moment - NEAR), min(self.last, self.moment + NEAR))
        return chance.randint(self.first, self.last)


def _trial(
    bench: Bench, known: dict[tuple[str, str], Trial], name: str, prepare: Step, arguments: tuple[str, ...]
) -> Trial:
    """Return a trial; its calls are listed once for each file and command."""
    key = (name, arguments[0])
    if key not in known:
        prepare()
        calls = processes.list_calls(bench.home, arguments, FINE)
        moment = max(number for number, call in enumerate(calls) if call == bench.replacement)
        # The lock of the run is taken before the file is opened.
        first = moment - calls[moment::-1].index("mkdir")
        end = calls.index("unlink", moment)
        known[key] = Trial(name, lambda: None, arguments, first + 1, moment + 1, end + 1, len(calls))
    return replace(known[key], prepare=lambda: (prepare(), None)[1])


def _plan(bench: Bench, name: str) -> None:
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


def _judge_end(ended: Ended, what: str, findings: Findings) -> str:
    """Judge exit code and output of a run; return its outcome."""
    outcome = _outcome(ended)
    findings.count(outcome)
    if ended.code not in (0, 1, 2) or "Traceback" in ended.output:
        findings.untruths.append(f"{what}: ended with {ended.code}: {ended.output[-400:]}")
    elif (ended.code == 0) != (outcome in ("written", "unchanged", "kept", "undone")):
        findings.untruths.append(f"{what}: exit code {ended.code}, but {outcome}")
    return outcome


def _judge_start(bench: Bench, what: str, findings: Findings) -> None:
    """Start genretag again; nothing temporary may be left."""
    ended = processes.run(bench.home, *bench.history)
    if ended.code != 0 or "Traceback" in ended.output:
        findings.untruths.append(f"{what}: history ended with {ended.code}: {ended.output[-400:]}")
    bench.judge_left(what, findings)


# Another process writes


def writer(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """Another process opens the file for writing, at any call or before the run, and writes into it.

    It appends, or overwrites the end, in two pieces: at once, at a later call, or when the run has ended.
    All that it wrote must be in the file that has the name afterwards, and nothing else be different from
    the old file or the new one.
    """
    findings, known = Findings(), dict[tuple[str, str], Trial]()
    for name in islice(cycle(bench.old), trials):
        path = bench.music / name
        trial = _trial(bench, known, name, partial(bench.fresh, [name]), bench.apply_json)
        findings.possible = sum(each.last - each.first + 1 for each in known.values())
        when = chance.choice(("before", "at once", "later", "afterwards"))
        number = trial.draw(chance, near=findings.trials % 2 == 0)
        mark, append = chance.randbytes(24), chance.random() < 0.5
        trial.prepare()
        other = Other(*_writing(path, mark, append=append, at_once=when == "at once"))
        numbers = [number]
        if when == "before":
            other.step()
        if when in ("before", "later") and number < trial.last:
            numbers.append(chance.randint(number + 1, trial.last))
        ended = bench.starter(trial.arguments)(processes.at_calls(numbers, other.step, FINE)).wait()
        other.end()
        what = (
            f"{name}: {'append' if append else 'overwrite'}, opened "
            f"{'before the run' if when == 'before' else f'at call {number}'}, written {when} {numbers[1:]}"
        )
        findings.trials += 1
        findings.formats.add(name.split()[0])
        outcome = _judge_end(ended, what, findings)
        content = path.read_bytes()
        before, after = (
            _after_writing(held[name], mark, append=append) for held in (bench.old, bench.new)
        )
        if bench.in_place and outcome == "changed" and trial.moment <= number <= trial.end:
            findings.windows += content != before
        elif content not in (before, after):
            findings.losses.append(f"{what}: {outcome}, {_mixture(content, mark)}")
        elif (content == after) != (outcome == "written"):
            findings.untruths.append(f"{what}: {outcome}, but the file is {'new' * (content == after)}")
        if outcome not in ("written", "in-use", "changed", "incomplete"):
            findings.untruths.append(f"{what}: ended as {outcome}: {ended.output[-300:]}")
        _judge_start(bench, what, findings)
        if path.read_bytes() != content:
            findings.losses.append(f"{what}: the next start changed the file")
        processes.run(bench.home, *bench.undo)
        if mark in content and mark not in path.read_bytes():
            findings.losses.append(f"{what}: undo lost what the other process wrote")
        bench.judge_left(f"{what}, undone", findings)
    return findings


def _writing(path: Path, mark: bytes, *, append: bool, at_once: bool) -> list[Step]:
    """Return steps that open a file, write one half of `mark`, then the other half, and close the file."""
    descriptors: list[int] = []

    def begin() -> None:
        descriptors.append(os.open(path, os.O_WRONLY if append else os.O_RDWR))

    def first() -> None:
        os.lseek(descriptors[0], 0 if append else -len(mark), os.SEEK_END)
        os.write(descriptors[0], mark[:12])

    def second() -> None:
        os.write(descriptors[0], mark[12:])
        os.close(descriptors[0])

    def all_at_once() -> None:
        for step in (begin, first, second):
            step()

    return [all_at_once] if at_once else [begin, first, second]


def _after_writing(content: bytes, mark: bytes, *, append: bool) -> bytes:
    return content + mark if append else content[: -len(mark)] + mark


def _mixture(content: bytes, mark: bytes) -> str:
    found = "all of" if mark in content else "a half of" if mark[:12] in content else "nothing of"
    return f"{len(content)} bytes that are neither, with {found} what the other process wrote"


# Another tagger


EDITED_GENRES, EDITED_TITLE = ("Funk", "Latin"), "B Title"
"""As long as those of the specimens."""


def edited(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """Another tagger changes the genres, or the title, and restores the time; the size stays the same.

    While a plan is applied, or `tag --existing keep` writes into a file without genres. Its edit must be in
    the file that has the name afterwards; genres that it set must not be replaced.
    """
    findings, known = Findings(), dict[tuple[str, str], Trial]()
    names = [name for name in bench.old if name.endswith(_suffixes(" dressed")) or " 2." in name]
    with_scores = _Scores("musicnn-msd")
    for name in islice(cycle(names), trials):
        path, tagging, genre = bench.music / name, chance.random() < 0.5, chance.random() < 0.5

        def prepare(name: str = name, *, tagging: bool = tagging) -> None:
            bench.fresh([name])
            if tagging:
                _edit(bench.music / name, genres=())
                with_scores.remember(bench, name)
            else:
                _plan(bench, name)

        in_place = ["--in-place"] * bench.in_place
        arguments = (*with_scores.tag, *in_place, str(bench.music)) if tagging else bench.apply_json
        trial = _trial(bench, known, name, prepare, arguments)
        findings.possible = sum(each.last - each.first + 1 for each in known.values())
        number = trial.draw(chance, near=findings.trials % 2 == 0)
        trial.prepare()
        size = path.stat().st_size
        edit = {"genres": EDITED_GENRES} if genre else {"title": EDITED_TITLE}
        other = Other(partial(_edit, path, **edit))
        ended = bench.starter(trial.arguments)(processes.at_call(number, other.step, FINE)).wait()
        other.end()
        same = "same size" if path.stat().st_size == size else "other size"
        what = f"{name}: {'genres' if genre else 'title'} edited at call {number} of {arguments[0]}, {same}"
        findings.trials += 1
        findings.formats.add(name.split()[0])
        outcome = _judge_end(ended, what, findings)
        if not _has_edit(path, genre=genre):
            if bench.in_place and trial.moment <= number <= trial.end:
                findings.windows += 1
            else:
                findings.losses.append(f"{what}: {outcome}, and the edit is gone")
        if outcome not in ("written", "in-use", "changed", "kept"):
            findings.untruths.append(f"{what}: ended as {outcome}: {ended.output[-300:]}")
        content = path.read_bytes()
        _judge_start(bench, what, findings)
        if path.read_bytes() != content:
            findings.losses.append(f"{what}: the next start changed the file")
        had = _has_edit(path, genre=genre)
        processes.run(bench.home, *bench.undo)
        if had and not _has_edit(path, genre=genre):
            findings.losses.append(f"{what}: undo lost the edit")
        bench.judge_left(f"{what}, undone", findings)
    return findings


def _suffixes(end: str) -> tuple[str, ...]:
    return tuple(f"{end}{kind}" for kind in (".mp3", ".flac", ".oga", ".ogg", ".opus", ".m4a", ".wma"))


class _Scores:
    """A `tag` command whose scores are all stored, so that nothing is analysed."""

    def __init__(self, model: str) -> None:
        path = checkpoint.resolve(model)
        self._hash = checkpoint.file_hash(path)
        self._scores = np.zeros(len(checkpoint.read_meta(path).labels.names), np.float32)
        self._scores[0] = 0.9
        rule = ("--model", model, "--threshold", "0", "--top", "1", "--existing", "keep")
        self.tag = ("tag", "--json", "--quiet", *rule)

    def remember(self, bench: Bench, name: str) -> None:
        """Store the scores of a file."""
        os.environ["GENRETAG_HOME"] = str(bench.home)
        with Store.open() as store:
            scores = CachedScores(self._scores, 1, 1.0)
            store.remember_scores(identify(bench.music / name), self._hash, "fast", scores)


GENRE, TITLE = ("TCON", "\xa9gen", "WM/Genre", "genre"), ("TIT2", "\xa9nam", "Title", "title")
"""Fields in ID3, MP4, ASF, and in Vorbis comments and APE."""


def _key(file: mutagen.FileType, field: tuple[str, str, str, str]) -> str:
    kinds = (ID3, MP4Tags, ASFTags)
    return next((key for kind, key in zip(kinds, field) if isinstance(file.tags, kind)), field[3])


def _edit(path: Path, genres: Sequence[str] | None = None, title: str | None = None) -> None:
    """Change a file by mutagen, and restore its time."""
    status = path.stat()
    file = mutagen.File(path)
    for field, values in ((GENRE, genres), (TITLE, None if title is None else [title])):
        if values is None:
            continue
        key = _key(file, field)
        if key in file.tags:
            del file.tags[key]
        if values and isinstance(file.tags, ID3):
            file.tags.add({"TCON": TCON, "TIT2": TIT2}[key](encoding=3, text=list(values)))
        elif values:
            file.tags[key] = list(values)
    file.save()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _has_edit(path: Path, *, genre: bool) -> bool:
    try:
        if genre:
            return tags.read(path).genres == EDITED_GENRES
        file = mutagen.File(path)
        return EDITED_TITLE in str(file.tags[_key(file, TITLE)])
    except Exception:  # noqa: BLE001 - a mixture may end in any error of mutagen
        return False


# Links


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
        trial = _trial(other_bench, known, name, prepare, arguments)
        findings.possible = sum(each.last - each.first + 1 for each in known.values())
        number = trial.draw(chance, near=findings.trials % 2 == 0)
        trial.prepare()
        before = _victims(elsewhere, name, other_bench.old)
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
            _judge_end(ended, words, findings)
        # Other commands would follow the links, as they follow all that a library holds before they begin.
        _judge_start(other_bench, words, findings)
        after = {path: _state(path) for path in (elsewhere, *elsewhere.rglob("*"))}
        findings.losses += [
            f"{words}: {path.name} is {'not as it was' if path in before and path in after else 'new or gone'}"
            for path in sorted(before.keys() | after.keys())
            if before.get(path) != after.get(path)
        ]
        _judge_library(library, elsewhere, name, words, findings)
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
        prepared = kind == "hard link"
        for victim in (name, "secret") if prepared else ():
            os.link(victim, f"hard {victim}", src_dir_fd=victims, dst_dir_fd=library)

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
            victim = name if what == "file" else "secret"
            if kind == "symlink":
                os.symlink(elsewhere / victim, "link")
            else:
                os.rename(f"hard {victim}", "link")
            os.rename("link", f"album/{replaced}")

        super().__init__(swap, user=USER)
        os.close(library)
        os.close(victims)


def _judge_library(library: Path, elsewhere: Path, name: str, words: str, findings: Findings) -> None:
    """Judge the music: it holds nothing of the victims, and no file of root but a whole copy that was kept."""
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
        trial = _trial(bench, known, name, prepare, arguments)
        findings.possible = sum(each.last - each.first + 1 for each in known.values())
        number = trial.draw(chance, near=findings.trials % 2 == 0)
        trial.prepare()
        path, replaced = bench.music / name, [bench.music / name]

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
        outcome = _judge_end(ended, words, findings)
        done = outcome in ("written", "undone")
        if what == "file" and done and number <= trial.moment:
            findings.untruths.append(f"{words}: {outcome}")
        path.with_name("pipe").unlink(missing_ok=True)
        _judge_start(bench, words, findings)
        if what == "file" and not stat.S_ISFIFO(path.lstat().st_mode):
            findings.losses.append(f"{words}: {outcome}, and the pipe is gone")
        if what == "copy" and path.read_bytes() != (bench.old if done == undo else bench.new)[name]:
            findings.losses.append(f"{words}: {outcome}, and the file is not as it should be")
        del replaced
    return findings


def modes() -> Iterator[tuple[str, Mode]]:
    """The modes of this module by name."""
    yield "writer", writer
    yield "edited", edited
    if sys.platform == "linux" and os.geteuid() == 0:
        yield "linked", linked
    if hasattr(os, "mkfifo"):
        yield "fifo", fifo
