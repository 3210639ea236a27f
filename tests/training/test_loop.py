"""The training loop on small separable data: it learns, stops, resumes to the bit and ends politely."""

from __future__ import annotations

import csv
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_examples import GENRES, TAGS, parts, small
from torch import nn

from genretag.errors import TrainingError
from genretag.labels import Kind, LabelSet
from genretag.models.presets import PRESETS
from genretag.models.records import Recipe
from genretag.models.registry import build
from genretag.models.standardise import measure
from genretag.training.batches import truth_of
from genretag.training.distributed import World
from genretag.training.examples import Parts
from genretag.training.forward import mean_loss, track_scores
from genretag.training.history import EpochScores, History, Nobody
from genretag.training.loop import STATE, LoopSettings, fit_network

CPU = World(torch.device("cpu"))
RECIPE = Recipe("adam", 1e-2, batch_size=16, epochs=8)
EVERYTHING = {
    "spec-augment": {"frequency": 2, "time": 2},
    "mixup": {},
    "random-crop": {},
    "feature-noise": {},
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def fit(
    network: nn.Module, data: Parts, recipe: Recipe = RECIPE, watcher: Nobody | None = None, **more: Any
) -> History:
    measure(network, [torch.from_numpy(data.train.windows.gather(np.arange(len(data.train.windows))))])
    return fit_network(network, data, recipe, LoopSettings(CPU, **more), watcher)


def known(history: History, score: str) -> list[float]:
    """A score of every epoch."""
    return [float(getattr(epoch, score)) for epoch in history.epochs]


def weights(network: nn.Module) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in network.state_dict().values())


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("labels", [GENRES, TAGS], ids=["single", "multi"])
def test_it_learns(optimiser: str, labels: Any) -> None:
    recipe = replace(RECIPE, optimiser=optimiser, schedule="cyclic", clip=5.0, learning_rate=2e-2)  # type: ignore[arg-type]
    history = fit(small(), parts(labels), recipe)
    first, last = history.epochs[0], history.epochs[-1]
    assert len(history.epochs) == 8
    assert history.ended == "epochs"
    assert last.train_loss < first.train_loss
    best = history.best_epoch
    assert best is not None
    assert best.valid_score is not None
    assert best.valid_score > 0.8
    assert best.calibrated_loss == min(known(history, "calibrated_loss"))


@pytest.mark.parametrize(
    "changes", [{}, {"class_weights": True, "augmentation": EVERYTHING}], ids=["plain", "all"]
)
def test_one_seed_one_result(changes: dict[str, Any]) -> None:
    recipe = replace(RECIPE, epochs=3, **changes)
    results = []
    for seed in (3, 3, 4):
        network = small()
        fit(network, parts(), recipe, seed=seed, step_frames=3)
        results.append(weights(network))
        torch.rand(5)  # what others draw must not matter
    assert results[0] == results[1]
    assert results[0] != results[2]


@pytest.mark.parametrize("labels", [GENRES, TAGS], ids=["single", "multi"])
@pytest.mark.parametrize("name", [name for name, one in PRESETS.items() if one.fit == "gradient"])
def test_every_preset_takes_a_step(name: str, labels: LabelSet) -> None:
    """All of its layers learn, with its own recipe, and what it says of the valid part are numbers."""
    one = PRESETS[name]
    data = parts(labels, windows=1, shape=one.features.shape, sizes={"train": 3, "valid": 1, "test": 1})
    torch.manual_seed(0)
    network = build(name, {}, len(labels))
    before = {key: parameter.detach().clone() for key, parameter in network.named_parameters()}
    assert isinstance(one.recipe, Recipe)
    history = fit(network, data, replace(one.recipe, epochs=1, batch_size=3))
    still = [key for key, parameter in network.named_parameters() if torch.equal(parameter, before[key])]
    # Of the reverse direction the last step has read one frame only, as published.
    assert set(still) <= {"cells.weight_hh_l1_reverse"} if name == "bilstm" else not still
    assert np.isfinite(known(history, "valid_loss")).all()


