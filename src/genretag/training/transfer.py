"""Where a training begins: from scratch, from weights of others, or from a checkpoint of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from genretag import checkpoint as checkpoints
from genretag.audio.features import FeatureSpec
from genretag.checkpoint import Checkpoint
from genretag.errors import CheckpointError, ModelError
from genretag.labels import LabelSet
from genretag.models.pretrained import begin
from genretag.models.records import Preset, Start
from genretag.models.registry import build

# In place of a name or a file: the weights that the preset itself knows of.
PUBLISHED = "published"
# Distance between the starts of two windows that a probe hears, unless it stands on its usual base.
PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class Beginning:
    """What a network has before it is trained; `standardised`: its own statistics of features already."""

    origin: str | None
    standardised: bool


def start(
    network: nn.Module,
    preset: Preset,
    config: Mapping[str, Any],
    features: FeatureSpec,
    labels: LabelSet,
    *,
    init: str | None = None,
    freeze: bool = False,
) -> Beginning:
    """Give a fresh network the weights it is to begin with.

    `init`: "published", a name of `genretag models`, a checkpoint of the same preset (its output layer is
    taken over too where the labels are the same) or a file of weights that the preset knows; None: what is
    usual for the preset. With `freeze`, only what depends on the labels is trained. ModelError or
    CheckpointError, in one line, where the weights are not to be had or do not fit.
    """
    if init is None and not freeze:
        origin = begin(network, preset)
        return Beginning(origin, origin is not None and not _fresh_statistics(preset))
    if init not in (None, PUBLISHED) and (own := _own(str(init), preset)) is not None:
        of_labels = _of_labels(preset, config, features, len(labels))
        _take_over(
            network, own, config, features, set() if own.meta.labels.names == labels.names else of_labels
        )
        if freeze:
            _freeze(network, of_labels)
        return Beginning(own.meta.name, True)
    source = None if init == PUBLISHED else init
    kind: Start = "frozen" if freeze or preset.fit == "classical" else "fine-tune"
    return Beginning(begin(network, preset, kind, source), not _fresh_statistics(preset))


def probe_base(
    config: Mapping[str, Any], features: FeatureSpec, init: str | None
) -> tuple[dict[str, Any], FeatureSpec]:
    """Configuration and features of a probe on the checkpoint `init`, or on the base that it names."""
    name = str(config["base"]) if init in (None, PUBLISHED) else str(init)
    meta = checkpoints.read_meta(checkpoints.resolve(name))
    changes = {
        "base": meta.name,
        "base_preset": meta.preset,
        "base_config": dict(meta.config),
        "base_labels": len(meta.labels),
        "base_kind": meta.labels.kind,
        "base_temperature": meta.temperature,
    }
    heard = replace(meta.features, level=features.level, version=features.version)
    if _front(features) == _front(heard):
        return {**config, **changes}, features
    step = round(PROBE_SECONDS * heard.sample_rate / heard.hop_length)
    return {**config, **changes}, replace(heard, step_frames=min(step, heard.frames))


def _own(init: str, preset: Preset) -> Checkpoint | None:
    """The checkpoint of that name or file; None where the preset takes weights of others from it."""
    path = checkpoints.resolve(init)
    try:
        meta = checkpoints.read_meta(path)
    except CheckpointError:
        return None
    if preset.fit == "classical":
        return None
    if meta.preset != preset.name:
        raise ModelError(f"{path}: a {meta.preset}, with which a {preset.name} cannot begin")
    return checkpoints.load(path)


def _take_over(
    network: nn.Module, own: Checkpoint, config: Mapping[str, Any], features: FeatureSpec, fresh: set[str]
) -> None:
    """Copy all tensors but the `fresh` ones."""
    meta = own.meta
    if _front(meta.features) != _front(features):
        raise ModelError(f"{own.path}: hears other features, so a training here cannot begin with it")
    for name, value in config.items():
        if meta.config.get(name, value) != value:
            raise ModelError(
                f"{own.path}: its {name} is {meta.config[name]}, not {value}; give it the same one"
            )
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name in fresh:
                continue
            if name not in own.state or own.state[name].shape != tensor.shape:
                raise ModelError(f"{own.path}: its {name} does not fit; it is of another architecture")
            tensor.copy_(own.state[name])


def _of_labels(preset: Preset, config: Mapping[str, Any], features: FeatureSpec, labels: int) -> set[str]:
    """Names of the tensors whose shape depends on the number of labels."""
    with torch.device("meta"):
        one, other = (
            build(preset.name, config, count, features).state_dict() for count in (labels, labels + 1)
        )
    return {name for name in one if one[name].shape != other[name].shape}


def _freeze(network: nn.Module, trained: set[str]) -> None:
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trained)


def _front(features: FeatureSpec) -> FeatureSpec:
    """The features without the distance between windows, which changes no window."""
    return replace(features, step_frames=1)


def _fresh_statistics(preset: Preset) -> bool:
    return preset.pretrained is None or "standardise" in preset.pretrained.fresh
