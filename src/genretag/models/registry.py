"""The table of presets: an architecture with its features and the recipe that trains it. Data only, no torch.

A new preset is a new row; a new family is a new module beside this one whose network takes
`(labels, shape, **config)`, where shape is that of one window of features, and whose output is logits
(windows, labels).
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genretag.audio.features import FeatureSpec
from genretag.errors import CheckpointError, ModelError

if TYPE_CHECKING:
    from torch import nn

    from genretag.checkpoint import Checkpoint


@dataclass(frozen=True)
class Recipe:
    """How a preset is trained where nothing else is asked for; weight decay is an L2 penalty on kernels."""

    optimiser: str
    learning_rate: float
    batch_size: int
    epochs: int
    weight_decay: float = 0.0
    schedule: str = "constant"
    schedule_options: Mapping[str, float] = field(default_factory=dict)
    augmentation: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preset:
    """One trainable model by name; `network` is "module:Class" in this package."""

    name: str
    summary: str
    network: str
    features: FeatureSpec
    config: Mapping[str, Any]
    recipe: Recipe
    source: str


MUSICNN_FEATURES = FeatureSpec(
    kind="musicnn-logmel",
    sample_rate=16000,
    n_fft=512,
    hop_length=256,
    n_mels=96,
    frames=187,
    step_frames=187,
)
MUSICNN_RECIPE = Recipe(
    optimiser="adam",
    learning_rate=1e-3,
    batch_size=32,
    epochs=600,
    weight_decay=1e-5,
    schedule="halve-on-plateau",
    schedule_options={"patience": 75},
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="musicnn",
            summary="convolutions shaped like timbre and tempo over 3 s of log-mel",
            network="musicnn:Musicnn",
            features=MUSICNN_FEATURES,
            config={
                "timbral_filters": 204,
                "temporal_filters": 51,
                "mid_filters": 64,
                "dense_units": 200,
                "dropout": 0.5,
            },
            recipe=MUSICNN_RECIPE,
            source="Pons and Serra 2019, https://arxiv.org/abs/1909.06654",
        ),
        Preset(
            name="vgg",
            summary="five 3x3 convolutions over 3 s of log-mel",
            network="vgg:Vgg",
            features=MUSICNN_FEATURES,
            config={"filters": 128, "conv_dropout": 0.25, "dropout": 0.5},
            recipe=MUSICNN_RECIPE,
            source="Pons and Serra 2019, https://arxiv.org/abs/1909.06654",
        ),
    )
}


def preset(name: str) -> Preset:
    """The preset of that name; ModelError listing near names where there is none."""
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=3, cutoff=0.4) or sorted(PRESETS)
        raise ModelError(f"no preset named {name!r}; presets: {', '.join(near)}")
    return PRESETS[name]


def build(
    preset_name: str, config: Mapping[str, Any], labels: int, features: FeatureSpec | None = None
) -> nn.Module:
    """A network with fresh weights: the preset's configuration with `config` over it.

    `features` are the preset's own unless given. ModelError for an argument that the preset does not have.
    """
    chosen = preset(preset_name)
    if unknown := set(config) - set(chosen.config):
        raise ModelError(f"preset {preset_name} has no option {sorted(unknown)[0]!r}")
    module, network = chosen.network.split(":")
    make = getattr(importlib.import_module(f"genretag.models.{module}"), network)
    shape = (features or chosen.features).shape
    try:
        model: nn.Module = make(labels, shape, **{**chosen.config, **config})
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"preset {preset_name} cannot be built: {str(error).splitlines()[0]}") from error
    return model


def load_model(checkpoint: Checkpoint) -> nn.Module:
    """The network of a checkpoint, in evaluation mode; CheckpointError where its tensors do not fit."""
    meta = checkpoint.meta
    where = checkpoint.path or meta.name
    try:
        model = build(meta.preset, meta.config, len(meta.labels), meta.features)
    except ModelError as error:
        raise CheckpointError(f"{where}: {error}") from None
    try:
        model.load_state_dict(checkpoint.state)
    except RuntimeError:
        raise CheckpointError(f"{where}: its tensors do not fit its preset {meta.preset!r}") from None
    return model.eval()


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers of a network (running averages of batch-norm are not trained)."""
    return sum(parameter.numel() for parameter in model.parameters())
