"""vgg: the plain image network that musicnn was compared with.

Source: J. Pons, X. Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", 2019
(https://arxiv.org/abs/1909.06654), after K. Choi, G. Fazekas, M. Sandler, "Automatic tagging using deep
convolutional neural networks", 2016 (https://arxiv.org/abs/1606.00298), and the graphs of musicnn 0.1.0.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-3  # TensorFlow's default for batch-norm
# Size and stride of the pooling after each convolution, (frames, mels).
POOLS = (((4, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4)))


class Vgg(nn.Module):
    """Log-mel (windows, frames, mels) to logits (windows, labels); the number of frames is fixed."""

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        filters: int = 128,
        conv_dropout: float = 0.25,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        frames, mels = shape
        self.input_norm = nn.BatchNorm2d(1, eps=EPSILON)
        self.blocks = nn.ModuleList()
        for block, (size, stride) in enumerate(POOLS):
            self.blocks.append(VggBlock(filters if block else 1, filters, size, stride))
            frames, mels = (
                (n - s) // step + 1 for n, s, step in zip((frames, mels), size, stride, strict=True)
            )
        self.conv_dropout = nn.Dropout(conv_dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(frames * mels * filters, labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(self.embed(features)))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """The last layer before the labels: (windows, frames left x mels left x filters)."""
        maps: Tensor = self.input_norm(features.unsqueeze(1))  # (windows, 1, frames, mels)
        for index, block in enumerate(self.blocks):
            maps = block(self.conv_dropout(maps) if index else maps)
        return maps.permute(0, 2, 3, 1).flatten(1)  # frames first, filters last, as the weights were trained

    def for_inference(self) -> nn.Module:
        """See `registry.for_inference`."""
        from genretag.models.vgg_inference import VggInference

        return VggInference(self)


class VggBlock(nn.Module):
    """Convolution 3x3, ReLU, batch-norm, pooling."""

    def __init__(self, channels: int, filters: int, size: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, 3, padding=1)
        self.norm = nn.BatchNorm2d(filters, eps=EPSILON)
        self.size, self.stride = size, stride

    def forward(self, maps: Tensor) -> Tensor:
        return F.max_pool2d(self.norm(F.relu(self.conv(maps))), self.size, self.stride)
