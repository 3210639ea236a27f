"""Small parts of made-up datasets, in memory: features that tell labels apart, some noise, known seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from genretag.datasets.base import Clip, Dataset
from genretag.labels import LabelSet
from genretag.models.standardise import Standardise
from genretag.training.examples import Examples, Parts
from genretag.training.splits import make_split
from genretag.training.windows import ArrayWindows

GENRES = LabelSet(("blues", "jazz", "rock"), "single", {"blues": "Blues", "jazz": "Jazz", "rock": "Rock"})
TAGS = LabelSet(("guitar", "slow", "vocal"), "multi")
SHAPE = (6, 4)
SIZES = {"train": 24, "valid": 9, "test": 12}


def parts(
    labels: LabelSet = GENRES,
    *,
    windows: int = 3,
    shape: tuple[int, ...] = SHAPE,
    noise: float = 0.7,
    seed: int = 0,
    without: tuple[str, ...] = (),
    sizes: Mapping[str, int] = SIZES,
) -> Parts:
    """Train, valid and test tracks of `windows` windows each; `without` leaves parts out."""
    draw = np.random.default_rng(seed)
    means = draw.normal(size=(len(labels), *shape)) * 0.6
    found: dict[str, Examples | None] = {"train": None, "valid": None, "test": None}
    clips = []
    for part, tracks in sizes.items():
        if labels.kind == "single":
            truth = np.eye(len(labels), dtype=np.float32)[np.arange(tracks) % len(labels)]
        else:
            truth = (draw.random((tracks, len(labels))) < 0.4).astype(np.float32)
        ids = tuple(f"{part}/{number:02}.wav" for number in range(tracks))
        track = np.repeat(np.arange(tracks), windows)
        features = np.tensordot(truth[track], means, 1) + noise * draw.normal(size=(len(track), *shape))
        features = features * 5 + 20  # far from standardised
        if part not in without:
            found[part] = Examples(
                windows=ArrayWindows(features.astype(np.float32), np.arange(len(track))),
                shape=shape,
                track=track,
                ids=ids,
                targets=truth.argmax(axis=1) if labels.kind == "single" else truth,
                labels=labels,
                groups=np.arange(tracks) // 2,
                number=np.tile(np.arange(windows), tracks),
            )
            for clip_id, row in zip(ids, truth, strict=True):
                named = tuple(name for name, yes in zip(labels.names, row, strict=True) if yes)
                clips.append(Clip(clip_id, None, named, clip_id, clip_id, part))
    dataset = Dataset("made-up", "small", None, tuple(clips), labels, "listed", True, (), ())
    train = found["train"]
    assert train is not None
    split = make_split(dataset, "official")
    return Parts(train, found["valid"], found["test"], split, "made-up", "small")


class Small(nn.Module):
    """Two dense layers over what is standardised, with dropout, and batch-norm if asked for."""

    def __init__(self, labels: int = 3, shape: tuple[int, ...] = SHAPE, *, norm: bool = True) -> None:
        super().__init__()
        self.standardise = Standardise(shape[-1])
        size = int(np.prod(shape))
        self.body = nn.Sequential(nn.Linear(size, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.ReLU())
        self.dropout = nn.Dropout(0.3 if norm else 0.0)
        self.output = nn.Linear(8, labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(self.body(self.standardise(features).flatten(1))))
        return logits


def small(labels: int = 3, *, norm: bool = True, seed: int = 0) -> Small:
    torch.manual_seed(seed)
    return Small(labels, norm=norm)
