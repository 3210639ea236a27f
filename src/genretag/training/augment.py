"""Altered batches of features: masks, mixtures, shifted windows, noise; draws come from the caller.

Where processes share a step, each draws for all of its windows and uses what is for its own: so a window is
altered in the same way however many processes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genretag.errors import TrainingError
from genretag.training import variants

Floats = NDArray[np.float32]

KINDS = ("spec-augment", "mixup", "random-crop", "feature-noise")


@dataclass(frozen=True)
class Share:
    """Which windows of a step are at hand: `rows` of `count`."""

    count: int
    rows: slice = field(default_factory=lambda: slice(None))


@dataclass(frozen=True)
class Augmentation:
    """What is done to a batch, by name with its options; {} does nothing.

    `spec-augment`: one mask of up to `frequency` bands and one of up to `time` frames a window; `mixup`:
    pairs mixed with a share from Beta(`alpha`, `alpha`); `random-crop`: windows begin anywhere and not on the
    grid; `feature-noise`: Gaussian, `deviation` times the window's own standard deviation. Names of
    `variants.KINDS` change the sound before there are features and do nothing here.
    """

    options: Mapping[str, Mapping[str, float]]

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.options) - {*KINDS, *variants.KINDS}):
            known = ", ".join((*KINDS, *variants.KINDS))
            raise TrainingError(f"no augmentation is called {unknown[0]!r}; there are {known}")

    @property
    def crops(self) -> bool:
        return "random-crop" in self.options

    @property
    def mixes(self) -> bool:
        """Whether what becomes of a window depends on others of its step."""
        return "mixup" in self.options

    def __call__(
        self, features: Floats, truth: Floats, draw: np.random.Generator, share: Share
    ) -> tuple[Floats, Floats]:
        """Altered features (windows, *shape) and truth (windows, labels) of a share of a step.

        One that `mixes` must be the whole step.
        """
        if (given := self.options.get("spec-augment")) is not None and features.ndim == 3:
            features = mask(
                features, int(given.get("frequency", 27)), int(given.get("time", 100)), draw, share
            )
        if (given := self.options.get("feature-noise")) is not None:
            features = add_noise(features, given.get("deviation", 0.1), draw, share)
        if (given := self.options.get("mixup")) is not None:
            features, truth = mix(features, truth, given.get("alpha", 0.2), draw)
        return features, truth


def mask(features: Floats, bands: int, frames: int, draw: np.random.Generator, share: Share) -> Floats:
    """Set a run of bands and a run of frames of every window, (windows, frames, bands), to the window's mean.

    Widths are uniform from 0 to `bands` and `frames`. Source: D. S. Park et al., "SpecAugment", 2019
    (https://arxiv.org/abs/1904.08779), without its time warping.
    """
    lengths = features.shape[1:]
    hidden = np.zeros(features.shape, bool)
    for axis, (length, most) in enumerate(zip(lengths, (frames, bands), strict=True)):
        width = draw.integers(0, min(most, length), share.count, endpoint=True)
        start = draw.integers(0, length - width, endpoint=True)
        width, start = width[share.rows], start[share.rows]
        place = np.arange(length)
        run = (place >= start[:, None]) & (place < (start + width)[:, None])  # (windows, length)
        hidden |= run[:, :, None] if axis == 0 else run[:, None, :]
    return np.where(hidden, features.mean(axis=(1, 2), keepdims=True), features)


def mix(features: Floats, truth: Floats, alpha: float, draw: np.random.Generator) -> tuple[Floats, Floats]:
    """Mix every window, and what is true of it, with another one of the batch.

    Source: H. Zhang et al., "mixup: beyond empirical risk minimization", 2018
    (https://arxiv.org/abs/1710.09412).
    """
    share = np.float32(draw.beta(alpha, alpha))
    other = draw.permutation(len(features))
    rest = np.float32(1) - share
    return share * features + rest * features[other], share * truth + rest * truth[other]


def add_noise(features: Floats, deviation: float, draw: np.random.Generator, share: Share) -> Floats:
    """Gaussian noise, `deviation` times the standard deviation of each window."""
    spread: Floats = features.std(axis=tuple(range(1, features.ndim)), keepdims=True)
    noise = draw.standard_normal((share.count, *features.shape[1:]), np.float32)[share.rows]
    return features + np.float32(deviation) * spread * noise


def crop(
    gather: Callable[[NDArray[np.int64]], Floats],
    indices: NDArray[np.int64],
    following: NDArray[np.int64],
    step: int,
    draw: np.random.Generator,
    share: Share,
) -> Floats:
    """Windows that begin up to one step later than those at `indices`, made of them and of the next ones.

    `following` (all windows,) is the index of the window that begins `step` frames later in the same track,
    or -1 where there is none: that window stays as it is. Frames are the first axis of a window.
    """
    features = gather(indices)
    frames = features.shape[1]
    late = draw.integers(0, min(step, frames), share.count)[share.rows]
    late[following[indices] < 0] = 0
    moved = np.flatnonzero(late)
    after = gather(following[indices[moved]])
    for place, second in zip(moved.tolist(), after, strict=True):
        shift = int(late[place])
        # The next window holds what lies behind this one from its frame `frames - step` on.
        tail = second[frames - step : frames - step + shift]
        features[place] = np.concatenate([features[place, shift:], tail])
    return features
