"""What a preset is made of, as pure records: architecture, features, recipe, where its figures come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from genretag.audio.features import FeatureSpec

Start = Literal["scratch", "fine-tune", "frozen"]
Aggregation = Literal["mean", "head"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained by gradient where nothing else is asked for.

    Weight decay is an L2 penalty on kernels. `schedule_options` of "cyclic": the learning rate falls along a
    cosine from its full value to `floor` times that, over `period` epochs, step by step, and starts anew; of
    "halve-on-plateau": `patience` epochs without a better loss; "one-cycle" has none. `augmentation` gives
    each way of augmenting its options. `clip` bounds the norm of the gradient. Training ends early after
    `patience` epochs that did not improve the valid part (None: never).
    """

    optimiser: Literal["adam", "adamw", "rmsprop", "sgd"]
    learning_rate: float
    batch_size: int
    epochs: int
    weight_decay: float = 0.0
    schedule: Literal["constant", "cyclic", "one-cycle", "halve-on-plateau"] = "constant"
    schedule_options: Mapping[str, float] = field(default_factory=dict)
    augmentation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    class_weights: bool = False
    patience: int | None = None
    clip: float | None = None


@dataclass(frozen=True)
class Fit:
    """How scikit-learn fits the last layers of a preset on the rows that its network gives.

    Rows are standardised; where the configuration has `pca`, reduced to the principal components that hold
    `variance` of it; then classified by the head that the configuration names. `c` is the inverse strength of
    regularisation of the SVMs and the linear head, `gamma` the width of the RBF kernel (None: 1 / columns, as
    scikit-learn's "auto"), `alpha` the L2 penalty of the MLP. `grid` holds the values that a grid search
    tries.

    With `class_weights` every label has the same total weight. Of single labels, a clip weighs
    n ** -`artist_exponent` where its artist has n clips: 0 takes clips for equal, 1 artists. A model that
    judges each window of a track learns from every `window_step`-th of them, which share the weight of their
    clip. With `shifts`, a file that training.shifts reads, it learns each clip `shifted` times more, moved as
    coding, another level or a later start moves what the network says.

    Of single labels, the linear head can be the average of a linear discriminant analysis and a logistic
    regression: `discriminant` is the weight of the former and `shrinkage` that of the identity in its
    covariance.
    """

    c: float = 1.0
    gamma: float | None = None
    alpha: float = 0.01
    variance: float = 0.9
    class_weights: bool = False
    artist_exponent: float = 0.0
    window_step: int = 1
    shifts: str = ""
    shifted: int = 3
    discriminant: float = 0.0
    shrinkage: float = 0.1
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """A figure of the model's authors, and whether it can be believed.

    `tracks_apart` and `artists_apart` say that no track and no artist of the test part is in the training
    part, None if that is not known. `leak_free` is False if the figure is inflated for any reason, such as
    test clips that also chose the model, or if it is not known.
    """

    score: float
    metric: Literal["accuracy", "roc_auc", "pr_auc"]
    dataset: str
    split: str
    leak_free: bool
    tracks_apart: bool | None
    artists_apart: bool | None
    note: str = ""


@dataclass(frozen=True)
class Pretrained:
    """Weights of others that a preset can begin with.

    `origin` says where they are: "weights:NAME" is a checkpoint that ships, "url:ADDRESS" a file for
    torch.hub, "package:NAME/FILE" a file of an installed Python package. `fresh` are the parts of the network
    that stay as they were made, because they depend on the labels or the features. `rename` holds regular
    expressions, with what replaces them, that turn the names of the file's tensors into those of the network;
    `part` is the module whose tensors they are.
    """

    name: str
    origin: str
    licence: str
    fresh: tuple[str, ...] = ()
    part: str = ""
    rename: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """A whole number from low to high, both included, in steps."""

    low: int
    high: int
    step: int = 1


@dataclass(frozen=True)
class LogRange:
    """A number from low to high, every magnitude as likely as the next."""

    low: float
    high: float


@dataclass(frozen=True)
class Preset:
    """One trainable model by name; `network` is "module:Class" in this package.

    `aggregation` says how windows become a track: the mean of their scores, or a "head" of the model itself.
    `starts` are the ways in which training can begin, the usual one first. `search` is the space for tuning:
    options of `config` or fields of `recipe`, "filters.0" being the first of several filters.
    """

    name: str
    summary: str
    network: str
    features: FeatureSpec
    config: Mapping[str, Any]
    recipe: Recipe | Fit
    source: str
    aggregation: Aggregation = "mean"
    starts: tuple[Start, ...] = ("scratch",)
    pretrained: Pretrained | None = None
    published: tuple[Published, ...] = ()
    search: Mapping[str, Choice | Range | LogRange] = field(default_factory=dict)

    @property
    def fit(self) -> Literal["gradient", "classical"]:
        """Whether the network is trained by gradient or its last layers are fitted by scikit-learn."""
        return "gradient" if isinstance(self.recipe, Recipe) else "classical"
