"""Files of genretag 0.1.0 (tests/fixtures/legacy) are opened, applied and undone; see also test_models.py."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path

from tests.contract.library import DECIDE, genres, set_field
from tests.contract.program import Program
from tests.legacy_files import LEGACY, MTIME

GENRES = ("Classical", "Metal", "Techno")
FOLDERS = ("Formats", "In place", "Separator", "Undone", "Applied", "Twice", "Planned")
RUNS = [(8, "tag"), (7, "tag"), (6, "apply"), (5, "undo"), (4, "tag"), (3, "tag"), (2, "tag"), (1, "tag")]
SCORES = struct.pack("<3f", 0.125, 0.75, 0.125)


def require_original(program: Program, path: Path) -> None:
    """Require the bytes and the time of last change from before genretag wrote a file."""
    name = path.relative_to(program.folder / "Music")
    original = LEGACY / "originals" / name
    if not original.exists():  # genretag did not write it, or has undone that already
        original = LEGACY / "Music" / name
    assert path.read_bytes() == original.read_bytes(), f"{name} has other bytes"
    assert path.stat().st_mtime == MTIME, f"{name} has another time of last change"


def music(program: Program) -> list[Path]:
    return sorted(path for path in (program.folder / "Music").rglob("*") if path.is_file())


def test_every_run_of_an_old_store_is_undone_to_the_byte(program: Program) -> None:
    program.legacy("home", *(f"Music/{name}" for name in FOLDERS))
    history = program("history", "--json").records
    assert [(run["id"], run["command"]) for run in history] == RUNS
    undone = 0
    # Run 5 has undone run 4.
    for number in (8, 7, 6, 3, 2, 1):
        records = program("undo", "--json", number).records
        assert {(record["status"], record["how"]) for record in records} == {("undone", "bytes")}
        undone += len(records)
    assert undone == 14
    for path in music(program):
        require_original(program, path)


def test_cached_scores_of_an_old_store_are_used(program: Program) -> None:
    """The cached scores are replaced first by others, which no analysis of the audio would give."""
    program.legacy("home", "Music/Formats", "models")
    with closing(sqlite3.connect(program.database)) as connection, connection:
        connection.execute("UPDATE scores SET scores = ?", (SCORES,))
    records = program(
        "tag", "-n", "--json", "--existing", "replace", *DECIDE, "Music/Formats", code=None
    ).records
    planned = [record for record in records if record["status"] == "planned"]
    assert len(planned) == 8
    for record in planned:
        assert (record["genres"], record["previous"], record["seconds"]) == (["Metal"], ["Techno"], 0.0)
        assert record["scores"] == dict(zip(GENRES, (0.125, 0.75, 0.125), strict=True))


def test_a_store_of_schema_1_is_undone(program: Program) -> None:
    program.legacy("home-schema-1", "Music/Schema 1")
    (program.folder / "home-schema-1").rename(program.home)
    records = program("undo", "--json").records
    assert [record["how"] for record in records] == ["bytes"] * 2
    for path in music(program):
        require_original(program, path)
    assert not list(program.home.glob("*.damaged-*"))


def test_a_killed_run_is_cleaned_up_and_undone(program: Program) -> None:
    program.legacy("home-interrupted", "Music/Interrupted")
    (program.folder / "home-interrupted").rename(program.home)
    assert len(music(program)) == 3
    (record,) = program("undo", "--json").records
    assert (record["status"], record["how"]) == ("undone", "bytes")
    assert [path.name for path in music(program)] == ["01.mp3", "02.mp3"]
    for path in music(program):
        require_original(program, path)
    assert program("history", "--json").records[-1]["status"] == "interrupted"


def test_an_old_plan_is_applied_and_undone(program: Program) -> None:
    program.legacy("home", "Music/Planned", "plan.jsonl")
    records = program("apply", "--json", "--under", "Music", "plan.jsonl").records
    assert [record["status"] for record in records] == ["written"] * 3
    for record, genre in zip(records, ("Techno", "Techno", "By Hand"), strict=True):
        assert genres(Path(record["path"])) == [genre]
    program("undo", "-q")
    for path in music(program):
        require_original(program, path)


def test_a_file_that_was_edited_gets_its_genre_back(program: Program) -> None:
    program.legacy("home", "Music/Formats")
    song = program.folder / "Music" / "Formats" / "v23.mp3"
    set_field(song, "title", "Another title")
    how = {Path(record["path"]).name: record["how"] for record in program("undo", "--json", 1).records}
    assert how.pop("v23.mp3") == "values"
    assert set(how.values()) == {"bytes"}
    assert genres(song) == ["Jazz"]


def test_an_old_configuration_file_applies(program: Program) -> None:
    program.legacy("home")
    rows = program("config", "--all", "--json").document["options"]
    values = {f"{row['command']}.{row['option']}": row["value"] for row in rows if row["table"]}
    assert values["tag.model"] == "legacy-mlp"
    assert values["tag.exclude"] == ["*.part", "*.tmp"]
    assert {value for name, value in values.items() if name.endswith(".device")} == {"cpu"}


def test_an_old_learnt_model_tags(program: Program) -> None:
    program.legacy("home", "clips")
    clips = [f"clips/{genre}/0.mp3" for genre in GENRES]
    records = program("tag", "-n", "--json", "--model", "mine", "--existing", "replace", *clips).records
    assert [record["genres"] for record in records] == [[genre] for genre in GENRES]
    assert {record["model"] for record in records} == {"mine"}
