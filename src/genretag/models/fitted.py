"""Models whose last layers scikit-learn fits: on statistics of features, or on what a picture network sees.

Sources: the ImageNet -> PCA -> SVM route of the FMA report that the presets name; the plain SVM is the
baseline that no leak-free study of GTZAN goes without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genretag.models import efficientnet
from genretag.models.classical import Decision
from genretag.models.efficientnet import EfficientnetLite0
from genretag.models.images import Picture
from genretag.models.resnet import Resnet50
from genretag.models.vgg16 import Vgg16

PICTURE_SIZE = 224


class FittedModel(nn.Module):
    """Features to logits (windows, labels) through rows that no gradient changes.

    Without a `body`, rows are the mean and the standard deviation over frames of (windows, frames, columns),
    or the features themselves where they are a table already. With one they are what the picture network
    "vgg16", "resnet50" or "efficientnet-lite0", cut at layer `cut`, makes of a log-mel in decibels.

    `pca` says whether principal components lie between rows and head. scikit-learn fits on what `embed`
    gives; `adopt` takes the result over.
    """

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        head: str = "svm-rbf",
        pca: bool = False,
        hidden: Sequence[int] = (),
        body: str = "",
        cut: str = "",
    ) -> None:
        super().__init__()
        self.body = _body(body, cut) if body else None
        self.picture = _picture(body) if body else None
        self.decision = Decision(
            _width(self.body, shape), labels, head, components=pca, layers=len(hidden) + 1
        )
        self.requires_grad_(False).eval()

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.decision(self.embed(features))
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """The rows that scikit-learn fits on: (windows, columns)."""
        if self.body is not None and self.picture is not None:
            rows: Tensor = self.body(self.picture(features))
            return rows
        if features.ndim == 2:
            return features
        return torch.cat([features.mean(dim=1), features.std(dim=1, correction=0)], dim=1)

    def train(self, mode: bool = True) -> FittedModel:
        """Nothing here changes in training: batch-norm and dropout stay as in use."""
        return super().train(False)

    def adopt(self, steps: Iterable[Any]) -> None:
        """Take over a fitted scikit-learn Pipeline; see Decision.adopt."""
        self.decision.adopt(steps)


_BODIES: dict[str, Callable[[str], nn.Module]] = {
    "vgg16": Vgg16,
    "resnet50": Resnet50,
    "efficientnet-lite0": EfficientnetLite0,
}


def _body(name: str, cut: str) -> nn.Module:
    if name not in _BODIES:
        raise ValueError(f"no picture network {name!r}; there are {', '.join(_BODIES)}")
    return _BODIES[name](cut)


def _picture(name: str) -> Picture:
    if name == "efficientnet-lite0":
        return Picture(PICTURE_SIZE, efficientnet.MEAN, efficientnet.SPREAD)
    return Picture(PICTURE_SIZE)


def _width(body: nn.Module | None, shape: tuple[int, ...]) -> int:
    """Columns of a row."""
    if body is None:
        return shape[0] if len(shape) == 1 else 2 * shape[-1]
    width: Any = body.width
    return int(width)
