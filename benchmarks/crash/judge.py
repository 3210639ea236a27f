"""What a stop left behind: files, temporary copies, the journal's word, and the ways on and back."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.crash import processes
from genretag.__main__ import run
from genretag.database import FILE_NAME
from genretag.tagging.write import TEMP_PREFIX

GENRES = ("Rock", "Hip-Hop")


@dataclass
class Findings:
    """What was tried in one mode and what went wrong; every line tells one thing.

    `halves` are files found half written in place with a whole copy beside them, which is no loss.
    `windows` are files that another program wrote into between the last check and the end of a write in
    place, which is documented as not prevented. `outcomes` counts the results of the runs.
    """

    formats: set[str] = field(default_factory=set)
    possible: int = 0
    trials: int = 0
    kills: int = 0
    halves: int = 0
    windows: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    untruths: list[str] = field(default_factory=list)

    def count(self, outcome: str) -> None:
        """Count one result of a run."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not (self.losses or self.leftovers or self.untruths)


class Bench:
    """A folder of music and a store, made afresh for every trial and judged after it.

    `old` are the files before, `new` what an undisturbed run makes of them. `in_place`: the files themselves
    are changed; then a stop may leave one half written as long as a whole copy lies beside it.
    """

    def __init__(
        self, folder: Path, old: Mapping[str, bytes], music: Path | None = None, *, in_place: bool = False
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.in_place = in_place
        self.stops: dict[tuple[str, ...], tuple[processes.Boundary, ...]] = {}
        self.music, self.home = music or folder / "music", folder / "home"
        self.plan = folder / "plan.jsonl"
        self.old = dict(old)
        self.new = self._written()

    def _written(self) -> dict[str, bytes]:
        """In this process, so that its children need not import anything."""
        self.fresh(self.old)
        os.environ["GENRETAG_HOME"] = str(self.home)
        with redirect_stdout(io.StringIO()):
            assert run(list(self.apply)) == 0
            new = {name: (self.music / name).read_bytes() for name in self.old}
            assert run(["history"]) == run(list(self.undo)) == 0
        assert all(new[name] != content for name, content in self.old.items())
        return new

    # The commands under trial

    undo = ("undo", "--quiet")
    history = ("history", "--json")

    @property
    def apply(self) -> tuple[str, ...]:
        """The arguments that write the plan of the last `fresh`."""
        return ("apply", "--quiet", *self._applied)

    @property
    def apply_json(self) -> tuple[str, ...]:
        """The same, with a record for the file."""
        return ("apply", "--json", *self._applied)

    @property
    def _applied(self) -> tuple[str, ...]:
        return ("--under", str(self.music), *["--in-place"] * self.in_place, str(self.plan))

    @property
    def replacement(self) -> str:
        """The function that makes the file the new one."""
        return processes.IN_PLACE if self.in_place else processes.REPLACEMENT

    def starter(self, arguments: tuple[str, ...]) -> processes.Starter:
        """What starts one of these commands."""
        return processes.starter(self.home, arguments)

    @property
    def scratch(self) -> Path:
        """A file name beside music and store."""
        return self.home.with_name("scratch")

    def fresh(self, names: Iterable[str], genres: tuple[str, ...] = GENRES) -> None:
        """Only these files, as they were, no store, and a plan for all of them."""
        self.clear()
        self.music.mkdir(parents=True)
        for name in names:
            (self.music / name).write_bytes(self.old[name])
        self.write_plan(self.plan, genres)

    def write_plan(self, plan: Path, genres: tuple[str, ...], *, backwards: bool = False) -> None:
        """A plan for all files that are there."""
        paths = sorted(self.music.iterdir(), reverse=backwards)
        plan.write_text("".join(json.dumps({"path": str(path), "genres": genres}) + "\n" for path in paths))

    def written(self, names: Iterable[str]) -> None:
        """The same, carried out: what `undo` starts from."""
        self.fresh(names)
        ended = processes.run(self.home, *self.apply)
        assert ended.code == 0, ended.output

    def clear(self) -> None:
        """Remove files and store."""
        for folder in (self.music, self.home):
            shutil.rmtree(folder, ignore_errors=True)

    # The judgement

    def judge(self, names: Iterable[str], what: str, findings: Findings) -> None:
        """Judge a trial over these files: as they are, after the next start, written on, and taken back."""
        names = list(names)
        findings.trials += 1
        findings.formats |= {name.split()[0] for name in names}
        states = self.states(names, what, findings)
        self.judge_start(states, what, findings)
        self._all(processes.run(self.home, *self.apply), names, self.new, f"{what}: resumed", findings)
        self.judge_undo(names, what, findings)

    def states(self, names: Iterable[str], what: str, findings: Findings) -> dict[str, bool | None]:
        """Which files are the new ones, None for those that a whole copy lies beside of.

        A file that is neither old nor new is a loss, and so is one whose copy is not whole.
        """
        states: dict[str, bool | None] = {}
        for name in names:
            path = self.music / name
            content = path.read_bytes() if path.is_file() else None
            if content not in (self.old[name], self.new[name]):
                if self.in_place and self._has_whole_copy(name):
                    findings.halves += 1
                    states[name] = None
                    continue
                there = "gone" if content is None else f"{len(content)} bytes that are neither"
                findings.losses.append(f"{what}: {name}: {there}")
            states[name] = content == self.new[name]
        return states

    def _has_whole_copy(self, name: str) -> bool:
        copies = [path.read_bytes() for path in self.music.glob(f"{TEMP_PREFIX}*")]
        return any(copy in (self.old[name], self.new[name]) for copy in copies)

    def judge_start(self, states: Mapping[str, bool | None], what: str, findings: Findings) -> None:
        """Start genretag again: it changes no whole file, leaves no copy, and its history says what is so."""
        ended = processes.run(self.home, *self.history)
        if ended.code != 0:
            findings.untruths.append(f"{what}: history ended with {ended.code}: {ended.output[-300:]}")
            return
        self.judge_left(what, findings)
        now = self.states(states, f"{what}: after the next start", findings)
        if any(new is not None and now[name] != new for name, new in states.items()):
            findings.losses.append(f"{what}: the next start changed a file")
        said = self.standing()
        for name, new in now.items():
            if (name in said) != new:
                findings.untruths.append(
                    f"{what}: {name} is {'new' if new else 'old'}, not so in the journal"
                )
        runs = [json.loads(line) for line in ended.output.splitlines() if line.startswith("{")]
        count = sum(run["written"] - run["undone"] for run in runs if run["command"] != "undo")
        if count != len(said):
            findings.untruths.append(f"{what}: history counts {count} files, the journal {len(said)}")

    def judge_left(self, what: str, findings: Findings) -> None:
        """Nothing temporary is left, among the music or in the store."""
        left = [*self.music.rglob(f"{TEMP_PREFIX}*"), *self.home.glob("runs/*")]
        findings.leftovers += [f"{what}: {path.name}" for path in left]
        if pending := self._query("SELECT state FROM writes WHERE state IN ('intended', 'prepared')"):
            findings.untruths.append(f"{what}: {len(pending)} writes are not settled")

    def standing(self) -> set[str]:
        """Names of the files that the journal says are written and not taken back."""
        rows = self._query(
            "SELECT path FROM writes WHERE state = 'done' AND undone_by IS NULL AND undoes IS NULL"
        )
        return {Path(path.decode()).name for (path,) in rows}

    def last_written(self, home: Path) -> dict[str, bytes]:
        """SHA-256 of each file as the journal of a store last saw it written."""
        rows = self._query("SELECT path, after_hash FROM writes WHERE state = 'done' ORDER BY id", home)
        return {Path(path.decode()).name: content for path, content in rows}

    def judge_undo(self, names: Iterable[str], what: str, findings: Findings) -> None:
        """Take everything back: every file is the old one."""
        ended = processes.run(self.home, *self.undo)
        for _ in range(5):
            if ended.code != 0 or not self.standing():
                break
            ended = processes.run(self.home, *self.undo)
        self._all(ended, names, self.old, f"{what}: taken back", findings)
        self.judge_left(f"{what}: taken back", findings)

    def _all(
        self,
        ended: processes.Ended,
        names: Iterable[str],
        wanted: Mapping[str, bytes],
        what: str,
        findings: Findings,
    ) -> None:
        if ended.code != 0:
            findings.untruths.append(f"{what}: ended with {ended.code}: {ended.output[-300:]}")
        for name in names:
            path = self.music / name
            if not path.is_file() or path.read_bytes() != wanted[name]:
                findings.losses.append(f"{what}: {name} is not as it should be")

    def _query(self, sql: str, home: Path | None = None) -> list[Any]:
        connection = sqlite3.connect((home or self.home) / FILE_NAME)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()
