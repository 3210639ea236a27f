"""Exit codes: 0 done, 1 some files failed, 2 nothing could start, 130 interrupted."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing

import pytest

from tests.contract.library import DECIDE, Library, genres
from tests.contract.program import Program

# Exit code 2 and one line on standard error.
MISUSED = (
    "",
    "tga Music",
    "tag",
    "tag --existing overwrite Music",
    "tag --model no-such-model Music",
    "apply notes.txt",
    "undo 7",
    "train --dataset folder",
    "config set tag.nothing 1",
)
FILES = 40


def test_codes_of_runs_over_a_library(library: Library) -> None:
    assert {name: answer.code for name, answer in library.answers.items()} == {
        "tag -n": 1,
        # incomplete is reported at every run
        "tag -n again": 1,
        "tag -n unsure": 0,
        "tag --plan": 0,
        "apply": 0,
        "tag": 1,
        "history": 0,
        "undo 2": 0,
        "undo 1": 1,
    }


def test_a_known_failure_counts_only_if_its_file_is_named(library: Library) -> None:
    for code, path in ((0, "Music/Bad"), (1, "Music/Bad/empty.mp3")):
        library.program("tag", "-n", "--exclude", "half.wav", *DECIDE, path, code=code)


@pytest.mark.parametrize("line", MISUSED)
def test_misuse_ends_with_2(shared_program: Program, line: str) -> None:
    (shared_program.folder / "Music").mkdir(exist_ok=True)
    shared_program.file("notes.txt", "no plan and no model\n")
    answer = shared_program(*line.split(), code=2)
    if line:
        assert answer.out == ""
        assert answer.err.startswith("genretag: ")
        assert answer.err.count("\n") == 1


def test_nothing_to_do_ends_with_0(program: Program) -> None:
    program("undo")
    program("history")
    program("apply", "-")


def test_a_store_of_a_newer_version_is_refused(program: Program) -> None:
    program("history")
    with closing(sqlite3.connect(program.database)) as connection:
        connection.execute("PRAGMA user_version = 1000")
    program("undo", code=2)


def test_a_damaged_store_is_moved_aside(program: Program) -> None:
    program.file("home/genretag.sqlite3", b"no database" * 1000)
    assert "genretag.sqlite3.damaged-" in program("history").err
    assert len(list(program.home.glob("genretag.sqlite3.damaged-*"))) == 1


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupted_run_keeps_what_was_finished(program: Program, name: str, code: int) -> None:
    """Its output fills a pipe that nobody reads, so the run cannot end before the signal."""
    song = program.legacy("clips/Metal/0.mp3").folder / "clips/Metal/0.mp3"
    lines = []
    for number in range(FILES):
        shutil.copy(song, program.folder / f"{number}.mp3")
        lines.append(json.dumps({"path": f"{number}.mp3", "genres": ["Rock"]}) + "\n")
    program.file("plan.jsonl", "".join(lines))
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        program.line("apply", "--json", "plan.jsonl"),
        cwd=program.folder,
        env=program.environment,
        text=True,
        stdout=pipe,
        stderr=pipe,
        bufsize=1,
    )
    assert process.stdout is not None
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    assert '"written"' in process.stdout.readline()
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    written = 1 + out.count('"written"')
    assert 1 <= written < FILES
    assert sum(genres(path) == ["Rock"] for path in program.folder.glob("*.mp3")) == written
    assert not list(program.folder.glob(".genretag-*"))
    (run,) = program("history", "--json").records
    assert (run["status"], run["written"]) == ("interrupted", written)
    program("undo", "-q")
    assert all(genres(path) == [] for path in program.folder.glob("*.mp3"))
