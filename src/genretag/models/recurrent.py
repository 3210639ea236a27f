"""Recurrent networks that read MFCC frame by frame and judge by their last step.

Sources: S. Hochreiter, J. Schmidhuber, "Long short-term memory", 1997; K. Cho et al., "Learning phrase
representations using RNN encoder-decoder", 2014 (https://arxiv.org/abs/1406.1078); sizes and recipe are those
of the report that the presets name.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from genretag.models.standardise import Standardise


class Recurrent(nn.Module):
    """Frames (windows, frames, coefficients) to logits (windows, labels); any number of frames will do."""

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        cell: Literal["lstm", "gru"] = "gru",
        hidden: int = 256,
        layers: int = 2,
        bidirectional: bool = False,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if cell not in ("lstm", "gru"):
            raise ValueError(f"cell must be lstm or gru, not {cell!r}")
        _, coefficients = shape
        self.standardise = Standardise(coefficients)
        self.cells = (nn.LSTM if cell == "lstm" else nn.GRU)(
            coefficients,
            hidden,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,  # it lies between layers
        )
        self.output = nn.Linear(hidden * (2 if bidirectional else 1), labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.embed(features))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """The last step of the last layer: (windows, hidden), or twice that where it reads both ways."""
        steps, _ = self.cells(self.standardise(features))  # (windows, frames, hidden)
        last: Tensor = steps[:, -1]
        return last
