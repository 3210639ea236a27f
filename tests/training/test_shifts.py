"""Shifts of what a head hears: read, kept apart by clip, and learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_examples import SHAPE, parts

from genretag.errors import FeatureError
from genretag.models.records import Fit
from genretag.models.registry import build_network, preset
from genretag.training.distributed import World
from genretag.training.fit import fit_classical
from genretag.training.shifts import moved, read_shifts

CONFIG = {
    "base_preset": "mlp",
    "base_config": {"hidden": [5], "dropout": 0.0},
    "base_labels": 4,
    "base_kind": "single",
}


def write(path: Path, values: np.ndarray, clips: list[str]) -> Path:
    np.savez(path, shifts=values, clips=np.array(clips))
    return path


def test_only_shifts_of_the_clips_that_are_learnt_from(tmp_path: Path) -> None:
    found = read_shifts(write(tmp_path / "s.npz", np.arange(6.0).reshape(3, 2), ["a", "b", "a"]), 2)
    np.testing.assert_array_equal(found.of(["a"]), [[0, 1], [4, 5]])
    with pytest.raises(FeatureError, match="no shift was measured on a clip of the train part"):
        found.of(["c"])


def test_all_rows_of_a_track_move_alike_and_the_seed_repeats_it() -> None:
    rows, tracks = np.zeros((5, 2)), np.array([7, 7, 9, 9, 9])
    shifts = np.arange(20.0).reshape(10, 2)
    found = moved(rows, tracks, shifts, 3)
    assert all(row in shifts for row in found)
    assert (found[:2] == found[0]).all()
    assert (found[2:] == found[2]).all()
    np.testing.assert_array_equal(found, moved(rows, tracks, shifts, 3))
    assert (found != moved(rows, tracks, shifts, 4)).any()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK"])
def test_what_is_no_file_of_shifts_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.npz"
    path.write_bytes(content)
    with pytest.raises(FeatureError, match="not an npz of shifts and clips"):
        read_shifts(path, 2)


def test_shifts_of_another_width_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="shifts must be 1 rows of 50 numbers"):
        read_shifts(write(tmp_path / "s.npz", np.zeros((1, 2)), ["a"]), 50)


def test_a_head_learns_to_stand_the_shifts(tmp_path: Path) -> None:
    """Moved along one axis as far as the classes lie apart, a head that has met this does not follow it."""
    train = parts().train
    width = CONFIG["base_labels"]
    values = np.random.default_rng(0).normal(0, 1, (len(train.ids), 1)) * np.eye(width)[:1] * 5
    path = write(tmp_path / "s.npz", values, list(train.ids))
    rows = torch.randn(20, width, generator=torch.Generator().manual_seed(1))
    moves = []
    for recipe in (Fit(), Fit(shifts=str(path))):
        torch.manual_seed(0)
        network: Any = build_network("probe", CONFIG, 3, SHAPE).eval()
        config = {**preset("probe").config, **CONFIG}
        fit_classical(network, train, recipe, config, World(torch.device("cpu")))
        away = network.decision(rows + torch.tensor(values[:1]).float())
        moves.append(float((away.softmax(dim=1) - network.decision(rows).softmax(dim=1)).abs().mean()))
    assert moves[1] < 0.7 * moves[0]