def test_the_callers_random_numbers_are_left_alone() -> None:
    network, data = small(), parts()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    fit(network, data, replace(RECIPE, epochs=1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


def test_patience_ends_it_and_the_best_weights_stay() -> None:
    network, data = small(), parts(noise=3.0)
    seen: list[bytes] = []

    class Keeping(Nobody):
        def epoch_done(self, scores: EpochScores, kind: Kind, best: bool) -> None:
            if best:
                seen.append(weights(network))

    history = fit(network, data, replace(RECIPE, epochs=60, learning_rate=0.05, patience=4), Keeping())
    assert history.ended == "patience"
    assert len(history.epochs) == history.best + 4
    assert weights(network) == seen[-1]


@pytest.mark.parametrize("monitor", ["calibrated", "loss", "score"])
def test_what_the_best_epoch_has(monitor: str) -> None:
    recipe = replace(RECIPE, epochs=15, learning_rate=0.03)
    history = fit(small(), parts(noise=3.0), recipe, monitor=monitor)
    calibrated = [-loss for loss in known(history, "calibrated_loss")]
    worth: dict[str, list[Any]] = {
        "calibrated": calibrated,
        "loss": [-loss for loss in known(history, "valid_loss")],
        "score": list(zip(known(history, "valid_score"), calibrated, strict=True)),
    }
    best = {name: 1 + values.index(max(values)) for name, values in worth.items()}
    assert len(set(best.values())) > 1  # otherwise this would say nothing
    assert history.best == best[monitor]


def test_a_network_too_sure_of_itself_has_the_same_calibrated_loss() -> None:
    valid = parts().valid
    assert valid is not None
    truth = truth_of(valid)
    logits = np.random.default_rng(0).normal(size=(27, 3)).astype(np.float32) + truth[valid.track]
    (loss, score), (surer, same) = (track_scores(factor * logits, valid, truth) for factor in (1, 5))
    assert surer == pytest.approx(loss, rel=1e-3)
    assert same == score
    plain, sure = (mean_loss(factor * logits, truth[valid.track], "single") for factor in (1, 5))
    assert sure > plain


def test_without_a_valid_part_the_last_epoch_stays() -> None:
    history = fit(small(), parts(without=("valid",)), replace(RECIPE, epochs=3, patience=1))
    assert history.best == 3
    assert history.epochs[0].valid_loss is None


def test_history_csv(tmp_path: Path) -> None:
    fit(small(), parts(TAGS), replace(RECIPE, epochs=3), folder=tmp_path)
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert list(rows[0]) == [
        "epoch",
        "train_loss",
        "valid_loss",
        "valid_calibrated_loss",
        "valid_roc_auc",
        "learning_rate",
        "seconds",
    ]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(float(row["valid_roc_auc"]) <= 1 and float(row["learning_rate"]) == 0.01 for row in rows)


def test_a_frozen_body_does_not_move() -> None:
    network, data = small(), parts()
    network.body.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.body.state_dict().items()}
    head = network.output.weight.clone()
    fit(network, data, replace(RECIPE, epochs=2))
    for name, tensor in network.body.state_dict().items():
        assert torch.equal(tensor, before[name]), name  # running averages of batch-norm too
    assert not torch.equal(network.output.weight, head)


@pytest.mark.parametrize("monitor", ["training", "validation"])
def test_a_loss_that_is_no_number(tmp_path: Path, monitor: str) -> None:
    data = parts()
    network = small()
    fit(network, data, replace(RECIPE, epochs=2), folder=tmp_path, about={"epochs": "any"})
    kept = (tmp_path / STATE).read_bytes()
    recipe = replace(RECIPE, epochs=4, learning_rate=1e38 if monitor == "training" else 1e-2)
    if monitor == "validation":
        assert data.valid is not None
        gather = data.valid.windows.gather
        data.valid.windows.gather = lambda rows: gather(rows) * np.float32(np.nan)  # type: ignore[method-assign]
    with pytest.raises(
        TrainingError, match=rf"the {monitor} loss of epoch 3 is not finite \(learning rate"
    ) as caught:
        fit(network, data, recipe, folder=tmp_path, resume=True, about={"epochs": "any"})
    assert "\n" not in str(caught.value)
    assert "what was reached by epoch 2 is kept" in str(caught.value)
    assert (tmp_path / STATE).read_bytes() == kept


def test_resuming_takes_the_steps_that_were_left(tmp_path: Path) -> None:
    """Stopped at ends of epochs and between, with momentum, dropout, and a schedule that remembers."""
    schedule = {"schedule": "halve-on-plateau", "schedule_options": {"patience": 1}}
    recipe = replace(RECIPE, epochs=20, learning_rate=0.1, patience=4, **schedule)  # type: ignore[arg-type]
    data = parts(noise=3.0)
    whole = small()
    wanted = fit(whole, data, recipe, seed=1)
    assert len({epoch.learning_rate for epoch in wanted.epochs}) > 2
    assert wanted.ended == "patience"

    class Stopping(Nobody):
        def __init__(self, after: int) -> None:
            self.left = after

        def step_done(self) -> None:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)

    for after in (1, 2, 5, 3, 4, 1, 5, 6, 5, 1, 35, 100):
        network = small(seed=9)  # what it begins with comes from the state
        if after == 1 and not (tmp_path / STATE).exists():
            network = small()
        history = fit(
            network, data, recipe, Stopping(after), seed=1, folder=tmp_path, resume=True, about={"a": 1}
        )
        if history.ended != "interrupted":
            break
    assert [replace(e, seconds=0) for e in history.epochs] == [replace(e, seconds=0) for e in wanted.epochs]
    assert weights(network) == weights(whole)


def test_other_settings_are_refused(tmp_path: Path) -> None:
    fit(small(), parts(), replace(RECIPE, epochs=1), folder=tmp_path, about={"--lr": 0.01})
    with pytest.raises(TrainingError, match=r"started with --lr 0.01, not 0.1"):
        fit(small(), parts(), RECIPE, folder=tmp_path, resume=True, about={"--lr": 0.1})


def test_too_little_to_train_on() -> None:
    with pytest.raises(TrainingError, match="a step needs two windows for each process"):
        fit(small(), parts(), replace(RECIPE, batch_size=1))


def test_a_step_must_have_two_windows_for_each_process() -> None:
    few = parts(windows=1, sizes={"train": 6, "valid": 3, "test": 3})
    for size, batch_size in ((4, 16), (2, 3)):
        world = World(CPU.device, 0, size)
        with pytest.raises(TrainingError, match=f"6 in all and {batch_size} in a batch"):
            fit_network(small(), few, replace(RECIPE, batch_size=batch_size), LoopSettings(world))


def test_a_state_that_only_some_processes_see_is_not_gone_on_with(tmp_path: Path) -> None:
    class Torn(World):
        def gather(self, mine: Any) -> list[Any]:
            return [mine, not mine]

    with pytest.raises(TrainingError, match=r"not all processes see its state\.safetensors"):
        fit_network(small(), parts(), RECIPE, LoopSettings(Torn(CPU.device), folder=tmp_path, resume=True))
