"""The measuring of the arithmetic still works; how fast anything is, is not asked here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from benchmarks import arithmetic, convolutions

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


def test_variants_are_counted_and_timed() -> None:
    forwards = arithmetic.variants("musicnn-msd")
    features = torch.rand(1, 187, 96)
    with torch.inference_mode():
        work = {name: arithmetic.gflop(forward, features) for name, forward in forwards.items()}
        times = arithmetic.milliseconds({"run": lambda: forwards["run"](features)}, 1)
    assert work["trained"] == pytest.approx(2.8, abs=0.01)
    assert work["run"] < work["trained"] / 8
    assert times["run"] > 0


def test_changes_are_found_in_files(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "synthetic.wav", tmp_path)
    (tmp_path / "cover.jpg").write_bytes(b"no music")
    with torch.inference_mode():
        tracks = arithmetic.features_of(tmp_path, "fast")
        run, rounded = arithmetic.changes("musicnn-msd", tracks, "fast")
    assert run["tracks"] == run["same_genre"] == 1
    assert 0 < run["largest"] < 1e-5 < rounded["largest"]


def test_a_folder_without_music_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nothing in it can be decoded"):
        arithmetic.features_of(tmp_path, "fast")


def test_every_way_of_convolving_is_timed() -> None:
    with torch.inference_mode():
        rows = convolutions.measure(8, 38, 1)
        shapes = {way: forward().numel() for way, forward in convolutions.ways(8, 38).items()}
    assert [row["way"] for row in rows] == list(shapes)
    assert shapes["product by rows, int8"] == shapes["convolution, float32"] == 2 * 187 * 8
