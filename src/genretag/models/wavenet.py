"""A stack of dilated convolutions over raw samples, after WaveNet.

Source: A. van den Oord et al., "WaveNet: a generative model for raw audio", 2016
(https://arxiv.org/abs/1609.03499), as the GTZAN report that the presets name made a classifier of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from genretag.models.shapes import flat_size

POOL = 3


class Wavenet(nn.Module):
    """Samples (windows, samples) to logits (windows, labels); the number of samples is fixed.

    Convolutions are not padded, and each looks twice as far apart as the one before.
    """

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        filters: Sequence[int] = (128, 128, 64, 64, 32, 32),
        kernels: Sequence[int] = (9, 9, 9, 9, 9, 7),
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm1d(1)
        self.convs = nn.Sequential()
        channels = 1
        for layer, (width, kernel) in enumerate(zip(filters, kernels, strict=True)):
            self.convs.append(DilatedBlock(channels, width, kernel, 2**layer, dropout))
            channels = width
        self.output = nn.Linear(flat_size(self.convs, shape), labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.embed(features))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """What the last pool leaves: (windows, filters x steps)."""
        maps: Tensor = self.convs(self.input_norm(features.unsqueeze(1)))  # (windows, filters, steps)
        return maps.flatten(1)


class DilatedBlock(nn.Module):
    """Dilated convolution, ReLU, maximum of three, dropout: (windows, channels, samples)."""

    def __init__(self, channels: int, filters: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, filters, kernel, dilation=dilation)
        self.pool = nn.MaxPool1d(POOL)
        self.dropout = nn.Dropout(dropout)

    def forward(self, series: Tensor) -> Tensor:
        maps: Tensor = self.dropout(self.pool(self.conv(series).relu()))
        return maps
