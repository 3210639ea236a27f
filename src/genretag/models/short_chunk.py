"""Residual convolutions over short chunks of log-mel.

Source: M. Won, A. Ferraro, D. Bogdanov, X. Serra, "Evaluation of CNN-based automatic music tagging models",
2020 (https://arxiv.org/abs/2006.00751).
"""

from __future__ import annotations

from torch import Tensor, nn

# Widths of the seven blocks, as multiples of the first.
WIDTHS = (1, 1, 2, 2, 2, 2, 4)


class ShortChunkResnet(nn.Module):
    """Log-mel (windows, frames, mels) to logits (windows, labels); any size is accepted."""

    def __init__(
        self, labels: int, shape: tuple[int, ...], *, filters: int = 128, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1)
        self.blocks = nn.Sequential()
        channels = 1
        for width in WIDTHS:
            self.blocks.append(ResidualBlock(channels, width * filters))
            channels = width * filters
        self.dense = nn.Linear(channels, channels)
        self.dense_norm = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(channels, labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(self.embed(features)))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """The last layer before the labels: (windows, 4 x filters)."""
        image = self.input_norm(features.transpose(1, 2).unsqueeze(1))  # (windows, 1, mels, frames)
        pooled = self.blocks(image).amax(dim=(2, 3))
        embedding: Tensor = self.dense_norm(self.dense(pooled)).relu()
        return embedding


class ResidualBlock(nn.Module):
    """Two convolutions beside a third, all followed by batch-norm; half as high and wide as its input."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, filters, 3, stride=2, padding=1)
        self.first_norm = nn.BatchNorm2d(filters)
        self.second = nn.Conv2d(filters, filters, 3, padding=1)
        self.second_norm = nn.BatchNorm2d(filters)
        self.shortcut = nn.Conv2d(channels, filters, 3, stride=2, padding=1)
        self.shortcut_norm = nn.BatchNorm2d(filters)

    def forward(self, maps: Tensor) -> Tensor:
        changed = self.second_norm(self.second(self.first_norm(self.first(maps)).relu()))
        sums: Tensor = changed + self.shortcut_norm(self.shortcut(maps))
        return sums.relu()
