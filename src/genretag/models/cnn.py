"""A convolutional network over MFCC as an image: four convolutions, average pools, two dense layers.

Source: the CNN of the GTZAN report that the presets name.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from genretag.models.mlp import dense_layers
from genretag.models.shapes import flat_size
from genretag.models.standardise import Standardise


class Cnn(nn.Module):
    """MFCC (windows, frames, coefficients) to logits (windows, labels); the size of a window is fixed."""

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        filters: Sequence[int] = (256, 256, 256, 512),
        dense: Sequence[int] = (256, 128),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        first, second, third, fourth = filters
        self.standardise = Standardise(shape[-1])
        self.convs = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(3, stride=2),
            nn.BatchNorm2d(second),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(3, stride=2),
            nn.BatchNorm2d(third),
            nn.Conv2d(third, fourth, 4, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(1, stride=2),
            nn.BatchNorm2d(fourth),
        )
        inputs = flat_size(self.convs, shape)
        self.dense = dense_layers(inputs, dense, dropout)
        self.output = nn.Linear([inputs, *dense][-1], labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.embed(features))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """The last layer before the labels: (windows, units)."""
        image = self.standardise(features).unsqueeze(1)  # (windows, 1, frames, coefficients)
        embedding: Tensor = self.dense(self.convs(image).flatten(1))
        return embedding
