"""Spectrograms as the images that networks for pictures expect."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DECIBEL_RANGE = 80.0  # below the loudest point: black
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # red, green, blue, of ImageNet's pictures
IMAGENET_SPREAD = (0.229, 0.224, 0.225)


class Picture(nn.Module):
    """Log-mel in decibels (windows, frames, mels) to pictures (windows, 3, size, size), low notes on top.

    The loudest point is white and 80 dB less is black, in three equal channels, each with the mean and the
    spread taken out that the network's own pictures had.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        size: int = 224,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        spread: tuple[float, ...] = IMAGENET_SPREAD,
    ) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(spread)[:, None, None], persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        loudest = features.amax(dim=(1, 2), keepdim=True)
        grey = ((features - loudest) / DECIBEL_RANGE + 1.0).clamp(min=0.0)
        image = resize(grey.transpose(1, 2).unsqueeze(1), self.size)  # (windows, 1, mels, frames)
        return (image - self.mean) / self.spread


def resize(image: Tensor, size: int) -> Tensor:
    """Images (windows, channels, height, width) as squares, by means over what falls together."""
    return F.interpolate(image, (size, size), mode="bilinear", antialias=True, align_corners=False)
