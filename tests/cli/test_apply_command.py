"""Plans: written, edited, carried out, and refused where their files have changed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from command import Command, command_line
from genretag.tagging import tags
from sounds import make_sound

SURE = ("--model", "musicnn-msd", "--threshold", "0", "--top", "2")


def test_a_plan_is_carried_out_as_it_stands_or_edited(
    genretag: Command, library: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.jsonl"
    answer = genretag("tag", *SURE, "--plan", plan, library)
    assert answer.code == 1
    assert f"genretag apply {plan}" in answer.err
    assert not tags.read(library / "A" / "one's song.mp3").genres
    records = [json.loads(line) for line in plan.read_text(encoding="utf-8").splitlines()]
    assert [record["status"] for record in records] == ["planned"] * 3 + ["failed"] * 3
    records[0]["genres"] = ["Edited By Hand"]
    plan.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    applied = genretag("apply", "--json", plan)
    assert applied.code == 0
    assert [record["status"] for record in applied.records] == ["written"] * 3
    assert tags.read(library / "A" / "one's song.mp3").genres == ("Edited By Hand",)
    repeated = genretag("apply", "--json", plan)
    assert [record["status"] for record in repeated.records] == ["unchanged"] * 3
    assert genretag("undo").code == 0
    assert not tags.read(library / "A" / "one's song.mp3").genres


def test_a_plan_through_a_pipe(genretag: Command, library: Path) -> None:
    lines = genretag("tag", "-n", "--json", *SURE, library / "A").out
    done = subprocess.run(
        command_line("apply", "-"), input=lines, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert done.stdout.count("written") == 2


def test_files_that_changed_since_are_refused(genretag: Command, library: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.jsonl"
    genretag("tag", *SURE, "--plan", plan, library / "A", library / "B" / "three.m4a")
    first, second, third = (
        library / "A" / "one's song.mp3",
        library / "A" / "zwei ü.flac",
        library / "B" / "three.m4a",
    )
    tags.write(first, ["Someone Else's"])
    second.unlink()
    make_sound(third, seed=9)
    answer = genretag("apply", "--json", plan)
    assert answer.code == 1
    errors = [record["error"] for record in answer.records]
    assert [error["code"] for error in errors] == ["changed", "missing", "changed"]
    assert "its genre changed since the plan was made (now Someone Else's)" in errors[0]["message"]
    assert "holds another recording" in errors[2]["message"]
    assert tags.read(first).genres == ("Someone Else's",)
    assert not tags.read(third).genres


def test_a_malformed_plan_changes_nothing(genretag: Command, library: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.jsonl"
    genretag("tag", *SURE, "--plan", plan, library / "A")
    plan.write_text(plan.read_text(encoding="utf-8") + "{half a line", encoding="utf-8")
    answer = genretag("apply", plan)
    assert answer.code == 2
    assert f"{plan}:3: not JSON" in answer.err
    assert answer.err.count("\n") == 1
    assert not tags.read(library / "A" / "one's song.mp3").genres
    gone = genretag("apply", tmp_path / "gone.jsonl")
    assert gone.code == 2
    assert "no such file" in gone.err


def test_a_plan_that_cannot_be_read_is_said_in_a_line(genretag: Command) -> None:
    memory = Path("/proc/self/mem")
    if not memory.is_file():
        pytest.skip("no file here that refuses to be read")
    answer = genretag("apply", memory)
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert "cannot be read (Input/output error)" in answer.err


def test_an_output_that_cannot_be_written_ends_the_run_in_words(genretag: Command, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no device here that is always full")
    songs = [make_sound(tmp_path / f"{number}.mp3", 1.0) for number in range(2)]
    plan = tmp_path / "plan.jsonl"
    plan.write_text("".join(json.dumps({"path": str(song), "genres": ["Rock"]}) + "\n" for song in songs))
    with full.open("w") as output:
        done = subprocess.run(
            command_line("apply", "--json", plan),
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("genretag: the output cannot be written (No space left")
    assert "Traceback" not in done.stderr
    history = genretag("history", "--json")
    assert history.err == "", "nothing is left to settle"
    assert [(run["written"], run["status"]) for run in history.records] == [(1, "interrupted")]
    assert [tags.read(song).genres for song in songs] == [("Rock",), ()]
