"""Broad genres by a probe's head, beside them all that the probe's base says, and vetoes, in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genretag.models.probe import Probe


class TwoLevel(Probe):
    """A track model whose first `broad` labels are a probe's; its base's scores and `vetoes` follow.

    The broad ones exclude each other; `temperature` divides their logits before the softmax. The others are
    the means over the windows: of the base's probabilities, and of those by which the linear layer `veto`
    tells speech and the like from music. All come as logits whose sigmoid they are, so that a set of several
    labels holds them. Made of parts that were trained; there is nothing to train here.
    """

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        broad: int,
        temperature: float,
        vetoes: int = 0,
        **probe: Any,
    ) -> None:
        super().__init__(broad, shape, **probe)
        if labels != broad + self.width + vetoes:
            parts = f"{broad} broad labels, {self.width} scores and {vetoes} vetoes"
            raise ValueError(f"{parts} make no {labels} labels")
        self.temperature = temperature
        self.veto = nn.Linear(self.width, vetoes).requires_grad_(False) if vetoes else None

    def _judged(self, rows: Tensor) -> Tensor:
        """Logits (tracks, labels) from rows (tracks, windows, width)."""
        parts = [(super()._judged(rows) / self.temperature).softmax(dim=1), rows.mean(dim=1)]
        if self.veto is not None:
            parts.append(self.veto(self.heard(rows)).sigmoid().mean(dim=1))
        return torch.cat(parts, dim=1).logit(eps=torch.finfo(rows.dtype).eps)
