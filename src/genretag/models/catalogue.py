"""What `genretag models` shows: weights that ship, a person's own, and presets that can be trained."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import Any

from genretag import checkpoint
from genretag.errors import CheckpointError
from genretag.labels import families
from genretag.models.presets import PRESETS
from genretag.models.records import Choice, LogRange, Pretrained, Range
from genretag.models.registry import build, count_parameters

# A preset has as many outputs as its dataset has labels: its size is that on the dataset of its source.
LABELS_OF_SOURCE = {"FMA small": 8, "GTZAN": 10, "MagnaTagATune": 50}


def listing() -> list[dict[str, Any]]:
    """One object per checkpoint that has a name and per preset, with the same keys; one's own come first.

    One's own that cannot be read are left out: `describe` says what is wrong with them.
    """
    mine = []
    for name in checkpoint.own():
        with contextlib.suppress(CheckpointError):
            mine.append(_weights(name))
    return mine + [_weights(name) for name in checkpoint.shipped()] + [_preset(name) for name in PRESETS]


def describe(name: str) -> dict[str, Any]:
    """Everything about a checkpoint, by its name or file, or a preset; a shipped name wins."""
    if name in checkpoint.shipped() or name not in PRESETS:
        try:
            path = checkpoint.resolve(name)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; presets: {', '.join(PRESETS)}") from None
        meta = checkpoint.read_meta(path)
        return {
            **_weights(name),
            "genres": dict(meta.labels.genres),
            "families": {family: list(of) for family, of in families(meta.labels.genres.values()).items()},
            "task": meta.labels.kind,
            "preset": meta.preset,
            "architecture": {**PRESETS[meta.preset].config, **meta.config}
            if meta.preset in PRESETS
            else meta.config,
            "features": meta.features.to_dict(),
            "aggregation": meta.aggregation,
            "normalisation": meta.normalisation,
            "thresholds": meta.thresholds,
            "temperature": meta.temperature,
            "split": meta.split,
            "split_hash": meta.split_hash,
            "seed": meta.seed,
            "licence": meta.licence,
            "origin": meta.origin,
            "package_version": meta.package_version,
            "extra": meta.extra,
        }
    preset = PRESETS[name]
    return {
        **_preset(name),
        "summary": preset.summary,
        "network": preset.network,
        "architecture": dict(preset.config),
        "features": {**preset.features.to_dict(), "seconds": round(preset.features.window_seconds, 3)},
        "aggregation": preset.aggregation,
        "fit": preset.fit,
        **asdict(preset.recipe),
        "starts": list(preset.starts),
        "pretrained": _origin(preset.pretrained),
        "search": {option: _space(space) for option, space in preset.search.items()},
        "published": [asdict(figure) for figure in preset.published],
        "source": preset.source,
    }


def _origin(weights: Pretrained | None) -> dict[str, str] | None:
    if weights is None:
        return None
    return {"name": weights.name, "origin": weights.origin, "licence": weights.licence}


def _space(space: Choice | Range | LogRange) -> dict[str, Any]:
    if isinstance(space, Choice):
        return {"one of": list(space.values)}
    scale = {"scale": "logarithmic"} if isinstance(space, LogRange) else {"step": space.step}
    return {"from": space.low, "to": space.high, **scale}


def _weights(name: str) -> dict[str, Any]:
    path = checkpoint.resolve(name)
    meta = checkpoint.read_meta(path)
    return {
        "name": meta.name,
        "kind": "weights",
        "labels": list(meta.labels.names),
        "parameters": checkpoint.parameter_count(path),
        "parameters_for_labels": len(meta.labels),
        "trained_on": meta.dataset,
        "scores": meta.scores,
    }


def _preset(name: str) -> dict[str, Any]:
    import torch

    published = PRESETS[name].published
    labels = LABELS_OF_SOURCE[published[0].dataset if published else "GTZAN"]
    # The meta device counts without making the numbers; what scikit-learn fits has no size before.
    with torch.device("meta"):
        parameters = count_parameters(build(name, {}, labels))
    return {
        "name": name,
        "kind": "preset",
        "labels": [],
        "parameters": parameters,
        "parameters_for_labels": labels,
        "trained_on": None,
        "scores": {},
    }
