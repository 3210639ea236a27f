"""Four convolutions over a spectrogram seen as a square image.

Source: D. Kostrzewa, P. Kaminski, R. Brzeski, "Music genre classification: looking for the perfect network",
2021 (https://doi.org/10.1007/978-3-030-77961-0_6), with the sizes of the FMA report that the presets name.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from genretag.models.images import resize
from genretag.models.shapes import flat_size
from genretag.models.standardise import Standardise


class Kostrzewa(nn.Module):
    """Log-mel (windows, frames, mels) of any size to logits (windows, labels)."""

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        filters: Sequence[int] = (64, 64, 128, 128),
        kernel: int = 5,
        size: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.size = size
        self.standardise = Standardise(shape[-1])
        self.convs = nn.Sequential()
        channels = 1
        for width in filters:
            block = nn.Sequential(
                nn.Conv2d(channels, width, kernel),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.BatchNorm2d(width),
            )
            self.convs.append(block)
            channels = width
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(flat_size(self.convs, (size, size)), labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(self.embed(features)))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """What the last convolution leaves: (windows, filters x rows x columns)."""
        image = resize(self.standardise(features).unsqueeze(1), self.size)  # (windows, 1, size, size)
        maps: Tensor = self.convs(image)
        return maps.flatten(1)
