"""Broad genres by a probe's head, and beside them all that the probe's base says: two levels in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genretag.models.probe import Probe


class TwoLevel(Probe):
    """A track model whose first `broad` labels are a probe's, and whose others are its base's scores.

    The broad ones exclude each other; `temperature` divides their logits before the softmax. The others are
    the means over the windows of the base's probabilities. All come as logits whose sigmoid they are, so that
    a set of several labels holds both. Made of a probe that was trained; there is nothing to train here.
    """

    def __init__(
        self, labels: int, shape: tuple[int, ...], *, broad: int, temperature: float, **probe: Any
    ) -> None:
        super().__init__(broad, shape, **probe)
        if labels != broad + self.width:
            raise ValueError(f"{broad} broad labels and {self.width} scores make no {labels} labels")
        self.temperature = temperature

    def _judged(self, rows: Tensor) -> Tensor:
        """Logits (tracks, labels) from rows (tracks, windows, width)."""
        broad = (super()._judged(rows) / self.temperature).softmax(dim=1)
        return torch.cat([broad, rows.mean(dim=1)], dim=1).logit(eps=torch.finfo(rows.dtype).eps)
