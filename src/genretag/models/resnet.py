"""Residual networks of 18 and 50 layers, with torchvision's names, so that its files of weights fit.

Source: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", 2015
(https://arxiv.org/abs/1512.03385). As in torchvision, a bottleneck makes its stride in the 3x3 convolution.
"""

from __future__ import annotations

from torch import Tensor, nn

from genretag.models.images import resize
from genretag.models.standardise import Standardise

WIDTHS = (64, 128, 256, 512)
EXPANSION = 4  # a bottleneck's output to its width
GRID = 7  # positions a side that the last stage leaves of 224 pixels
BLOCKS_18 = (2, 2, 2, 2)
BLOCKS_50 = (3, 4, 6, 3)


class Trunk(nn.Module):
    """Stem and four stages: (windows, 3, height, width) to (windows, channels, height / 32, width / 32)."""

    def __init__(self, stages: list[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def maps(self, pictures: Tensor) -> Tensor:
        maps: Tensor = self.maxpool(self.bn1(self.conv1(pictures)).relu())
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = stage(maps)
        return maps


class Resnet18(Trunk):
    """Features as an image (windows, frames, columns) to logits (windows, labels).

    The image is made square (`size` 0: it keeps its shape) and stands in three equal channels.
    """

    def __init__(self, labels: int, shape: tuple[int, ...], *, size: int = 0) -> None:
        stages: list[nn.Module] = []
        before = WIDTHS[0]
        for width, blocks in zip(WIDTHS, BLOCKS_18, strict=True):
            first = BasicBlock(before, width, 2 if stages else 1)
            stages.append(nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1))))
            before = width
        super().__init__(stages)
        self.size = size
        self.standardise = Standardise(shape[-1])
        self.fc = nn.Linear(before, labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.embed(features))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """Mean over the positions of the last stage: (windows, 512)."""
        image = self.standardise(features).transpose(1, 2).unsqueeze(1)  # (windows, 1, columns, frames)
        if self.size:
            image = resize(image, self.size)
        return self.maps(image.expand(-1, 3, -1, -1)).mean(dim=(2, 3))


class Resnet50(Trunk):
    """Pictures (windows, 3, 224, 224) to what one of the last layers says of them: (windows, width).

    `cut` is "avg_pool", the mean over the positions of the last stage, or "conv5_block1_2_relu", as Keras
    calls what follows the 3x3 convolution of the first block of that stage. What lies behind it is not made.
    """

    def __init__(self, cut: str = "avg_pool") -> None:
        if cut not in ("avg_pool", "conv5_block1_2_relu"):
            raise ValueError(f"resnet50 cannot be cut at {cut!r}; give avg_pool or conv5_block1_2_relu")
        stages: list[nn.Module] = []
        before = WIDTHS[0]
        for width, blocks in zip(WIDTHS, BLOCKS_50, strict=True):
            stride = 2 if stages else 1
            if len(stages) == 3 and cut != "avg_pool":
                stages.append(nn.Sequential(BottleneckStart(before, width, stride)))
                break
            first = Bottleneck(before, width, stride)
            before = width * EXPANSION
            stages.append(nn.Sequential(first, *(Bottleneck(before, width) for _ in range(blocks - 1))))
        super().__init__(stages)
        self.cut = cut
        self.width = before if cut == "avg_pool" else WIDTHS[-1] * GRID * GRID

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.maps(pictures)
        return maps.mean(dim=(2, 3)) if self.cut == "avg_pool" else maps.flatten(1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside their input."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(channels, width, stride)

    def forward(self, maps: Tensor) -> Tensor:
        changed: Tensor = self.bn2(self.conv2(self.bn1(self.conv1(maps)).relu()))
        return (changed + (maps if self.downsample is None else self.downsample(maps))).relu()


class BottleneckStart(nn.Module):
    """The first two convolutions of a bottleneck: 1x1 and 3x3."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, maps: Tensor) -> Tensor:
        narrow = self.bn1(self.conv1(maps)).relu()
        changed: Tensor = self.bn2(self.conv2(narrow)).relu()
        return changed


class Bottleneck(BottleneckStart):
    """Convolutions 1x1, 3x3 and 1x1 beside their input."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__(channels, width, stride)
        self.conv3 = nn.Conv2d(width, width * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * EXPANSION)
        self.downsample = shortcut(channels, width * EXPANSION, stride)

    def forward(self, maps: Tensor) -> Tensor:
        changed: Tensor = self.bn3(self.conv3(super().forward(maps)))
        return (changed + (maps if self.downsample is None else self.downsample(maps))).relu()


def shortcut(channels: int, width: int, stride: int) -> nn.Module | None:
    """What brings a block's input to the shape of its output; None where it has it."""
    if channels == width and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))
