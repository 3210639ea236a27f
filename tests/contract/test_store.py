"""The database, what identifies recordings and models in it, and names in the home and beside music."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.contract.library import Library
from tests.contract.program import Program
from tests.contract.recorded import recorded, require_recorded

SCHEMA_VERSION = 3
# Two runs of the library that wrote and two that undid them; tests of errors add others.
RUNS = "run_id <= 4"
# Recordings whose scores by shipped models are recorded; an update must not analyse a library again.
CLIPS = ("clips/Classical/0.mp3", "clips/Metal/0.mp3", "clips/Techno/0.mp3")
TOLERANCE = 2e-3


def schema(database: Path) -> dict[str, Any]:
    """Return the columns of each table in order, and the statement of each index."""
    with closing(sqlite3.connect(database)) as connection:
        found: dict[str, Any] = {}
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
            if kind == "table":
                columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
                found[name] = [_column(*column) for column in columns]
            elif sql is not None:  # None for indices that SQLite makes itself
                found[name] = " ".join(sql.split())
        return found


def _column(_: int, name: str, kind: str, required: int, default: str | None, key: int) -> str:
    facts = (f"{name} {kind}", "NOT NULL" * required, f"DEFAULT {default}" * (default is not None))
    return " ".join(filter(None, (*facts, f"KEY {key}" * (key > 0))))


def test_tables_and_columns_are_those_recorded(library: Library) -> None:
    require_recorded("schema", f"schema {SCHEMA_VERSION}", schema(library.program.database))
    assert library.query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert library.query("PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize("home", ["home", "home-schema-1"])
def test_a_store_of_an_earlier_version_gets_the_same_tables(program: Program, home: str) -> None:
    program.legacy(home)
    if home != "home":
        (program.folder / home).rename(program.home)
    program("history")
    require_recorded("schema", f"schema {SCHEMA_VERSION}", schema(program.database))


def test_recordings_have_the_identity_that_stores_know(library: Library) -> None:
    """The `audio` of a record names a recording in the cache and in plans, whatever its tags are.

    Encoders of other versions make other files, so only recorded files count.
    """
    records = library.answers["tag -n"].records + library.answers["tag"].records
    found = {record["path"]: record["audio"] for record in records}
    made_here = {path for path in found if "/Bad/" in path or path.endswith((".wma", ".wv"))}
    require_recorded("identities", "audio", {path: found[path] for path in set(found) - made_here})


def test_journal_rows(library: Library) -> None:
    """What undo and recovery read: old tags, deltas, names of copies and locks, write scopes."""
    keys: dict[str, dict[str, list[str]]] = {}
    for format_, old, delta in library.query(
        f"SELECT format, old_raw, delta FROM writes WHERE undoes IS NULL AND {RUNS}"
    ):
        raw = json.loads(old)
        assert set(raw) == {"format", "tags"}
        assert raw["format"] == format_
        for tag, content in raw["tags"].items():
            known = keys.setdefault(format_, {}).setdefault(tag, [])
            known += sorted(set(content if isinstance(content, dict) else {}) - set(known))
        assert delta[:4] == b"gd1x"
    require_recorded("schema", "old_raw", keys)
    for path, temp in library.query(f"SELECT path, temp FROM writes WHERE {RUNS}"):
        folder, name = os.path.split(temp)
        assert folder == os.path.dirname(path)
        assert re.fullmatch(rb"\.genretag-[0-9a-f]{16}\.\w+", name)
        assert os.path.splitext(temp)[1] == os.path.splitext(path)[1]
    states = library.query(
        f"SELECT DISTINCT state, how, in_place, code FROM writes WHERE {RUNS} ORDER BY 1, 2"
    )
    assert states == [("done", None, 0, None), ("done", "bytes", 0, None)]
    for (lock,) in library.query("SELECT lock FROM runs"):
        assert re.fullmatch(r"[0-9a-f]{32}\.lock", lock)
    root = str(library.program.folder.resolve())
    scopes = [
        json.loads(text) for (text,) in library.query("SELECT places FROM runs WHERE id < 3 ORDER BY id")
    ]
    assert [sorted(one) for one in scopes] == [
        [[f"{root}/Music/Album", "files"], [f"{root}/Music/Formats", "files"]],
        [[f"{root}/Music", "all"]],
    ]


def test_names_in_the_home(library: Library) -> None:
    assert sorted(path.name for path in library.program.home.iterdir()) == [
        "genretag.sqlite3",
        "open.lock",
        "runs",
    ]
    assert not list(library.program.folder.rglob(".genretag-*"))


def test_without_a_variable_the_home_is_in_the_folders_of_the_user(program: Program) -> None:
    del program.environment["GENRETAG_HOME"]
    user = program.folder / "user"
    program("history")
    assert (user / ".local/share/genretag/genretag.sqlite3").is_file()
    assert program("config", "--path").out == f"{user / '.config/genretag/config.toml'}\n"
    program.legacy("models/svm.safetensors")
    models = user / ".local/share/genretag/models"
    models.mkdir()
    (program.folder / "models/svm.safetensors").rename(models / "own name.safetensors")
    assert program("models", "own name", "--json").document["preset"] == "svm"


@pytest.mark.parametrize("model", ["auto", "vgg-mtt"])
def test_scores_and_their_keys_in_the_cache(program: Program, model: str) -> None:
    """A library that was analysed by an earlier version is not analysed again, and scores stay the same."""
    program.legacy("clips")
    answer = program("tag", "-n", "--json", "--model", model, "--workers", 1, *CLIPS)
    with closing(sqlite3.connect(program.database)) as connection:
        for table, hash_ in (("scores", "model_hash"), ("encodings", "encoder_hash")):
            rows = connection.execute(
                f"SELECT audio_id, {hash_}, coverage, n_windows FROM {table} ORDER BY audio_id"
            )
            require_recorded("identities", f"{model}: {table}", rows.fetchall())
    (record,) = [record for record in answer.records if record["path"] == CLIPS[1]]
    require_scores(model, record["scores"])


def require_scores(model: str, found: dict[str, float]) -> None:
    """Compare scores with those recorded; other builds of the libraries change them a little."""
    known = recorded("scores").get(model, {})
    if known.keys() == found.keys() and found == pytest.approx(known, abs=TOLERANCE):
        return
    require_recorded("scores", model, found)
