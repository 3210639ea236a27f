"""Keys and types of JSON on standard output, of plans and of tables."""

from __future__ import annotations

import json
from collections.abc import Collection

import mutagen
import pytest

from tests.contract.library import DECIDE, MODEL, Library
from tests.contract.program import Program
from tests.contract.recorded import require_recorded
from tests.contract.shapes import shape

# Commands that change no file of the library, with the paths of objects whose keys depend on the data.
READING: dict[tuple[object, ...], tuple[str, ...]] = {
    ("report", "--json", *MODEL, "Music"): ("genres.finer",),
    ("map", "init", "--json", *MODEL, "Music"): ("genres.spellings", "map.rename", "suggested"),
    ("inspect", "--json", *MODEL, "Music/Album/01.mp3"): ("scores",),
    ("datasets", "--json"): ("variants",),
    ("datasets", "folder", "--data", "clips/list.csv", "--json"): ("variants", "copy.labels", "copy.splits"),
    ("doctor", "--json"): (),
}
CSV = "path,hearing,heard,guess,score,genres,before,seconds,album,error"


def require_records(library: Library, *names: str, free: Collection[str] = ()) -> None:
    """Compare the records of some answers of the library, taken together."""
    records = [record for name in names for record in library.answers[name].records]
    assert records
    require_recorded("records", ", ".join(names), shape(records, free))


def test_records_of_tag(library: Library) -> None:
    names = [name for name in library.answers if name.startswith("tag") and name != "tag --plan"]
    require_records(library, *names, free=["scores"])
    records = [record for name in names for record in library.answers[name].records]
    assert {record["status"] for record in records} == {
        *("written", "planned", "unchanged", "unsure", "failed")
    }
    keys = ["path", "status", "genres", "previous", "scores", "model", "seconds", "error", "audio", "album"]
    assert all(list(record) == keys for record in records)


def test_lines_of_a_plan(library: Library) -> None:
    lines = (library.program.folder / "plan.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    require_recorded("records", "plan", shape(records, ["scores"]))
    assert {record["status"] for record in records} == {"planned", "kept"}
    assert {record["path"].rpartition("/")[0] for record in records} == {"Music/Album", "Music/Formats"}


def test_records_of_apply_undo_and_history(library: Library) -> None:
    require_records(library, "apply", free=["scores"])
    require_records(library, "undo 2", "undo 1")
    require_records(library, "history")
    undone = [record for name in ("undo 1", "undo 2") for record in library.answers[name].records]
    assert {record["status"] for record in undone} == {"undone", "skipped"}
    assert {record["how"] for record in undone} == {"bytes", None}
    history = library.answers["history"].records
    assert [(run["id"], run["command"], run["status"]) for run in history] == [
        (2, "tag", "done"),
        (1, "apply", "done"),
    ]


@pytest.mark.parametrize("line", READING, ids=lambda line: " ".join(map(str, line[:2])))
def test_documents_of_commands_that_change_nothing(library: Library, line: tuple[object, ...]) -> None:
    document = library.program(*line).document
    documents = document if isinstance(document, list) else [document]
    require_recorded("records", " ".join(map(str, line)), shape(documents, READING[line]))


def test_documents_of_commands_that_report_faults(library: Library) -> None:
    program = library.program
    program.file("taste.toml", 'drop = ["Jazz"]\nallow = ["Jass"]\n[rename]\nTechno = "Dance"\n')
    (program.folder / "empty folder").mkdir(exist_ok=True)
    for name, free, *line in (
        ("map check", (), "map", "check", "taste.toml", "Music", "--json", *MODEL),
        ("inspect", (), "inspect", "--json", *MODEL, "Music/Bad/text.mp3"),
        ("datasets --verify", (), "datasets", "gtzan", "--verify", "empty folder", "--json"),
    ):
        answer = program(*line, code=1)
        require_recorded("records", f"{name}, exit code 1", shape([answer.document], free))


def test_the_table_of_report(library: Library) -> None:
    answer = library.program("report", *MODEL, "--csv", "-", "Music/Formats")
    head, *rows = answer.out.splitlines()
    assert head == CSV
    assert len(rows) == 11


def test_playlists_and_their_records(library: Library) -> None:
    """A playlist of an earlier version is written anew, one without its mark never."""
    program = library.program
    own = program.file("lists/Folk.m3u8", "#EXTM3U\n#PLAYLIST:Folk\n# made by genretag\n")
    answer = program("playlists", "--json", "lists", "Music/Formats")
    require_recorded("records", "playlists --json", shape(answer.document))
    text = own.read_text(encoding="utf-8")
    assert text.startswith("#EXTM3U\n#PLAYLIST:Folk\n# made by genretag\n#EXTINF:")
    assert text.endswith("\n../Music/Formats/v24.mp3\n")
    other = program.file("other/Folk.m3u8", "#EXTM3U\n")
    program("playlists", "other", "Music/Formats", code=2)
    assert other.read_text() == "#EXTM3U\n"


def test_the_provenance_field_and_the_reason(program: Program) -> None:
    """A record has a reason only if a learnt model left the decision to another one."""
    song = program.sound("song.flac")
    line = {"path": "song.flac", "genres": ["Rock"], "model": "a model", "scores": {"rock": 0.5, "pop": 0.1}}
    lines = json.dumps(line | {"reason": "auto"})
    (record,) = program("apply", "--json", "--provenance", "-", text=lines).records
    assert list(record)[-2:] == ["album", "reason"]
    assert record["reason"] == "auto"
    (note,) = mutagen.File(song)["GENRETAG"]
    note = json.loads(note)
    require_recorded("records", "GENRETAG field", shape([note], ["scores"]))
    assert (note["model"], note["scores"]["rock"]) == ("a model", 0.5)


def test_a_map_is_written_and_applied(library: Library) -> None:
    """Keys of a map: allow, broaden, rename, drop, parents."""
    program = library.program
    assert "\nallow = [" in program("map", "init", *MODEL, "Music").out
    program.file(
        "dance.toml",
        'allow = ["Dance", "Electronic"]\ndrop = ["Rock"]\nbroaden = false\n'
        '[rename]\nTechno = "Dance"\n[parents]\nDance = ["Electronic"]\n',
    )
    tag = ("tag", "-n", "--json", "--existing", "replace", *DECIDE, "--map", "dance.toml")
    (record,) = program(*tag, "--top", 2, "Music/Album/01.mp3").records
    assert record["genres"] == ["Dance", "Electronic"]
    program.file("dance.toml", 'alow = ["Dance"]\n')
    answer = program(*tag, "Music/Album/01.mp3", code=2)
    assert answer.err == "genretag: dance.toml: unknown entry 'alow'; did you mean 'allow'?\n"
