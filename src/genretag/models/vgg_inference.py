"""vgg for answers only: the logits of the trained network for a fraction of the arithmetic.

In float32 and exact but for rounding. Filters that training has switched off are left out (see `inference`),
channels lie last in memory, and ReLU and batch-norm follow the pooling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genretag.models.inference import (
    FEATURES_WITHIN,
    Filters,
    ImageConv,
    affine,
    filters_of,
    taken_over,
)
from genretag.models.vgg import Vgg, VggBlock


class VggInference(nn.Module):
    """Log-mel (windows, frames, mels) to logits (windows, labels), as `Vgg` gives them in evaluation.

    Made of a trained network, with which it shares the last layer. Features may be FEATURES_WITHIN from zero.
    """

    input_scale: Tensor
    input_shift: Tensor

    def __init__(self, network: Vgg) -> None:
        super().__init__()
        scale, shift = affine(network.input_norm)
        self.register_buffer("input_scale", scale.float())
        self.register_buffer("input_shift", shift.float())
        largest = shift.abs() + FEATURES_WITHIN * scale.abs()
        self.blocks = nn.ModuleList()
        before: Filters | None = None
        for block in network.blocks:
            assert isinstance(block, VggBlock)
            last = len(self.blocks) == len(network.blocks) - 1
            # The last layer expects all filters of the last block.
            filters = filters_of(block, largest, all_of_them=last)
            self.blocks.append(VggStage(block, filters, before, ones=not last))
            before, largest = filters, filters.largest
        self.output = network.output
        self.requires_grad_(False).eval()

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.embed(features))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """The last layer before the labels: (windows, frames left x mels left x filters)."""
        maps = torch.addcmul(self.input_shift, features, self.input_scale).unsqueeze(1)
        for block in self.blocks:
            maps = block(maps)
        return maps.permute(0, 2, 3, 1).flatten(1)


class VggStage(nn.Module):
    """The filters of a block that vary, on those of the block `before`; if asked, a channel of `ones` too."""

    scale: Tensor
    shift: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, block: VggBlock, filters: Filters, before: Filters | None, *, ones: bool) -> None:
        super().__init__()
        weight, bias = filters.weight, filters.bias
        if before is not None:
            weight = taken_over(weight, before.varies, before.constants)
        # A filter without weights makes the ones.
        spare = int(ones)
        self.conv = ImageConv(
            F.pad(weight, (0, 0, 0, 0, 0, 0, 0, spare)), F.pad(bias, (0, spare), value=1.0), (1, 1)
        )
        of_ones = {"scale": 1.0, "shift": 0.0, "low": 0.0, "high": torch.inf}
        for name, value in of_ones.items():
            tensor = F.pad(getattr(filters, name), (0, spare), value=value)
            self.register_buffer(name, tensor.float()[:, None, None])
        self.size, self.stride = block.size, block.stride

    def forward(self, maps: Tensor) -> Tensor:
        pooled = F.max_pool2d(self.conv(maps), self.size, self.stride)
        return torch.addcmul(self.shift, pooled.clamp(self.low, self.high), self.scale)
