"""Where a search keeps its trials: journals and databases that processes share, and what is refused."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from artists import songs

from command import start
from genretag.errors import TrainingError
from genretag.predict.engine import EngineOptions
from genretag.training.options import TrainOptions
from genretag.training.studies import TOKEN, open_study
from genretag.training.tune import TRIALS, tune


def opened(folder: Path, storage: str | None, name: str | None = None, *, resume: bool = False) -> Any:
    folder.mkdir(exist_ok=True)
    sampler, pruner = optuna.samplers.RandomSampler(0), optuna.pruners.NopPruner()
    return open_study(folder, storage, name, resume=resume, sampler=sampler, pruner=pruner)


@pytest.fixture(params=["journal", "database"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "all.log") if request.param == "journal" else f"sqlite:///{tmp_path / 'all.db'}"


def test_studies_of_one_storage_are_apart(tmp_path: Path, storage: str) -> None:
    one, other = opened(tmp_path / "one", storage), opened(tmp_path / "other", storage, "mine")
    one.tell(one.ask(), 0.5)
    assert (one.study_name, other.study_name) == ("one", "mine")
    assert len(opened(tmp_path / "one", storage, resume=True).trials) == 1
    assert len(opened(tmp_path / "other", storage, "mine", resume=True).trials) == 0
    with pytest.raises(
        TrainingError, match="holds a study one; go on with --resume, or give another --study"
    ):
        opened(tmp_path / "one", storage)


def test_trials_of_a_study_lie_in_one_folder(tmp_path: Path, storage: str) -> None:
    opened(tmp_path / "one", storage, "mine")
    with pytest.raises(TrainingError, match=r"trials of study mine lie in \S+/one, not in \S+/other"):
        opened(tmp_path / "other", storage, "mine", resume=True)
    with pytest.raises(TrainingError, match="holds study mine of a --storage; give another --out"):
        opened(tmp_path / "one", storage, "yours")
    with pytest.raises(TrainingError, match="holds study mine of a --storage"):
        opened(tmp_path / "one", None)
    opened(tmp_path / "third", None)
    with pytest.raises(TrainingError, match="holds a study of its own"):
        opened(tmp_path / "third", storage, "mine")
    (tmp_path / "one" / TOKEN).write_text("[")
    with pytest.raises(TrainingError, match="cannot be read"):
        opened(tmp_path / "one", storage, "mine", resume=True)


def test_what_cannot_be_a_storage_is_one_line_without_its_password(tmp_path: Path) -> None:
    for where in (
        "nothing://me:secret@nowhere/db",
        "postgresql://me:secret@localhost:1/db",
        f"{tmp_path}/no/x",
    ):
        with pytest.raises(TrainingError, match="cannot be used as --storage") as caught:
            opened(tmp_path / "study", where)
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_processes_share_a_journal_and_a_killed_one_holds_nothing_up(tmp_path: Path) -> None:
    """One is killed in its first trial, which another takes up; two then share what is left."""
    listed, features = songs(tmp_path / "songs", signal=6.0)
    out, journal = tmp_path / "study", tmp_path / "study.log"
    arguments = [
        "tune",
        "--dataset",
        "folder",
        "--model",
        "handcrafted",
        "--data",
        listed,
        "--features",
        features,
    ]
    arguments += [
        "--out",
        out,
        "--device",
        "cpu",
        "--trials",
        4,
        "--epochs",
        6,
        "--storage",
        journal,
        "--resume",
    ]
    killed = start(*arguments)
    limit = time.monotonic() + 60
    while not any(out.glob(f"{TRIALS}/*/state.safetensors")):
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    other = start(*arguments)
    options = TrainOptions("folder", "handcrafted", listed, out, features=features, device="cpu", quiet=True)
    engine = EngineOptions(device="cpu", workers=1, coverage="full")
    tune(TrainOptions(**{**vars(options), "epochs": 6, "resume": True}), 4, engine, storage=str(journal))
    _, err = other.communicate(timeout=60)
    assert other.returncode == 0, err
    with (out / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert {row["state"] for row in rows} <= {"complete", "pruned"}
    names = ("trial", "state", "epochs", "valid_score", "error")
    values = [tuple(value for name, value in row.items() if name not in names) for row in rows]
    assert len(set(values)) == 4
    everything = opened(out, str(journal), resume=True).trials
    states = [trial.state.name for trial in everything]
    assert states.count("FAIL") == 1  # the killed one, with whose values another went on
    given_up = everything[states.index("FAIL")]
    assert [trial.params for trial in everything].count(given_up.params) == 2
    assert (out / "report.md").is_file()
