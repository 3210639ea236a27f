"""Several processes that train on CPUs, started by torchrun, take the steps that one would take."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from artists import songs
from torch import nn

from benchmarks import processes
from benchmarks.scale import FILTERS
from genretag.training.augment import Augmentation, Share, add_noise, mask
from genretag.training.batches import Batches
from genretag.training.distributed import World
from genretag.training.options import TrainOptions
from genretag.training.prepare import usual_augmentation
from genretag.training.train import train
from genretag.training.whole_step import whole_step

CPU = World(torch.device("cpu"))


def test_the_loss_curve_does_not_depend_on_the_number_of_processes() -> None:
    """Of 14 windows in three steps, two processes have two or three each in a step."""
    config = json.dumps({"musicnn": FILTERS, "gru": {"hidden": 16}})
    given = ["--model", "gru", "musicnn", "--config", config, "--augment", "--kind", "multi"]
    given += ["--windows", "14", "--batch", "6", "--epochs", "2"]
    for row in processes.compare(processes.settings_of(given), given):
        assert row["gradient"] < 1e-10, row
        assert row["shared"] < 2e-5, row
        assert min(row["apart"], row["seed"]) > 1e-3, row  # otherwise this would say nothing


def test_torchrun_trains_as_one_process_does(tmp_path: Path) -> None:
    listed, features = songs(tmp_path / "songs", signal=4.0)
    options = TrainOptions("folder", "handcrafted", listed, tmp_path / "alone", features=features, quiet=True)
    assert train(replace(options, epochs=3, batch_size=7, device="cpu")) is not None
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    given = ["--dataset", "folder", "--data", listed, "--model", "handcrafted", "--features", features]
    given += ["--epochs", 3, "--batch-size", 7, "--device", "cpu", "--out", tmp_path / "two", "--quiet"]
    done = subprocess.run(
        [*launcher, "-m", "genretag", "train", *map(str, given)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    curves, measured = [], []
    for out in ("alone", "two"):
        with (tmp_path / out / "history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        curves.append([[float(row[name]) for name in ("train_loss", "valid_loss")] for row in rows])
        measured.append(json.loads((tmp_path / out / "evaluation.json").read_text())["track"]["accuracy"])
    assert len(curves[0]) == 3
    assert np.allclose(*curves, rtol=1e-5)
    assert measured[0] == measured[1]


@pytest.mark.parametrize("size", [2, 3])
def test_a_share_of_a_step_is_altered_as_in_the_whole(size: int) -> None:
    """Ten windows cannot be shared out evenly among three processes."""
    shape = (30, 13)
    parts = processes.made_up(shape, 20, "multi")
    usual = {**usual_augmentation(processes.registry.preset("gru").features), "feature-noise": {}}
    without = {name: given for name, given in usual.items() if name != "mixup"}
    for options in (usual, without):
        augmentation = Augmentation(options)
        whole = list(Batches(parts.train, 10, 3, augmentation, 5, CPU).epoch(1))
        for rank in range(size):
            world = World(CPU.device, rank, size)
            shares = list(Batches(parts.train, 10, 3, augmentation, 5, world).epoch(1))
            for one, share in zip(whole, shares, strict=True):
                assert torch.equal(share.features, one.features[rank::size])
                assert torch.equal(share.truth, one.truth[rank::size])


def test_draws_for_a_share_are_those_of_its_rows() -> None:
    features = np.random.default_rng(1).normal(size=(7, 9, 5)).astype(np.float32)
    for alter in (
        lambda x, s: mask(x, 3, 4, np.random.default_rng(2), s),
        lambda x, s: add_noise(x, 0.1, np.random.default_rng(2), s),
    ):
        rows = slice(1, None, 3)
        assert np.array_equal(alter(features[rows], Share(7, rows)), alter(features, Share(7))[rows])


def test_one_process_and_evaluation_are_left_alone() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.GRU(3, 4, 2, dropout=0.5))
    with whole_step(network, CPU, 8):
        assert not any("forward" in vars(module) for module in network)
    world = World(CPU.device, 0, 2)
    with whole_step(network, world, 8):
        assert all("forward" in vars(module) for module in network)
    assert not any("forward" in vars(module) for module in network)
    with whole_step(network.eval(), world, 8):
        assert not any("forward" in vars(module) for module in network)
