"""Sizes of what layers leave, found without computing anything."""

from __future__ import annotations

import copy

import torch
from torch import nn


def flat_size(layers: nn.Module, shape: tuple[int, ...]) -> int:
    """Numbers that layers leave of one window (1 channel, *shape)."""
    on_meta = copy.deepcopy(layers).to("meta").eval()
    with torch.no_grad():
        left = on_meta(torch.empty(1, 1, *shape, device="meta"))
    return int(left.numel())
