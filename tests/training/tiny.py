"""A small list of real sounds with a split, and a checkpoint that takes no time to hear them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from trees import write_rows

from genretag.audio.features import FeatureSpec
from genretag.checkpoint import CheckpointMeta, save
from genretag.datasets.base import Dataset
from genretag.labels import LabelSet
from genretag.models.registry import build
from genretag.training.splits import SplitKind, make_split
from sounds import make_sound

GENRES = ("Jazz", "Metal", "Rock")
# Half a second of music a window.
SPEC = FeatureSpec(
    "mfcc", 16000, n_fft=512, hop_length=256, frames=30, step_frames=30, n_mels=32, n_coefficients=13
)
PARTS = ("train", "train", "valid", "test", "test")


def music(root: Path, seconds: float = 2.0, genres: tuple[str, ...] = GENRES) -> Path:
    """list.csv of five songs for each of three genres: two of train, one of valid, two of test."""
    rows: list[tuple[str, ...]] = [("path", "label", "artist", "split")]
    root.mkdir(parents=True, exist_ok=True)
    for number, genre in enumerate(genres):
        for place, part in enumerate(PARTS):
            name = f"{genre} {place}.flac"
            make_sound(root / name, seconds, rate=16000, channels=1, seed=10 * number + place)
            rows.append((name, genre, f"artist {name}", part))
    return write_rows(root / "list.csv", rows)


def checkpoint(
    path: Path, of: Dataset, kind: SplitKind | None = "official", labels: LabelSet | None = None, **more: Any
) -> Path:
    """An untrained network of one layer, described as if it had been trained on this split."""
    config = {"hidden": [8], "dropout": 0.0}
    known = labels or of.labels
    torch.manual_seed(0)
    model = build("mlp", config, len(known), SPEC)
    meta = CheckpointMeta(path.stem, "mlp", config, SPEC, known, seed=0)
    if kind is not None:
        plan = make_split(of, kind)
        meta = dataclasses.replace(meta, dataset=of.name, split=kind, split_hash=plan.hash)
    save(path, dataclasses.replace(meta, **more), model.state_dict())
    return path
