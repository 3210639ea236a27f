"""Cross-entropy for labels of which one is true, binary cross-entropy for tags, weighted or not."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from genretag.labels import Kind

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Loss:
    """Mean loss over the windows of a step.

    `truth` (tracks, labels) and `track` (windows,) are those of the whole train part. `balanced` gives every
    label the same say: of single labels, a window counts for windows / (labels x windows of its label); of
    tags, a yes counts as much as all noes to that tag have fewer yeses.
    """

    def __init__(
        self, kind: Kind, truth: Floats, track: Ints, *, balanced: bool, device: torch.device
    ) -> None:
        self._kind, self._truth = kind, truth
        yes = truth[track].sum(axis=0, dtype=np.float64)  # (labels,)
        weights = np.ones(len(yes))
        if balanced:
            whole = len(track)
            # A label that no window has cannot be weighted.
            weights = np.where(
                yes > 0, (whole / len(yes) if kind == "single" else whole - yes) / yes.clip(1), 1.0
            )
        self._weights = weights.astype(np.float32)
        self._on_device = torch.from_numpy(self._weights).to(device)

    def whole(self, track: Ints) -> float:
        """What the losses of windows of these tracks are divided by to be a mean."""
        if self._kind == "multi":
            return float(len(track) * self._truth.shape[1])
        return float((self._truth[track] @ self._weights).sum(dtype=np.float64))

    def total(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Sum over windows (windows, labels) of their weighted losses; `truth` may be mixed."""
        if self._kind == "multi":
            return F.binary_cross_entropy_with_logits(
                logits, truth, pos_weight=self._on_device, reduction="sum"
            )
        return -(F.log_softmax(logits, dim=1) * truth * self._on_device).sum()
