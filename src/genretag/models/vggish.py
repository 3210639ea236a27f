"""VGGish with layers of its own on top, and a choice of how positions are pooled.

Sources: S. Hershey et al., "CNN architectures for large-scale audio classification", 2017
(https://arxiv.org/abs/1609.09430); B. McFee, J. Salamon, J. P. Bello, "Adaptive pooling operators for weakly
labeled sound event detection", 2018 (https://arxiv.org/abs/1804.10070).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

# Filters of the convolutions; 0 is a pool.
LAYERS = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0)


class Vggish(nn.Module):
    """Log-mel (windows, frames, mels) to logits (windows, labels); any number of frames from 16 up.

    The names of the convolutions are those of the weights that torchvggish publishes.
    """

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        pooling: Literal["average", "autopool"] = "average",
        blocks: int = 2,
        units: int = 512,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if pooling not in ("average", "autopool"):
            raise ValueError(f"pooling must be average or autopool, not {pooling!r}")
        self.features = nn.Sequential()
        channels = 1
        for filters in LAYERS:
            if filters:
                self.features.extend([nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()])
                channels = filters
            else:
                self.features.append(nn.MaxPool2d(2))
        self.pool = AutoPool(channels) if pooling == "autopool" else AveragePool()
        self.blocks = nn.Sequential()
        for _ in range(blocks):
            self.blocks.append(
                nn.Sequential(
                    nn.BatchNorm1d(channels), nn.Dropout(dropout), nn.Linear(channels, units), nn.ReLU()
                )
            )
            channels = units
        self.output = nn.Linear(channels, labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.embed(features))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """The last dense layer before the labels: (windows, units)."""
        maps = self.features(features.unsqueeze(1))  # (windows, channels, frames, mels)
        embedding: Tensor = self.blocks(self.pool(maps.flatten(2)))
        return embedding


class AveragePool(nn.Module):
    """Mean over positions: (windows, channels, positions) to (windows, channels)."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=2)


class AutoPool(nn.Module):
    """Mean over positions weighted by softmax(alpha x), with an alpha to be learned for each channel.

    Alpha 0, where training begins, is the plain mean; towards infinity it becomes the maximum. Takes
    (windows, channels, positions), gives (windows, channels).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        weights = (self.alpha[:, None] * maps).softmax(dim=2)
        return (weights * maps).sum(dim=2)
