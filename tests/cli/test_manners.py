"""What a person sees in terminals of any width, and what is said to do next."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from command import Command, command_line, in_own_process
from genretag.cli import advice, narrow
from genretag.cli.grouping import HEADINGS
from genretag.tagging import tags
from sounds import make_sound
from terminal import in_terminal

SURE = ("--model", "musicnn-msd", "--threshold", "0")


@pytest.mark.parametrize("columns", [40, 60])
@pytest.mark.parametrize("arguments", [("datasets",), ("tag", "--help")])
def test_nothing_is_wider_than_the_terminal(columns: int, arguments: tuple[str, ...]) -> None:
    shown = in_terminal(*arguments, columns=columns)
    assert shown.code == 0
    # Help is never folded at fewer than 50.
    assert max(map(len, shown.out.splitlines())) <= max(columns, 50 if "--help" in arguments else 0)


@pytest.mark.parametrize("columns", [40, 120])
def test_progress_and_summary_fit(columns: int, tmp_path: Path) -> None:
    for number in range(3):
        make_sound(tmp_path / f"{number}.flac", seed=number)
    (tmp_path / "no.mp3").write_text("this is no music, it is a text that calls itself a song\n" * 40)
    shown = in_terminal("tag", *SURE, tmp_path, columns=columns)
    assert shown.code == 1
    lines = re.split(r"[\r\n]+", shown.out)
    progress = [line for line in lines if " left" in line]
    assert any("4/4" in line and "1 failed" in line for line in progress)
    assert all(len(line) <= columns for line in progress)
    assert "of your files only the genres are written" in shown.out
    assert "genretag undo" in lines[-2]

    # What is known goes by too fast to be seen; the greeting comes once.
    again = in_terminal("tag", *SURE, tmp_path, columns=columns, NO_COLOR="1")
    assert "of your files" not in again.out
    assert "kept: they have a genre already; --existing add, replace or refresh goes on" in again.out
    assert not re.search(r"\x1b\[3\dm", again.err)


def test_no_greeting_where_nobody_reads_it(genretag: Command, library: Path) -> None:
    assert "your first run" not in in_own_process("tag", *SURE, library / "A").err


def test_the_summary_says_what_to_do_next(genretag: Command, library: Path) -> None:
    song = library / "A" / "zwei ü.flac"
    summary = genretag("tag", "-n", *SURE, song).err.splitlines()
    assert summary[1:] == [
        "nothing was written; the same without --dry-run writes it, and undo takes it back"
    ]
    summary = genretag("tag", "--model", "musicnn-msd", "--threshold", "1", song).err.splitlines()
    assert summary[1:] == ["unsure: 1 left as they are; a lower --threshold, such as 0.1, decides more"]
    tags.write(song, ["Mine"])
    summary = genretag("tag", *SURE, library).err.splitlines()
    assert summary[-4:] == [
        "failed: empty 1 (delete it or get it again)",
        "failed: not-audio 1 (no music; --exclude leaves such files out)",
        "failed: not-taggable 1 (convert it to flac or m4a)",
        "run 1; take it back with: genretag undo",
    ]
    assert genretag("tag", "-q", *SURE, song).err == ""


def test_many_kinds_of_failure_stay_a_few_lines() -> None:
    counts = {f"code-{number}": 10 - number for number in range(8)}
    assert advice.failures(counts)[-2:] == ["failed: code-4 6", "failed otherwise: 12"]


def test_a_table_becomes_blocks() -> None:
    rows = [("short", "-", "a cell that is rather long"), ("other", "2", "b")]
    columns = ("name", "count", "words")
    assert narrow.needed(columns, rows) == 45
    assert narrow.blocks(columns, rows, 20) == (
        "short\n  words a cell that\n    is rather long\nother\n  count 2\n  words b"
    )


def test_nothing_written_yet(genretag: Command) -> None:
    assert genretag("history").err == (
        "genretag: no run has written anything yet; to begin: genretag tag --dry-run PATH\n"
    )


def test_options_stand_under_headings(genretag: Command) -> None:
    shown = genretag("tag", "--help").out
    assert all(f"\n{heading}:\n" in shown for heading in HEADINGS)
    assert "\nOptions:\n" in genretag("history", "--help").out
    assert shown.count("-n, --dry-run") == 1


def test_a_plan_without_work(genretag: Command, tmp_path: Path) -> None:
    plan = tmp_path / "plan.jsonl"
    plan.touch()
    answer = genretag("apply", plan)
    assert answer.code == 0
    assert (
        answer.err
        == f"genretag: {plan}: nothing in it to carry out; a plan has lines of the status planned\n"
    )


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&- 2>&-", ">&-", "2>&-"])
def test_closed_streams_do_not_keep_files_from_being_analysed(tmp_path: Path, closed: str) -> None:
    song, plan = make_sound(tmp_path / "a.mp3", 3), tmp_path / "plan.jsonl"
    command = command_line("tag", *SURE, "--top", "1", "--plan", plan, song)
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, "Traceback" in done.stdout + done.stderr) == (0, False)
    assert '"status": "planned"' in plan.read_text("utf-8").replace('":"', '": "')
