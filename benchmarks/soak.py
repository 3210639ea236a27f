"""genretag at work for a long time: tag, tag again by another map, undo, kill, resume, several at once.

    python -m benchmarks.soak --minutes 3
    python -m benchmarks.soak --minutes 240 --library /tmp/soak

The library holds small files of every format that genretag writes. Rounds run in this process, so that
whatever grows is seen; kills and company are processes of their own. At every return to the start each file
must be the one of before by SHA-256, and nothing may be left beside it. Prints a table and one JSON line; 1
where a file differs, something is left over, or memory, descriptors or threads grew once all was warm.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import program
from benchmarks.crash import specimens
from genretag.__main__ import run
from genretag.database import FILE_NAME
from genretag.tagging.write import TEMP_PREFIX

MAPS = ("", '[rename]\nRock = "Rock Music"\n')
FOLDERS = 4
MODEL = ("--model", "musicnn-msd", "--threshold", "0", "--top", "2")
COUNTED = ("commands", "kills", "refusals")
WARM_ROUNDS = 12
MAX_GROWTH = 24 << 20
"""Bytes that the memory may grow by: allocators keep some, a leak over hundreds of rounds is more."""


@dataclass(frozen=True)
class Look:
    """What this process and its store take at one moment."""

    minutes: float
    rounds: int
    memory: int
    descriptors: int
    threads: int
    store: int


@dataclass
class Soak:
    """A library, its store, and what was done to it and found."""

    music: Path
    home: Path
    chance: random.Random
    before: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("commands", "kills", "refusals"), 0)
    )
    wrong: list[str] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = self.hashes()
        self.maps = []
        for number, content in enumerate(MAPS):
            self.maps.append(self.home.with_name(f"map{number}.toml"))
            self.maps[-1].write_text(content)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file by its path."""
        paths = sorted(path for path in self.music.rglob("*") if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    # Commands

    def tag(self, *more: object, number: int = 0) -> list[str]:
        """The arguments of a run that writes every file by one of the maps."""
        options = ("--json", "--existing", "replace", *MODEL, "--map", self.maps[number])
        return [str(word) for word in ("tag", *options, *more)]

    def here(self, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        """Run a command in this process; what it printed."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(list(arguments))
        self._ended(code, codes, arguments, err.getvalue())
        return out.getvalue()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run a command in a process of its own."""
        return subprocess.Popen(
            [*program.GENRETAG, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def end(self, process: subprocess.Popen[str], codes: Sequence[int], what: Sequence[str]) -> int:
        """Wait for such a process."""
        _, err = process.communicate(timeout=300)
        self._ended(process.returncode, codes, what, err)
        return process.returncode

    def _ended(self, code: int, codes: Sequence[int], arguments: Sequence[str], err: str) -> None:
        self.counts["commands"] += 1
        if code not in codes or "Traceback" in err:
            self.wrong.append(f"{' '.join(arguments[:2])} ended with {code}: {err[-300:]}")

    # What happens

    def there_and_back(self) -> None:
        """Tag, tag again by another map, take both back; half of the time in place."""
        in_place = ["--in-place"] * self.chance.randrange(2)
        self.here(*self.tag(*in_place, self.music))
        self.here(*self.tag(*in_place, self.music, number=1))

    def analysed_again(self) -> None:
        """The engine, its workers and its model once more."""
        self.here(*self.tag("--no-cache", self.music / "0"))

    def killed(self) -> None:
        """A run killed at a random moment, and the same command again."""
        arguments = self.tag(*["--in-place"] * self.chance.randrange(2), self.music)
        process = self.start(*arguments)
        time.sleep(self.chance.uniform(0.3, 1.5))
        process.kill()
        self.end(process, (0, -9), arguments)
        self.counts["kills"] += process.returncode != 0
        self.here(*arguments)

    def company(self) -> None:
        """Processes side by side in different folders, and one over all of them that is refused or late."""
        running = [
            (self.start(*line), line) for line in (self.tag(self.music / str(n)) for n in range(FOLDERS))
        ]
        line = self.tag(self.music, number=1)
        running.append((self.start(*line), line))
        for process, arguments in running:
            self.counts["refusals"] += self.end(process, (0, 2), arguments) == 2

    def back(self, what: str) -> None:
        """Take everything back; every file must be the one of before, with nothing beside it."""
        for _ in range(20):
            if not self.here("undo", "--json"):
                break
        if (now := self.hashes()) != self.before:
            different = [path for path in {*now, *self.before} if now.get(path) != self.before.get(path)]
            self.wrong.append(f"{what}: {len(different)} files differ, such as {different[0]}")
        self.wrong += [f"{what}: {path} is left" for path in self.music.rglob(f"{TEMP_PREFIX}*")]

    def look(self, minutes: float, rounds: int) -> None:
        """Note what this process takes."""
        memory = int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) << 10
        store = sum(path.stat().st_size for path in self.home.glob(f"{FILE_NAME}*"))
        descriptors = len(os.listdir("/proc/self/fd"))
        self.looks.append(Look(minutes, rounds, memory, descriptors, threading.active_count(), store))

    @property
    def warm(self) -> int:
        """The look from which on nothing may grow: after a tenth of the time and three rounds of each kind.

        By then what is loaded and filled once is there; the memory of a model that is loaded anew each time
        settles at the third.
        """
        return max(0, min(max(len(self.looks) // 10, WARM_ROUNDS), len(self.looks) - 2))

    def judge_growth(self) -> None:
        """Flat from there on."""
        first, last = self.looks[self.warm], self.looks[-1]
        if last.memory - first.memory > MAX_GROWTH:
            self.wrong.append(f"memory grew by {(last.memory - first.memory) >> 20} MiB")
        if last.descriptors > first.descriptors or last.threads > first.threads:
            self.wrong.append(f"descriptors or threads grew: {first} -> {last}")


def soak(folder: Path, minutes: float, seed: int = 0) -> dict[str, Any]:
    """Work in `folder` for some minutes, at least one round of everything; what was done and found."""
    music, home = folder / "music", folder / "home"
    for number, (name, content) in enumerate(specimens.make(folder).items()):
        path = music / str(number % FOLDERS) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    os.environ["GENRETAG_HOME"] = str(home)
    work = Soak(music, home, random.Random(seed))
    kinds: list[Callable[[], None]] = [work.there_and_back, work.killed, work.company, work.analysed_again]
    begun = time.monotonic()
    rounds = 0
    while rounds < len(kinds) or time.monotonic() - begun < 60 * minutes:
        kind = kinds[rounds % len(kinds)]
        kind()
        rounds += 1
        work.back(f"round {rounds}, {kind.__name__}")
        work.look((time.monotonic() - begun) / 60, rounds)
    work.judge_growth()
    looks = [asdict(look) for look in work.looks]
    facts = {"files": len(work.before), "rounds": rounds, **work.counts, "wrong": work.wrong, "looks": looks}
    facts["warm"] = work.warm
    shutil.rmtree(music)
    return facts


def print_table(found: dict[str, Any]) -> None:
    """Ten looks over the time, and what was found."""
    print(f"{'minute':>8}{'rounds':>8}{'memory MiB':>12}{'descriptors':>13}{'threads':>9}{'store KiB':>11}")
    looks = found["looks"]
    for look in looks[:: max(1, len(looks) // 10)][:-1] + looks[-1:]:
        print(
            f"{look['minutes']:>8.1f}{look['rounds']:>8}{look['memory'] / 2**20:>12.0f}"
            f"{look['descriptors']:>13}{look['threads']:>9}{look['store'] / 1024:>11.0f}"
        )
    print(
        ", ".join(f"{name} {found[name]:,}" for name in ("files", "rounds", "commands", "kills", "refusals"))
    )
    for line in found["wrong"]:
        print(f"WRONG: {line}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module; 1 when something went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--library", type=Path, help="folder to work in; default: a temporary one")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = options.library or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        found = soak(folder.absolute(), options.minutes, options.seed)
    print_table(found)
    found["looks"] = [found["looks"][found.pop("warm")], found["looks"][-1]]
    print(json.dumps(found))
    return int(bool(found["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
