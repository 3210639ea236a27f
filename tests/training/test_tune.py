"""The best options by Hyperband: what is kept, what goes on after a kill, and several processes at work."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from artists import songs

from command import start
from genretag import checkpoint as checkpoints
from genretag.errors import TrainingError
from genretag.models.presets import PRESETS
from genretag.predict.engine import EngineOptions
from genretag.training.history import EpochScores, Nobody
from genretag.training.options import TrainOptions
from genretag.training.train import train
from genretag.training.tune import TRIALS, Tuning, _Judge, _Study, tune

ENGINE = EngineOptions(device="cpu", workers=1, coverage="full")


class News(Nobody):
    """A watcher that remembers what it is told, and may end the work after an epoch of a trial."""

    def __init__(self, trial: int = 0, epoch: int = 0) -> None:
        self.lines: list[str] = []
        self.end = (trial, epoch)
        self.trial = 0

    def news(self, line: str) -> None:
        self.lines.append(line)
        self.trial += line.startswith("trial") and ":" in line and " on valid" not in line

    def warns(self, line: str) -> None:
        self.lines.append(line)

    def epoch_done(self, scores: EpochScores, kind: object, best: bool) -> None:
        if (self.trial, scores.epoch) == self.end:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks this small lose more by threads than they gain."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def options(tmp_path: Path, model: str = "handcrafted", **more: Any) -> TrainOptions:
    listed, features = songs(tmp_path / "songs", signal=6.0)
    given = {"data": listed, "features": features, "out": tmp_path / "study", "epochs": 4}
    return TrainOptions("folder", model, device="cpu", quiet=True, **(given | more))


def rows(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "study" / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def done(tuning: Tuning | None) -> Tuning:
    assert tuning is not None
    return tuning


def test_the_best_trial_becomes_a_checkpoint_like_any_other(tmp_path: Path) -> None:
    tuning = done(tune(options(tmp_path, "svm", epochs=None), 4, ENGINE))
    assert len(tuning.trials) == 4
    assert len({tuple(trial.values.items()) for trial in tuning.trials}) == 4
    assert tuning.best.score == max(trial.score or 0 for trial in tuning.trials)
    meta = checkpoints.read_meta(tmp_path / "study" / "checkpoint.safetensors")
    assert meta.name == "folder-svm-0-tuned"
    assert meta.scores["accuracy"] == tuning.best.score
    assert meta.extra["tuning"] == {
        "trials": {"complete": 4},
        "values": dict(tuning.best.values),
        "trial": tuning.best.number,
    }
    assert meta.extra["recipe"]["c"] == tuning.best.values["c"]
    found = tuning.measurement.evaluation
    assert found.split == "official test"
    assert found.leak_free
    assert (tmp_path / "study" / "report.md").is_file()
    assert [row["state"] for row in rows(tmp_path)] == ["complete"] * 4


def test_a_trial_does_not_look_at_the_test_part(tmp_path: Path) -> None:
    result = train(options(tmp_path, "svm", epochs=None, measure="valid", report=False))
    assert result is not None
    assert result.evaluation.split == "official valid"
    assert not (tmp_path / "study" / "report.md").exists()


def test_what_was_interrupted_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune(options(tmp_path), 3, ENGINE, News(trial=2, epoch=2))
    with pytest.raises(TrainingError, match="holds a study; go on with --resume"):
        tune(options(tmp_path), 3, ENGINE)
    with pytest.raises(TrainingError, match="started with --epochs 4, not 5"):
        tune(options(tmp_path, resume=True, epochs=5), 3, ENGINE)
    news = News()
    tuning = done(tune(options(tmp_path, resume=True), 3, ENGINE, news))
    assert any(line.startswith("resumed after epoch 2 of 4") for line in news.lines)
    assert len(tuning.trials) == 3
    assert sorted(path.name for path in (tmp_path / "study" / TRIALS).iterdir() if path.is_dir()) == [
        "000",
        "001",
        "003",
    ]
    # The whole is what it would have been without the interruption.
    (tmp_path / "whole").mkdir()
    whole = done(tune(options(tmp_path, out=tmp_path / "whole"), 2, ENGINE))
    assert [trial.values for trial in whole.trials] == [trial.values for trial in tuning.trials[:2]]
    assert whole.trials[1].score == tuning.trials[1].score


def test_processes_share_a_study_and_a_killed_one_is_replaced(tmp_path: Path) -> None:
    asked = options(tmp_path, epochs=12, resume=True)
    given = ("--data", asked.data, "--features", asked.features, "--out", asked.out, "--device", "cpu")
    arguments = (
        "tune",
        "--dataset",
        "folder",
        "--model",
        "handcrafted",
        *given,
        "--trials",
        4,
        "--epochs",
        12,
    )
    states = f"{TRIALS}/*/state.safetensors"
    killed = start(*arguments)
    until(killed, lambda: any(asked.folder.glob(states)))
    killed.kill()
    killed.communicate()
    begun = set(asked.folder.glob(states))
    other = start(*arguments, "--resume")
    until(other, lambda: other.poll() is not None or set(asked.folder.glob(states)) > begun)
    tune(asked, 4, ENGINE)
    _, err = other.communicate(timeout=120)
    assert other.returncode == 0, err
    assert len(rows(tmp_path)) == 4
    assert "running" not in {row["state"] for row in rows(tmp_path)}
    assert (asked.folder / "report.md").is_file()


def test_a_trial_that_is_finished_while_others_look_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list of trials at work and the lock of one of them, its process may end it."""
    (tmp_path / "study").mkdir()
    work = _Study(options(tmp_path), 3, Nobody(), None, None)
    trial = work.study.ask()
    listed = work.study.get_trials()
    listings = iter([listed])
    real = work.study.get_trials
    monkeypatch.setattr(work.study, "get_trials", lambda **asked: next(listings, None) or real(**asked))
    work.study.tell(trial, 0.5)
    work._take_up_the_killed()
    assert [one.state.name for one in real()] == ["COMPLETE"]


def until(process: subprocess.Popen[str], happens: Callable[[], bool]) -> None:
    """Wait for something that a process does; it must not end before."""
    limit = time.monotonic() + 120
    while not happens():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_a_space_in_which_nothing_can_be_trained_is_one_line(tmp_path: Path) -> None:
    news = News()
    with pytest.raises(TrainingError, match=r"none of 2 trials was finished \(.*has no option"):
        tune(options(tmp_path, values={"hidden": 3}), 2, ENGINE, news)
    assert sum("failed" in line for line in news.lines) == 2


def test_what_needs_no_search_or_cannot_have_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, preset in PRESETS.items():
        if not preset.search:
            with pytest.raises(TrainingError, match="has no search space"):
                tune(options(tmp_path, name), 2, ENGINE)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(TrainingError, match=r"install the extra: pip install '\.\[tune\]'"):
        tune(options(tmp_path), 2, ENGINE)
    assert not (tmp_path / "study").exists()


def test_trials_that_others_are_far_ahead_of_are_ended_before_their_last_epoch() -> None:
    epochs = 9
    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3),
    )
    ended = []
    for number in range(20):
        trial = study.ask()
        judge = _Judge(Nobody(), trial, epochs, optuna.TrialPruned)
        score = 1.0 - number / 20  # every trial is worse than the one before
        try:
            for epoch in range(1, epochs + 1):
                judge.epoch_done(EpochScores(epoch, 1.0, 1.0, score, 0.1, 1.0), "single", best=epoch == 1)
            study.tell(trial, score)
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            ended.append(judge.epoch)
    assert len(ended) >= 5
    assert max(ended) < epochs
