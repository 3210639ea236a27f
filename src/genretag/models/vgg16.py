"""VGG16, with torchvision's names, so that its file of weights fits.

Source: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014
(https://arxiv.org/abs/1409.1556).
"""

from __future__ import annotations

from torch import Tensor, nn

# Filters of the convolutions; 0 is a pool.
LAYERS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)
GRID = 7  # positions a side that the dense layers take
UNITS = 4096
# Index of the last layer that a cut behind the convolutions needs in torchvision's `classifier`.
CUTS = {"block5_pool": -1, "fc1": 1, "fc2": 4}


class Vgg16(nn.Module):
    """Pictures (windows, 3, height, width) to what one of the last layers says of them: (windows, width).

    `cut` is Keras's name of the layer: "block5_pool" (25,088 numbers), "fc1" or "fc2" (4,096). What lies
    behind it is not made.
    """

    def __init__(self, cut: str = "block5_pool") -> None:
        super().__init__()
        if cut not in CUTS:
            raise ValueError(f"vgg16 cannot be cut at {cut!r}; give {', '.join(CUTS)}")
        self.features = nn.Sequential()
        channels = 3
        for filters in LAYERS:
            if filters:
                self.features.extend([nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)])
                channels = filters
            else:
                self.features.append(nn.MaxPool2d(2))
        self.pool = nn.AdaptiveAvgPool2d(GRID)
        inputs = channels * GRID * GRID
        dense = [nn.Linear(inputs, UNITS), nn.ReLU(), nn.Dropout(), nn.Linear(UNITS, UNITS), nn.ReLU()]
        self.classifier = nn.Sequential(*dense[: CUTS[cut] + 1])
        self.width = UNITS if len(self.classifier) else inputs

    def forward(self, pictures: Tensor) -> Tensor:
        rows: Tensor = self.classifier(self.pool(self.features(pictures)).flatten(1))
        return rows
