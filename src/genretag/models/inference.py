"""What the inference forms of networks share: filters that are constant, batch-norms as scale and shift.

Weight decay switches filters off: their weights fall to 1e-29, or their bias to where no input outweighs it.
Such a filter gives a constant, which the next layer can take over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES_WITHIN = 100.0  # of zero; musicnn's log-mel lies between 0 and 8.9, decibels between -100 and 60
CONSTANT_WITHIN = 1e-6  # of a filter's output, over all such features


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of a block (convolution, ReLU, batch-norm) whose output varies, in float64.

    `weight` (filters, channels, frames, height) and `bias` are negated where the batch-norm's scale is
    negative. So the largest output of the block is always where the convolution's is, and ReLU and batch-norm
    may follow the pooling: the output is the convolution's, clamped to `low` and `high`, times `scale`, plus
    `shift`. `varies`, `constants` and `largest` are of all filters of the block: which are kept, what the
    others give (0 for those kept), how far from zero an output can be.
    """

    weight: Tensor
    bias: Tensor
    scale: Tensor
    shift: Tensor
    low: Tensor
    high: Tensor
    varies: Tensor
    constants: Tensor
    largest: Tensor

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def frames(self) -> int:
        return self.weight.shape[2]

    @property
    def height(self) -> int:
        return self.weight.shape[3]


def filters_of(block: Any, largest: Tensor, *, all_of_them: bool = False) -> Filters:
    """The filters of a block with `conv` and `norm` that are not constant, or `all_of_them`.

    Constant means: for every input whose channels are at most `largest` (channels,) from zero.
    """
    weight, bias = block.conv.weight.detach().double(), block.conv.bias.detach().double()
    scale, shift = affine(block.norm)
    reach = weight.abs().sum(dim=(2, 3)) @ largest
    least, most = (bias - reach).relu(), (bias + reach).relu()
    varies = scale.abs() * (most - least) > CONSTANT_WITHIN
    if all_of_them:
        varies = torch.ones_like(varies)
    falls = scale < 0
    sign = torch.where(falls, -1.0, 1.0)
    endless = torch.full_like(scale, torch.inf)
    return Filters(
        weight=(weight * sign[:, None, None, None])[varies],
        bias=(bias * sign)[varies],
        scale=scale.abs()[varies],
        shift=shift[varies],
        low=torch.where(falls, -endless, 0.0)[varies],
        high=torch.where(falls, 0.0, endless)[varies],
        varies=varies,
        constants=torch.where(varies, 0.0, scale * (least + most) / 2 + shift),
        largest=torch.maximum((scale * least + shift).abs(), (scale * most + shift).abs()),
    )


def taken_over(weight: Tensor, varies: Tensor, constants: Tensor) -> Tensor:
    """Kernels for the channels that vary, and behind them for one of ones that stands for all others.

    A channel and not a bias, because beyond the edges of a map constants are zero as well. Kernels have their
    channels in dimension 1.
    """
    ones = torch.einsum("fc...,c->f...", weight, constants)
    return torch.cat([weight[:, varies], ones.unsqueeze(1)], dim=1)


def affine(norm: Any) -> tuple[Tensor, Tensor]:
    """Scale and shift of a batch-norm in evaluation, in float64."""
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.detach().double() - norm.running_mean.double() * scale


class ImageConv(nn.Module):
    """A convolution in float32 for images whose channels are last in memory; `padding`: rows, columns."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, padding: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        self.register_buffer("weight", weight.float().to(memory_format=torch.channels_last))
        self.register_buffer("bias", bias.float())
        self.padding = padding

    def forward(self, image: Tensor) -> Tensor:
        return F.conv2d(image, self.weight, self.bias, padding=self.padding)
