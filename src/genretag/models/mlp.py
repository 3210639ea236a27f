"""Dense layers over a flattened window: of MFCC, of hand-made statistics, or of any table of features.

Sources: the multi-layer perceptron over 130 x 13 MFCC of GTZAN segments, and the network over FMA's 518
statistics, of the reports that the presets name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from genretag.models.standardise import Standardise


class Mlp(nn.Module):
    """Features (windows, ...) to logits (windows, labels)."""

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        hidden: Sequence[int] = (512, 256, 64),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.standardise = Standardise(shape[-1])
        inputs = math.prod(shape)
        self.hidden = dense_layers(inputs, hidden, dropout)
        self.output = nn.Linear([inputs, *hidden][-1], labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.embed(features))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """The last hidden layer: (windows, units)."""
        embedding: Tensor = self.hidden(self.standardise(features).flatten(1))
        return embedding


def dense_layers(inputs: int, units: Sequence[int], dropout: float) -> nn.Sequential:
    """Dense layers of so many units, each with ReLU and dropout: (windows, inputs) to (windows, units)."""
    layers = nn.Sequential()
    for outputs in units:
        layers.append(nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)))
        inputs = outputs
    return layers
