"""Presets and checkpoints to networks. No torch at import: names and descriptions must come quickly."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from genretag.audio.features import FeatureSpec
from genretag.errors import CheckpointError, ModelError
from genretag.models.presets import COMPOSED, PRESETS
from genretag.models.records import Fit, Preset, Recipe

if TYPE_CHECKING:
    from torch import nn

    from genretag.checkpoint import Checkpoint


def preset(name: str) -> Preset:
    """The preset of that name; ModelError listing near names where there is none."""
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=3, cutoff=0.4) or sorted(PRESETS)
        raise ModelError(f"no preset named {name!r}; presets: {', '.join(near)}")
    return PRESETS[name]


def architecture(name: str) -> Preset:
    """The preset of a checkpoint: one that can be trained, or one that is composed of trained ones."""
    return COMPOSED[name] if name in COMPOSED else preset(name)


def is_track_model(preset_name: str) -> bool:
    """Whether a model judges all windows of a track together: it has `rows` and `track` beside `forward`."""
    return architecture(preset_name).aggregation == "head"


def configured(preset_name: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], Recipe | Fit]:
    """A preset's configuration and recipe with `values` over them, as a search proposes them.

    A name is an option of the configuration, a field of the recipe, or "filters.0" for an element of a list.
    ModelError for any other.
    """
    chosen = preset(preset_name)
    config, changes = dict(chosen.config), {}
    recipe_fields = {field.name for field in fields(chosen.recipe)}
    for name, value in values.items():
        option, _, place = name.partition(".")
        if place and isinstance(config.get(option), list) and int(place) < len(config[option]):
            config[option] = [*config[option][: int(place)], value, *config[option][int(place) + 1 :]]
        elif name in config:
            config[name] = value
        elif name in recipe_fields:
            changes[name] = value
        else:
            raise ModelError(f"preset {preset_name} has no option {name!r}")
    return config, replace(chosen.recipe, **changes)


def build(
    preset_name: str, config: Mapping[str, Any], labels: int, features: FeatureSpec | None = None
) -> nn.Module:
    """A network with fresh weights: the preset's configuration with `config` over it.

    `features` are the preset's own unless given. ModelError for an argument that the preset does not have.
    """
    return build_network(preset_name, config, labels, (features or architecture(preset_name).features).shape)


def build_network(
    preset_name: str, config: Mapping[str, Any], labels: int, shape: tuple[int, ...]
) -> nn.Module:
    """`build` for windows of features of a shape."""
    chosen = architecture(preset_name)
    if unknown := set(config) - set(chosen.config):
        raise ModelError(f"preset {preset_name} has no option {sorted(unknown)[0]!r}")
    module, network = chosen.network.split(":")
    make = getattr(importlib.import_module(f"genretag.models.{module}"), network)
    try:
        model: nn.Module = make(labels, shape, **{**chosen.config, **config})
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"preset {preset_name} cannot be built: {str(error).splitlines()[0]}") from error
    return model


def load_model(checkpoint: Checkpoint) -> nn.Module:
    """The network of a checkpoint, in evaluation mode; CheckpointError where its tensors do not fit."""
    import torch

    meta = checkpoint.meta
    where = checkpoint.path or meta.name
    unfit = CheckpointError(f"{where}: its tensors do not fit its preset {meta.preset!r}")
    try:
        # Without memory at first: a stranger's configuration may ask for more than there is.
        with torch.device("meta"):
            planned = build(meta.preset, meta.config, len(meta.labels), meta.features)
        if _values(planned.state_dict()) > _values(checkpoint.state):
            raise unfit
        model = build(meta.preset, meta.config, len(meta.labels), meta.features)
    except ModelError as error:
        raise CheckpointError(f"{where}: {error}") from None
    try:
        model.load_state_dict(checkpoint.state)
    except RuntimeError:
        raise unfit from None
    return model.eval()


def _values(state: Mapping[str, Any]) -> int:
    return sum(tensor.numel() for tensor in state.values())


def for_inference(model: nn.Module) -> nn.Module:
    """The form of a network in evaluation mode that answers soonest, with the same answers.

    Some networks have such a form; the others are returned as they are. The given one may be changed, and
    neither is to be trained or saved afterwards.
    """
    make = getattr(model, "for_inference", None)
    if make is None:
        return model
    quick: nn.Module = make()
    return quick


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers of a network (running averages of batch-norm are not trained)."""
    return sum(parameter.numel() for parameter in model.parameters())
