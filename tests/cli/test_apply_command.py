"""Plans: written, edited, carried out, and refused where their files have changed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import mutagen
import pytest

from command import Answer, Command, command_line
from genretag.audio.payload import identify
from genretag.store import Store
from genretag.tagging import tags
from genretag.tagging.apply import Applying
from genretag.tagging.plan import parse_record
from genretag.tagging.writer import WriteOptions
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
            command_line("apply", "--json", "--under", tmp_path, plan),
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


@pytest.fixture
def two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A song in the working folder and one beside it."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        make_sound(tmp_path / name / "song.mp3", 1.0)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here" / "song.mp3", tmp_path / "there" / "song.mp3"


def codes(answer: Answer) -> list[str | None]:
    return [record["error"] and record["error"]["code"] for record in answer.records]


def write_plan(path: Path, *songs: object, **more: object) -> Path:
    path.write_text("".join(json.dumps({"path": str(s), "genres": ["Rock"], **more}) + "\n" for s in songs))
    return path


def test_a_line_without_its_recording_reaches_only_the_working_folder(
    genretag: Command, two_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    here, there = two_folders
    before = there.read_bytes()
    (here.parent / "link.mp3").symlink_to(there)
    (here.parent / "folder").symlink_to(there.parent)
    out_of_here = ("../there/song.mp3", there, "link.mp3", "folder/song.mp3", "/proc/self/mem")
    answer = genretag("apply", "--json", write_plan(tmp_path / "plan", "song.mp3", *out_of_here))
    assert answer.code == 1
    assert codes(answer) == [None, *["outside"] * 5]
    assert tags.read(here).genres == ("Rock",)
    assert there.read_bytes() == before
    assert f"link.mp3 (it leads to {there}): not below" in answer.records[3]["error"]["message"]


def test_a_line_with_its_recording_reaches_that_recording_only(
    genretag: Command, two_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    _, there = two_folders
    plan = write_plan(tmp_path / "plan", there, audio="0" * 32)
    assert codes(genretag("apply", "--json", plan)) == ["changed"]
    write_plan(plan, there, audio=identify(there))
    assert codes(genretag("apply", "--json", plan)) == [None]
    assert tags.read(there).genres == ("Rock",)


def test_under_is_a_fence_around_every_line(
    genretag: Command, two_folders: tuple[Path, Path], tmp_path: Path
) -> None:
    here, there = two_folders
    (there.parent / "link.mp3").symlink_to(here)
    before = here.read_bytes()
    for more in ({}, {"audio": identify(here)}):
        plan = write_plan(tmp_path / "plan", here, there.parent / "link.mp3", "song.mp3", **more)
        assert codes(genretag("apply", "--json", "--under", there.parent, plan)) == ["outside"] * 3
    assert here.read_bytes() == before
    write_plan(plan, here, there)
    assert codes(genretag("apply", "--json", "--under", there.parent, "--under", ".", plan)) == [None, None]
    gone = genretag("apply", "--under", tmp_path / "gone", plan)
    assert (gone.code, gone.err.count("\n")) == (2, 1)


# Control characters


def test_a_plan_brings_no_control_character_into_a_file(genretag: Command, tmp_path: Path) -> None:
    song, odd = make_sound(tmp_path / "song.mp3", 1.0), make_sound(tmp_path / "odd.mp3", 2.0)
    tags.write(odd, ["Polka\x1b[2J", "x\x7f; y"])
    before = song.read_bytes()
    smuggled = {"genres": ["Rock\x1b[2J"], "previous": ["Rock\x1b[2J"]}
    lines = [
        # Without the recording, and with it: then `previous` must be what the file holds.
        {"path": str(song), **smuggled},
        {"path": str(song), **smuggled, "audio": identify(song)},
        # What the file holds may stay, whatever the plan calls `previous`; nothing else may join it.
        {
            "path": str(odd),
            "genres": ["Polka\x1b[2J", "Rock\x1b[2J"],
            "previous": ["Polka\x1b[2J", "Rock\x1b[2J"],
        },
        {
            "path": str(odd),
            "genres": ["Polka\x1b[2J", "x\x7f", "Rock"],
            "previous": ["Polka\x1b[2J", "x\x7f; y"],
        },
    ]
    plan = tmp_path / "plan.jsonl"
    plan.write_text("".join(json.dumps(line) + "\n" for line in lines))
    answer = genretag("apply", "--json", "--under", tmp_path, plan)
    assert codes(answer) == ["plan", "changed", "plan", None]
    message = answer.records[0]["error"]["message"]
    assert message == (
        f"{song}: the genre 'Rock\\x1b[2J' holds a control character and is not in the file; correct the plan"
    )
    assert song.read_bytes() == before
    assert tags.read(odd).genres == ("Polka\x1b[2J", "x\x7f", "Rock")


@pytest.mark.parametrize("separator", [None, "; ", " / "])
def test_a_plan_of_files_with_odd_genres_is_carried_out(
    genretag: Command, tmp_path: Path, separator: str | None
) -> None:
    song = make_sound(tmp_path / "song.flac", 2.0)
    tags.write(song, ["Polka\x1b[2J / x\x7f; y"])
    before = song.read_bytes()
    joined = () if separator is None else ("--separator", separator)
    plan = tmp_path / "plan.jsonl"
    assert genretag("tag", *SURE, "--existing", "add", *joined, "--plan", plan, song).code == 0
    assert [record["status"] for record in genretag("apply", "--json", *joined, plan).records] == ["written"]
    (value, *_) = tags.read(song).genres
    assert value.startswith("Polka\x1b[2J")
    assert [record["status"] for record in genretag("apply", "--json", *joined, plan).records] == [
        "unchanged"
    ]
    again = genretag("tag", "--json", *SURE, "--existing", "add", *joined, song)
    assert [record["status"] for record in again.records] == ["unchanged"]
    assert genretag("undo").code == 0
    assert song.read_bytes() == before


def test_a_note_of_a_plan_holds_control_characters_as_escapes(genretag: Command, tmp_path: Path) -> None:
    song = make_sound(tmp_path / "song.flac", 1.0)
    model, label = "m\x1b[2J\x7f\x9b31m\ud800", "rock\x9b\n"
    more = {"model": model, "scores": {label: 0.5}, "album": {"name": "\x1b[2J"}}
    plan = write_plan(tmp_path / "plan", song, **more)
    answer = genretag("apply", "--json", "--provenance", "--under", tmp_path, plan)
    assert codes(answer) == [None]
    assert answer.out[:-1].isprintable()
    (note,) = mutagen.File(song).tags["GENRETAG"]
    assert note.isprintable()
    assert json.loads(note)["model"] == model
    assert json.loads(note)["scores"] == {label: 0.5}


@pytest.mark.parametrize("command", ["tag", "apply", "watch"])
def test_a_separator_with_a_control_character_is_refused(
    genretag: Command, tmp_path: Path, command: str
) -> None:
    song = make_sound(tmp_path / "song.mp3", 1.0)
    source = {"tag": song, "apply": write_plan(tmp_path / "plan", song), "watch": tmp_path}[command]
    before = song.read_bytes()
    answer = genretag(command, "--separator", "\x1b[2J", source)
    assert answer.code == 2
    assert answer.err == (
        "genretag: --separator '\\x1b[2J': holds a control character; give text such as '; '\n"
    )
    assert song.read_bytes() == before


def test_a_name_that_vanishes_after_the_write_is_no_failure(tmp_path: Path) -> None:
    """The link by which the plan names the file is removed as soon as the file has been written."""
    song = make_sound(tmp_path / "song.mp3", 1.0)
    link = tmp_path / "link.mp3"
    link.symlink_to(song)
    line = json.dumps({"path": str(link), "genres": ["Rock"], "audio": identify(song)})
    with Store.open() as store:
        store._connection.set_trace_callback(
            lambda sql: link.unlink(missing_ok=True) if "state = 'done'" in sql else None
        )
        plan = [parse_record(line, "plan")]
        (record,) = Applying(plan, WriteOptions(in_place=True), store).records()
        store._connection.set_trace_callback(None)
    assert not link.is_symlink()
    assert (record.status, record.error) == ("written", None)
    assert tags.read(song).genres == ("Rock",)
