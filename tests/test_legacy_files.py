"""Files that earlier versions left on a user's disk: opened, continued and undone by this version.

The fixtures are those of tests/fixtures/legacy/README.md; only copies of them are used.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import struct
from pathlib import Path

import mutagen
import pytest
import torch

from command import Answer, Command
from genretag import __version__
from genretag.__main__ import run
from genretag.checkpoint import read_meta
from genretag.database import SCHEMA_VERSION
from genretag.tagging import tags
from legacy_files import DATABASE, LEGACY, MTIME, copied

GENRES = ("Classical", "Metal", "Techno")
CLIPS = ("--dataset", "folder", "--data", "clips/list.csv")
TABLE = ("--dataset", "folder", "--features", "tables/features.npz")
ON_CPU = ("--device", "cpu", "--workers", 1, "-q")
BEST_GENRE = ("--model", "models/mlp.safetensors", "--threshold", "0", "--top", "1", "--existing", "replace")
FOLDERS = ("Formats", "In place", "Separator", "Undone", "Applied", "Twice", "Planned")  # known to `home`
HISTORY = [  # run, command, model, written, undone
    (8, "tag", "legacy-mlp", 1, 0),
    (7, "tag", "legacy-mlp", 1, 0),
    (6, "apply", None, 1, 0),
    (5, "undo", None, 1, 0),
    (4, "tag", "legacy-mlp", 1, 1),
    (3, "tag", "legacy-mlp", 2, 0),
    (2, "tag", "legacy-mlp", 1, 0),
    (1, "tag", "legacy-mlp", 8, 0),
]
RECORD_KEYS = [
    *("path", "status", "genres", "previous", "scores", "model", "seconds", "error", "audio", "album")
]
UNDO_KEYS = ["path", "status", "how", "genres", "previous", "error"]
HISTORY_KEYS = [
    *("id", "command", "model", "version", "started", "finished", "status", "written", "undone", "failed")
]
EVALUATION_KEYS = [
    *(
        "model",
        "dataset",
        "split",
        "leak_free",
        "tracks_apart",
        "artists_apart",
        "track",
        "window",
        "baseline",
        "per_class",
        "confusion",
    ),
    "seconds_per_track",
]
SCORE_KEYS = ["n", "accuracy", "accuracy_ci", "macro_f1", "roc_auc", "pr_auc"]
MODEL_KEYS = ["name", "kind", "labels", "parameters", "parameters_for_labels", "trained_on", "scores"]


@pytest.fixture
def genretag(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command line in `tmp_path` with the home in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENRETAG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)

    def command(*arguments: object) -> Answer:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return command


def query(home: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(home / DATABASE)
    with connection:
        rows = connection.execute(sql, values).fetchall()
    connection.close()
    return rows


def is_original(path: Path, root: Path) -> bool:
    """Compare bytes and time of last change with those from before genretag wrote the file."""
    name = path.relative_to(root / "Music")
    original = LEGACY / "originals" / name
    if not original.exists():  # genretag did not write it, or has undone that already
        original = LEGACY / "Music" / name
    return original.read_bytes() == path.read_bytes() and path.stat().st_mtime == MTIME


def features(root: Path) -> dict[str, int]:
    """Return the cached feature files with their times of last change."""
    return {
        str(path.relative_to(root)): path.stat().st_mtime_ns
        for path in sorted((root / "home" / "features").rglob("*.npy"))
    }


# Store and journal


def test_history_lists_the_runs(genretag: Command, tmp_path: Path) -> None:
    copied(tmp_path, "home")
    answer = genretag("history", "--json")
    assert (answer.code, answer.err) == (0, "")
    columns = ("id", "command", "model", "written", "undone")
    assert [tuple(record[name] for name in columns) for record in answer.records] == HISTORY
    for record in answer.records:
        assert list(record) == HISTORY_KEYS
        assert (record["version"], record["status"], record["failed"]) == ("0.1.0", "done", 0)


def test_cached_scores_are_used(genretag: Command, tmp_path: Path) -> None:
    """Replace the cached scores by others first, which no analysis of the audio would give."""
    copied(tmp_path, "home", "Music/Formats", "models")
    query(tmp_path / "home", "UPDATE scores SET scores = ?", struct.pack("<3f", 0.125, 0.75, 0.125))
    kept = json.dumps(["decode-failed", "kept in the cache"])
    # A failure is kept for the version that saw it.
    query(tmp_path / "home", "UPDATE failures SET error = ?, version = ?", kept, __version__)
    (before,) = query(tmp_path / "home", "SELECT count(*) FROM scores")
    answer = genretag("tag", "-n", "--json", *BEST_GENRE, "Music/Formats")
    assert answer.code == 0, "failures that an earlier run saw do not count"
    statuses = [record["status"] for record in answer.records]
    assert (statuses.count("planned"), statuses.count("failed")) == (8, 3)
    for record in answer.records:
        assert list(record) == RECORD_KEYS
        if record["status"] == "failed":
            assert (record["error"]["code"], record["error"]["known"]) == ("decode-failed", True)
            assert "kept in the cache" in record["error"]["message"]
            continue
        assert (record["model"], record["seconds"], record["genres"]) == ("legacy-mlp", 0.0, ["Metal"])
        assert record["previous"] == ["Techno"]
        assert record["scores"] == dict(zip(GENRES, (0.125, 0.75, 0.125), strict=True))
    assert query(tmp_path / "home", "SELECT count(*) FROM scores") == [before]


def test_every_run_is_undone_to_the_byte(genretag: Command, tmp_path: Path) -> None:
    copied(tmp_path, "home", *(f"Music/{name}" for name in FOLDERS))
    files = [path for path in (tmp_path / "Music").rglob("*") if path.is_file()]
    earlier = genretag("undo", "--json", 7)
    assert earlier.code == 1
    (skipped,) = earlier.records
    assert (skipped["status"], skipped["error"]["code"]) == ("skipped", "changed")
    assert "written again by run 8" in skipped["error"]["message"]
    # Run 5 undid run 4; undone itself, it leaves the genre of run 4.
    (again,) = genretag("undo", "--json", 5).records
    assert (again["how"], again["genres"], again["previous"]) == ("bytes", ["Techno"], [])
    assert sum(not is_original(path, tmp_path) for path in files) == 14
    undone = set()
    for number in (8, 7, 6, 4, 3, 2, 1):
        answer = genretag("undo", "--json", number)
        assert answer.code == 0, answer.err
        for record in answer.records:
            assert list(record) == UNDO_KEYS
            assert (record["status"], record["how"], record["error"]) == ("undone", "bytes", None)
            undone.add(record["path"])
    assert len(undone) == 14
    assert all(is_original(path, tmp_path) for path in files)
    assert {path for path in (tmp_path / "Music").rglob("*") if path.is_file()} == set(files)


def test_a_file_that_changed_since_gets_its_genre_back(genretag: Command, tmp_path: Path) -> None:
    copied(tmp_path, "home", "Music/Formats")
    song = tmp_path / "Music" / "Formats" / "v23.mp3"
    file = mutagen.File(song)
    file.tags["TIT2"].text = ["Another title"]
    file.save(v2_version=3)
    answer = genretag("undo", "--json", 1)
    assert answer.code == 0
    how = {Path(record["path"]).name: record["how"] for record in answer.records}
    assert how.pop("v23.mp3") == "values"
    assert len(how) == 7
    assert set(how.values()) == {"bytes"}
    assert tags.read(song).genres == ("Jazz",)
    assert str(mutagen.File(song).tags["TIT2"]) == "Another title"


def test_the_genres_of_tagged_files_are_read() -> None:
    music = LEGACY / "Music"
    written = [
        path
        for path in (music / "Formats").iterdir()
        if (LEGACY / "originals" / "Formats" / path.name).exists()
    ]
    assert len(written) == 8
    assert {tags.read(path).genres for path in written} == {("Techno",)}
    for path in (music / "Separator").iterdir():
        assert tags.read(path).genres == ("Techno; Classical; Metal",)
    assert tags.read(music / "Twice" / "song.flac").genres == ("Techno", "Classical")
    assert mutagen.File(music / "Formats" / "v23.mp3").tags.version == (2, 3, 0)
    assert mutagen.File(music / "Formats" / "v24.mp3").tags.version == (2, 4, 0)
    assert "TXXX:GENRETAG" in mutagen.File(music / "Applied" / "song.mp3").tags


def test_a_killed_run_is_settled(genretag: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(tmp_path, "home-interrupted", "Music/Interrupted")
    monkeypatch.setenv("GENRETAG_HOME", str(tmp_path / "home-interrupted"))
    folder = tmp_path / "Music" / "Interrupted"
    first, second = folder / "01.mp3", folder / "02.mp3"
    assert len(list(folder.iterdir())) == 3
    answer = genretag("undo", "--json")
    assert answer.code == 0
    assert "run 1 was interrupted" in answer.err
    assert f"{second}: was left as it was" in answer.err
    (record,) = answer.records
    assert (record["path"], record["status"], record["how"]) == (str(first), "undone", "bytes")
    assert is_original(first, tmp_path)
    assert is_original(second, tmp_path)
    assert sorted(folder.iterdir()) == [first, second]
    assert genretag("history", "--json").records[-1]["status"] == "interrupted"


def test_a_store_of_schema_1_is_upgraded_and_its_run_undone(
    genretag: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home-schema-1"
    copied(tmp_path, home.name, "Music/Schema 1", "models")
    monkeypatch.setenv("GENRETAG_HOME", str(home))
    assert query(home, "PRAGMA user_version") == [(1,)]
    known = genretag("tag", "-n", "--json", *BEST_GENRE, "Music/Schema 1")
    assert [(record["status"], record["seconds"]) for record in known.records] == [("unchanged", 0.0)] * 2
    assert query(home, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    answer = genretag("undo", "--json")
    assert answer.code == 0
    assert [record["how"] for record in answer.records] == ["bytes"] * 2
    assert all(is_original(path, tmp_path) for path in (tmp_path / "Music" / "Schema 1").iterdir())
    assert not list(home.glob("*.damaged-*"))


def test_a_plan_is_applied_and_undone(genretag: Command, tmp_path: Path) -> None:
    copied(tmp_path, "home", "Music/Planned", "plan.jsonl")
    planned = [json.loads(line) for line in Path("plan.jsonl").read_text().splitlines()]
    assert [record["status"] for record in planned] == ["planned", "planned", "unsure"]
    assert [record["album"] is None for record in planned] == [False, False, True]
    answer = genretag("apply", "--json", "--under", "Music", "plan.jsonl")
    assert answer.code == 0
    assert [record["status"] for record in answer.records] == ["written"] * 3
    for record, genre in zip(answer.records, ("Techno", "Techno", "By Hand"), strict=True):
        assert list(record) == RECORD_KEYS
        assert tags.read(Path(record["path"])).genres == (genre,)
    assert genretag("undo", "-q").code == 0
    assert all(is_original(path, tmp_path) for path in (tmp_path / "Music" / "Planned").iterdir())


# Models


def test_models_of_the_home_are_listed(genretag: Command, tmp_path: Path) -> None:
    copied(tmp_path, "home", "models")
    rows = {row["name"]: row for row in json.loads(genretag("models", "--json").out)}
    assert all(list(row) == MODEL_KEYS for row in rows.values())
    assert rows["mine"]["kind"] == "weights"
    assert rows["mine"]["trained_on"] == "18 files of clips (Classical, Metal, Techno)"
    about = json.loads(genretag("models", "--json", "models/probe.safetensors").out)
    assert list(about)[: len(MODEL_KEYS)] == MODEL_KEYS
    assert (about["name"], about["preset"], about["labels"]) == ("legacy-probe", "probe", list(GENRES))


def test_a_learnt_model_tags_and_its_features_are_found_again(genretag: Command, tmp_path: Path) -> None:
    copied(tmp_path, "home", "clips")
    clips = [f"clips/{genre}/0.mp3" for genre in GENRES]
    answer = genretag("tag", "-n", "--json", "--model", "mine", "--existing", "replace", *ON_CPU, *clips)
    assert answer.code == 0, answer.err
    assert [record["model"] for record in answer.records] == ["mine"] * 3
    assert [record["genres"] for record in answer.records] == [[genre] for genre in GENRES]
    before = features(tmp_path)
    assert len(before) == 4 * 18
    learnt = genretag("learn", "clips", "--no-default", "--json", "--workers", 1, "-q")
    assert learnt.code == 0, learnt.err
    assert json.loads(learnt.out)["files"] == dict.fromkeys(GENRES, 6)
    after = features(tmp_path)
    assert before.items() <= after.items(), "cached features were computed again"
    # The front end of this version makes other embeddings of the 18 clips.
    assert len(after) == len(before) + 18


@pytest.mark.parametrize("name", ["mlp", "gru", "cnn", "probe", "svm", "handcrafted"])
def test_a_checkpoint_is_evaluated(genretag: Command, tmp_path: Path, name: str) -> None:
    on_table = name in ("svm", "handcrafted")
    copied(tmp_path, "tables" if on_table else "clips", "models")
    source = TABLE if on_table else (*CLIPS, "--workers", 1)
    checkpoint = f"models/{name}.safetensors"
    answer = genretag("eval", "--model", checkpoint, *source, "--device", "cpu", "--json", "-q")
    assert answer.code == 0, answer.err
    (evaluation,) = answer.records
    assert list(evaluation) == EVALUATION_KEYS
    assert list(evaluation["track"]) == SCORE_KEYS
    assert evaluation["model"] == f"legacy-{name}"
    # The split is recognised as the one of the training.
    assert (evaluation["split"], evaluation["leak_free"]) == (
        "artist test" if on_table else "official test",
        True,
    )
    assert evaluation["track"]["n"] == (3 if on_table else 6)
    assert list(evaluation["per_class"]) == list(GENRES)
    if name in ("mlp", "probe", "svm"):
        assert evaluation["track"]["accuracy"] == 1.0


# Training


def test_a_stopped_training_is_resumed(genretag: Command, tmp_path: Path) -> None:
    copied(tmp_path, "home", "clips", "run")
    before, rows = features(tmp_path), (tmp_path / "run" / "history.csv").read_text()
    assert rows.count("\n") == 3
    changed = ("--model", "mlp", "--set", "hidden=[2]", "--epochs", 5, "--batch-size", 3, "--lr", "0.01")
    answer = genretag(
        *("train", *CLIPS, *changed, "--out", "run", "--device", "cpu", "--workers", 1, "--resume")
    )
    assert answer.code == 0, answer.err
    assert "resumed after epoch 2 of 5" in answer.err
    after = (tmp_path / "run" / "history.csv").read_text()
    assert after.startswith(rows)
    assert [row["epoch"] for row in csv.DictReader(after.splitlines())] == list("12345")
    meta = read_meta(tmp_path / "run" / "checkpoint.safetensors")
    assert meta.extra["ended"] == "epochs"
    assert meta.labels.names == GENRES
    assert (tmp_path / "run" / "evaluation.json").exists()
    kept = features(tmp_path)
    assert before.items() <= kept.items(), "cached features were computed again"
    # The search for copies of a recording embeds the 18 clips.
    assert len(kept) == len(before) + 18


def test_a_study_is_continued(genretag: Command, tmp_path: Path) -> None:
    copied(tmp_path, "home", "clips", "models", "study")
    before, table = features(tmp_path), (tmp_path / "study" / "trials.csv").read_text()
    probe = ("--model", "probe", "--init", "models/mlp.safetensors", "--trials", 4)
    answer = genretag("tune", *CLIPS, *probe, "--out", "study", *ON_CPU, "--resume")
    assert answer.code == 0, answer.err
    trials = (tmp_path / "study" / "trials.csv").read_text()
    assert trials.startswith(table)
    assert [row["state"] for row in csv.DictReader(trials.splitlines())] == ["complete"] * 4
    meta = read_meta(tmp_path / "study" / "checkpoint.safetensors")
    assert meta.extra["tuning"]["trials"] == {"complete": 4}
    after = features(tmp_path)
    assert before.items() <= after.items(), "cached features were computed again"
    # The front end of new probes has another version, and the search for copies embeds the clips too.
    assert len(after) == len(before) + 2 * 18


# Configuration


def test_a_configuration_file_applies_and_can_be_changed(genretag: Command, tmp_path: Path) -> None:
    copied(tmp_path, "home")

    def value(command: str, option: str) -> object:
        rows = json.loads(genretag("config", "--all", "--json").out)["options"]
        (row,) = [row for row in rows if (row["command"], row["option"]) == (command, option)]
        assert row["source"].startswith(str(Path(os.environ["GENRETAG_HOME"], "config.toml")))
        return row["value"]

    assert value("tag", "model") == "legacy-mlp"
    assert value("tag", "exclude") == ["*.part", "*.tmp"]
    assert value("train", "device") == "cpu"
    assert genretag("config", "set", "tag.model", "mine").code == 0
    assert value("tag", "model") == "mine"
    assert value("tag", "exclude") == ["*.part", "*.tmp"]
