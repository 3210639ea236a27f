"""A second run where one is at work is refused in a line; elsewhere nothing is in its way."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from command import Command, command_line
from genretag.tagging import tags
from sounds import make_sound

SURE = ("--model", "musicnn-msd", "--threshold", "0", "--top", "2")


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a plan that name no recording reach the working folder only."""
    monkeypatch.chdir(tmp_path)


def plan_of(folder: Path, plan: Path, genre: str = "Rock") -> Path:
    songs = sorted(path for path in folder.rglob("*.mp3"))
    plan.write_text("".join(json.dumps({"path": str(song), "genres": [genre]}) + "\n" for song in songs))
    return plan


@pytest.fixture
def music(tmp_path: Path) -> Path:
    for name in ("A", "B"):
        (tmp_path / "music" / name).mkdir(parents=True)
        for number in range(3):
            make_sound(tmp_path / "music" / name / f"{number}.mp3", 0.5, seed=number)
    return tmp_path / "music"


@contextmanager
def at_work(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A run that has written its first file and cannot end, since nobody reads what it says."""
    process = subprocess.Popen(command_line(*arguments), text=True, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert '"written"' in process.stdout.readline()
        yield process
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()


def slow_plan(folder: Path, plan: Path) -> Path:
    """So many lines that the pipe of a reader who does not read is full before the end."""
    plan_of(folder, plan)
    plan.write_text(plan.read_text() * 500)
    return plan


def test_a_second_run_starts_nothing_and_says_who_is_at_work(
    genretag: Command, music: Path, tmp_path: Path
) -> None:
    slow, again = slow_plan(music / "A", tmp_path / "slow.jsonl"), plan_of(music, tmp_path / "p", "Pop")
    with at_work("apply", "--json", slow) as process:
        lines = []
        for arguments in (
            ("tag", *SURE, music),
            ("tag", *SURE, music / "A" / "1.mp3"),
            ("tag", *SURE, "--files-from", listed(music, tmp_path / "list")),
            ("apply", again),
            ("undo", "1"),
        ):
            answer = genretag(*arguments)
            assert (answer.code, answer.out) == (2, "")
            lines.append(answer.err)
        (line,) = set(lines)
        who = f"process {process.pid} (genretag apply) has been writing there since "
        assert line.startswith(f"genretag: {music / 'A'}: {who}")
        assert line.endswith("; wait until it has ended or stop it; tag --dry-run need not wait\n")
        assert line.count("\n") == 1
        assert tags.read(music / "B" / "0.mp3").genres == ()
        # Beside it: a dry run, other folders, another file of the same list.
        assert genretag("tag", "-n", *SURE, music / "B" / "0.mp3").code == 0
        assert genretag("apply", plan_of(music / "B", tmp_path / "b")).code == 0
        assert genretag("history").code == 0
    assert genretag("apply", again).code == 0
    assert tags.read(music / "A" / "0.mp3").genres == ("Pop",)


def listed(folder: Path, into: Path) -> Path:
    into.write_bytes(b"\n".join(os.fsencode(path) for path in folder.rglob("*.mp3")))
    return into


def test_a_killed_run_is_in_nobodys_way(genretag: Command, music: Path, tmp_path: Path) -> None:
    slow = slow_plan(music / "A", tmp_path / "slow.jsonl")
    with at_work("apply", "--json", slow) as process:
        process.kill()
        process.wait()
        answer = genretag("apply", plan_of(music, tmp_path / "again", "Pop"))
    assert answer.code == 0
    assert "run 1 was interrupted" in answer.err
    assert tags.read(music / "A" / "0.mp3").genres == ("Pop",)


def test_with_another_store_nobody_is_refused(genretag: Command, music: Path, tmp_path: Path) -> None:
    """As two people on one share have: then each file is written by one of them at a time."""
    slow = slow_plan(music / "A", tmp_path / "slow.jsonl")
    with at_work("apply", "--json", slow):
        os.environ["GENRETAG_HOME"] = str(tmp_path / "another home")
        assert genretag("apply", plan_of(music / "A", tmp_path / "again", "Pop")).code == 0
