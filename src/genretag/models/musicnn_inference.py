"""musicnn for answers only: the logits of the trained network for a fraction of the arithmetic.

In float32 and exact but for rounding. What is saved, in the order of what it gives:

- Filters that training has switched off; see `inference`.
- Convolutions of one channel, which leave vector units idle, are written as convolutions of many: of pairs of
  bands in all frames that a filter reaches, or of groups of frames.
- The maximum over frequency comes before ReLU and batch-norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from genretag.models.musicnn import TIMBRAL_HEIGHTS, Musicnn

PAIR = 2  # neighbouring bands computed together by timbral filters
GROUP = 8  # neighbouring frames computed together by temporal filters


class MusicnnInference(nn.Module):
    """Log-mel (windows, frames, mels) to logits (windows, labels), as `Musicnn` gives them in evaluation.

    Made of a trained network, with which it shares the last layers. Features may be FEATURES_WITHIN from
    zero. Any number of frames is accepted.
    """

    input_scale: Tensor
    input_shift: Tensor
    scale: Tensor
    shift: Tensor
    low: Tensor
    high: Tensor
    dense_weight: Tensor
    dense_bias: Tensor

    def __init__(self, network: Musicnn) -> None:
        super().__init__()
        input_scale, input_shift = affine(network.input_norm)
        largest = input_shift.abs() + FEATURES_WITHIN * input_scale.abs()
        blocks = [filters_of(block, largest) for block in network.front]
        timbral = len(TIMBRAL_HEIGHTS)
        self.timbral, self.temporal = TimbralFront(blocks[:timbral]), TemporalFront(blocks[timbral:])
        self._hold(input_scale=input_scale, input_shift=input_shift)
        for name in ("scale", "shift", "low", "high"):
            self._hold(**{name: torch.cat([getattr(block, name) for block in blocks])})
        varies = torch.cat([block.varies for block in blocks])
        constants = torch.cat([block.constants for block in blocks])
        first, *others = network.mid
        self.mid = nn.ModuleList([MidConv(first, varies, constants), *map(MidConv, others)])
        weight, bias = _dense(network, varies, constants)
        self._hold(dense_weight=weight, dense_bias=bias)
        self.dense_norm, self.output = network.dense_norm, network.output
        self.requires_grad_(False).eval()

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.embed(features))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """The last layer before the labels: (windows, dense_units)."""
        image = torch.addcmul(self.input_shift, features, self.input_scale)
        maxima = torch.cat([*self.timbral(image), *self.temporal(image)], dim=2)
        front = torch.addcmul(self.shift, maxima.clamp(self.low, self.high), self.scale)
        first, second, third = self.mid
        one = first(F.pad(front, (0, 1), value=1.0))  # (windows, frames, filters)
        two = second(one) + one
        three = third(two) + two
        series = torch.cat([front, one, two, three], dim=2)
        pooled = torch.cat([series.amax(dim=1), series.mean(dim=1)], dim=1)
        embedding: Tensor = self.dense_norm(F.linear(pooled, self.dense_weight, self.dense_bias).relu())
        return embedding

    def _hold(self, **tensors: Tensor) -> None:
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.float())


class TimbralFront(nn.Module):
    """Filters over several bands, all of the same number of frames.

    Takes an image (windows, frames, mels) and gives for every block that has filters their maxima over
    frequency, (windows, frames, filters).
    """

    def __init__(self, blocks: Sequence[Filters]) -> None:
        super().__init__()
        blocks = [block for block in blocks if len(block)]
        self.frames = blocks[0].frames if blocks else 1
        self.heights = [block.height for block in blocks]
        self.convs = nn.ModuleList(_over_pairs(block) for block in blocks)

    def forward(self, image: Tensor) -> list[Tensor]:
        if not self.heights:
            return [image[:, :, :0]]
        windows, frames, mels = image.shape
        counts = [mels - height + 1 for height in self.heights]  # of places of a filter
        rows = [-(-count // PAIR) for count in counts]
        pairs = max(row + height // PAIR for row, height in zip(rows, self.heights, strict=True))
        before, after = (self.frames - 1) // 2, self.frames // 2
        padded = F.pad(image, (0, pairs * PAIR - mels, before, after))
        series = padded.view(windows, -1, pairs, PAIR).permute(2, 0, 1, 3).flatten(2)
        # Beside each other in this memory: all that a filter needs of a pair of bands, (its frames, pair).
        places = series.unfold(2, self.frames * PAIR, PAIR).contiguous()  # (pairs, windows, frames, channels)
        places = places.flatten(1, 2)
        found = []
        for conv, count, row, height in zip(self.convs, counts, rows, self.heights, strict=True):
            maps = _maps(conv, places[: row + height // PAIR])  # (rows, windows x frames, pair x filters)
            if count % PAIR:
                # The last pair has no second place: the first stands for it.
                first, second = maps[-1].chunk(PAIR, dim=1)
                second.copy_(first)
            found.append(maps.amax(dim=0).reshape(windows, frames, PAIR, -1).amax(dim=2))
        return found


def _over_pairs(block: Filters) -> ImageConv:
    """For a pair of neighbouring places: channels are (frames, bands of a pair), rows pairs of bands."""
    taps = block.height // PAIR + 1
    weight = block.weight.new_zeros(PAIR, len(block), block.frames, taps * PAIR)
    for place in range(PAIR):
        weight[place, ..., place : place + block.height] = block.weight.squeeze(1)
    kernels = weight.view(PAIR * len(block), block.frames, taps, PAIR).transpose(2, 3)
    return ImageConv(kernels.flatten(1, 2).unsqueeze(3), block.bias.repeat(PAIR))


class TemporalFront(nn.Module):
    """Filters over one band: maxima over frequency as TimbralFront gives them."""

    def __init__(self, blocks: Sequence[Filters]) -> None:
        super().__init__()
        blocks = [block for block in blocks if len(block)]
        longest = max((block.frames for block in blocks), default=1)
        self.before = -(-((longest - 1) // 2) // GROUP) * GROUP  # frames of zeros, in whole groups
        # Frames that a filter passes over.
        firsts = [self.before - (block.frames - 1) // 2 for block in blocks]
        self.skipped = [first // GROUP for first in firsts]
        convs = [_over_groups(block, first % GROUP) for block, first in zip(blocks, firsts, strict=True)]
        self.convs = nn.ModuleList(convs)
        self.taps = [conv.weight.shape[3] for conv in convs]

    def forward(self, image: Tensor) -> list[Tensor]:
        if not self.skipped:
            return [image[:, :, :0]]
        windows, frames, mels = image.shape
        columns = -(-frames // GROUP)
        ends = [skip + taps - 1 + columns for skip, taps in zip(self.skipped, self.taps, strict=True)]
        padded = F.pad(image, (0, 0, self.before, max(ends) * GROUP - self.before - frames))
        groups = padded.permute(2, 0, 1).reshape(mels * windows, max(ends), GROUP)
        found = []
        for conv, skip, end in zip(self.convs, self.skipped, ends, strict=True):
            maps = _maps(conv, groups[:, skip:end])  # (mels x windows, columns, group x filters)
            loudest = maps.reshape(mels, windows, columns * GROUP, -1).amax(dim=0)
            found.append(loudest[:, :frames])
        return found


def _over_groups(block: Filters, first: int) -> ImageConv:
    """For a group of neighbouring frames, the filter `first` frames late: channels are frames of a group."""
    taps = -(-(first + GROUP - 1 + block.frames) // GROUP)
    weight = block.weight.new_zeros(GROUP, len(block), taps * GROUP)
    for place in range(GROUP):
        weight[place, :, first + place : first + place + block.frames] = block.weight[:, 0, :, 0]
    kernels = weight.view(GROUP * len(block), taps, GROUP).transpose(1, 2)
    return ImageConv(kernels.unsqueeze(2), block.bias.repeat(GROUP))


def _maps(conv: nn.Module, image: Tensor) -> Tensor:
    """Maps (rows, columns, outputs) of an image (rows, columns, channels)."""
    maps: Tensor = conv(image.permute(2, 0, 1).unsqueeze(0))
    return maps[0].permute(1, 2, 0)


class MidConv(nn.Module):
    """Convolution over time, ReLU and batch-norm: (windows, frames, channels) to (windows, frames, filters).

    With `varies` and `constants`, channels that do not vary are `taken_over`.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, block: Any, varies: Tensor | None = None, constants: Tensor | None = None) -> None:
        super().__init__()
        weight = block.conv.weight.detach().double()  # (filters, channels, frames)
        if varies is not None and constants is not None:
            weight = taken_over(weight, varies, constants)
        self.conv = ImageConv(weight.unsqueeze(2), block.conv.bias.detach(), (0, weight.shape[2] // 2))
        scale, shift = affine(block.norm)
        self.register_buffer("scale", scale.float())
        self.register_buffer("shift", shift.float())

    def forward(self, series: Tensor) -> Tensor:
        maps: Tensor = self.conv(series.transpose(1, 2).unsqueeze(2))  # (windows, filters, 1, frames)
        return torch.addcmul(self.shift, maps.squeeze(2).transpose(1, 2).relu(), self.scale)


def _dense(network: Musicnn, varies: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of the dense layer, pooling's norm in them, for all maxima and then all means.

    Only of the channels that vary.
    """
    scale, shift = affine(network.pool_norm)
    weight = network.dense.weight.detach().double()
    bias = network.dense.bias.detach().double() + weight @ shift
    of_channels = (weight * scale).view(len(weight), -1, 2)  # (units, channels, (maximum, mean))
    front, mid = of_channels[:, : len(varies)], of_channels[:, len(varies) :]
    kept = torch.cat([front[:, varies], mid], dim=1)
    return kept.transpose(1, 2).flatten(1), bias + front.sum(dim=2) @ constants
