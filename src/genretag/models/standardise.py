"""Features with the mean and the spread of the training set taken out, inside the model."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from genretag.errors import ModelError


class Standardise(nn.Module):
    """(x - mean) / scale per column; hands features through until `measure` or a checkpoint fills it in.

    Takes and gives (..., columns).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.scale

    def measure(self, batches: Iterable[Tensor]) -> None:
        """Take mean and standard deviation per column from batches (..., columns) of the training set.

        A column that does not vary is only centred. ModelError where there is no batch, or one is not finite.
        """
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        shift: Tensor | None = None
        for batch in batches:
            rows = batch.detach().reshape(-1, batch.shape[-1]).double().cpu()
            # Sums about a value near the mean keep their digits.
            shift = rows.mean(dim=0) if shift is None else shift
            rows = rows - shift
            count, total, squares = count + len(rows), total + rows.sum(0), squares + rows.square().sum(0)
        if shift is None or not count:
            raise ModelError("no features to standardise by: the training set is empty")
        offset = total / count
        variance = (squares / count - offset.square()).clamp(min=0.0)
        mean, scale = shift + offset, variance.sqrt()
        if not (mean.isfinite().all() and scale.isfinite().all()):
            raise ModelError("the features of the training set hold values that are not finite")
        still = scale <= 1e-8 * mean.abs().clamp(min=1.0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(still, 1.0, scale))


def measure(network: nn.Module, batches: Iterable[Tensor]) -> bool:
    """Fit the `standardise` layer of a network to features of the training set; False where it has none."""
    layer = getattr(network, "standardise", None)
    if not isinstance(layer, Standardise):
        return False
    layer.measure(batches)
    return True
