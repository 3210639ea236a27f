"""musicnn: filters shaped like timbre and tempo, a dense mid-end, pooling over time.

Source: J. Pons, X. Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", 2019
(https://arxiv.org/abs/1909.06654), and the graphs of the package musicnn 0.1.0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-3  # TensorFlow's default for batch-norm
TIMBRAL_FRAMES = 7
TIMBRAL_HEIGHTS = (0.4, 0.7)  # of the mel bands
TEMPORAL_FRAMES = (128, 64, 32)
MID_FRAMES = 7
MID_LAYERS = 3


class Musicnn(nn.Module):
    """Log-mel (windows, frames, mels) to logits (windows, labels); any number of frames is accepted."""

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        timbral_filters: int = 204,
        temporal_filters: int = 51,
        mid_filters: int = 64,
        dense_units: int = 200,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        _, mels = shape
        self.input_norm = nn.BatchNorm2d(1, eps=EPSILON)
        timbral = [
            FrontBlock(timbral_filters, TIMBRAL_FRAMES, int(height * mels)) for height in TIMBRAL_HEIGHTS
        ]
        temporal = [FrontBlock(temporal_filters, frames, 1) for frames in TEMPORAL_FRAMES]
        self.front = nn.ModuleList([*timbral, *temporal])
        front = len(timbral) * timbral_filters + len(temporal) * temporal_filters
        self.mid = nn.ModuleList(
            MidBlock(mid_filters if layer else front, mid_filters) for layer in range(MID_LAYERS)
        )
        pooled = 2 * (front + MID_LAYERS * mid_filters)
        self.pool_norm = nn.BatchNorm1d(pooled, eps=EPSILON)
        self.dense = nn.Linear(pooled, dense_units)
        self.dense_norm = nn.BatchNorm1d(dense_units, eps=EPSILON)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(dense_units, labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(self.embed(features)))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """The last layer before the labels: (windows, dense_units)."""
        image = self.input_norm(features.unsqueeze(1))  # (windows, 1, frames, mels)
        front = torch.cat([block(image) for block in self.front], dim=1)  # (windows, channels, frames)
        first, second, third = self.mid
        one = first(front)
        two = second(one) + one
        three = third(two) + two
        channels = torch.cat([front, one, two, three], dim=1)
        # Maximum and mean stand side by side per channel.
        pooled = torch.stack([channels.amax(dim=2), channels.mean(dim=2)], dim=2).flatten(1)
        embedding: Tensor = self.dense_norm(F.relu(self.dense(self.dropout(self.pool_norm(pooled)))))
        return embedding

    def for_inference(self) -> nn.Module:
        """See `registry.for_inference`."""
        from genretag.models.musicnn_inference import MusicnnInference

        return MusicnnInference(self)


class FrontBlock(nn.Module):
    """One filter shape over the spectrogram, then its loudest frequency: (windows, filters, frames)."""

    def __init__(self, filters: int, frames: int, mels: int) -> None:
        super().__init__()
        # TensorFlow's "same" in time: an even kernel has one frame more on the right.
        self.padding = (0, 0, (frames - 1) // 2, frames // 2)
        self.conv = nn.Conv2d(1, filters, (frames, mels))
        self.norm = nn.BatchNorm2d(filters, eps=EPSILON)

    def forward(self, image: Tensor) -> Tensor:
        maps: Tensor = self.norm(F.relu(self.conv(F.pad(image, self.padding))))
        return maps.amax(dim=3)


class MidBlock(nn.Module):
    """A convolution over time: (windows, filters, frames)."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, filters, MID_FRAMES, padding=MID_FRAMES // 2)
        self.norm = nn.BatchNorm1d(filters, eps=EPSILON)

    def forward(self, series: Tensor) -> Tensor:
        maps: Tensor = self.norm(F.relu(self.conv(series)))
        return maps
