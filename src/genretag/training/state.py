"""What a run needs to go on after a kill: tensors and a JSON document in one file, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from genretag.errors import TrainingError
from genretag.files import put_in_place

FORMAT_VERSION = 1
_KEY = "genretag-run"
_PART = "/"  # between the parts of a tensor's name; module names have dots


@dataclass(frozen=True)
class RunState:
    """A run between two steps.

    `settings` are those that decide its result, by the names that people know them by; `progress` is whatever
    JSON the loop wants back; `tensors` are on the CPU.
    """

    settings: Mapping[str, Any]
    progress: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def save_state(path: Path, state: RunState) -> None:
    """Write a state: a crash leaves the last one or this one. TrainingError where the disk is full."""
    document = {"format": FORMAT_VERSION, "settings": state.settings, "progress": state.progress}
    # Clones: safetensors refuses tensors that share memory.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.tensors.items()}
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    write_durably(path, serialise(tensors, {_KEY: text}), "the run's state")


def load_state(path: Path) -> RunState:
    """The state that `save_state` wrote, on the CPU; TrainingError where it is none or of another version."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        document = json.loads(text or "null")
    except (SafetensorError, OSError, ValueError):
        raise TrainingError(f"{path}: cannot be read; start again with another --out") from None
    match document:
        case {"format": version, "settings": dict(settings), "progress": dict(progress)}:
            if version == FORMAT_VERSION:
                return RunState(settings, progress, tensors)
            raise TrainingError(f"{path}: written by another version of genretag; go on with that one")
    raise TrainingError(f"{path}: not the state of a training run; give another --out")


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], where: Path) -> None:
    """Refuse, with TrainingError, to go on with other settings than those a run was started with."""
    now = json.loads(json.dumps(now))  # what JSON makes of tuples, it made of those before
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise TrainingError(
                f"{where}: started with {name} {_said(before.get(name))}, not {_said(now.get(name))}; "
                "resume with the settings it had, or give another --out"
            )


def pack(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with their names under `name`."""
    return {f"{name}{_PART}{key}": tensor for key, tensor in tensors.items()}


def unpack(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that `pack` put under `name`."""
    prefix = name + _PART
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def pack_optimiser(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Tensors of an optimiser (`number/name`), and the numbers of its groups of parameters as JSON."""
    document = optimiser.state_dict()
    tensors = {
        f"{number}{_PART}{name}": torch.as_tensor(value)
        for number, values in document["state"].items()
        for name, value in values.items()
        if value is not None
    }
    groups = [{k: v for k, v in group.items() if k != "params"} for group in document["param_groups"]]
    return tensors, groups


def unpack_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Give a fresh optimiser of the same parameters the state that `pack_optimiser` took."""
    document = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(_PART, 1)
        state.setdefault(int(number), {})[name] = tensor
    for group, saved in zip(document["param_groups"], groups, strict=True):
        # JSON has no tuples, and the betas of Adam are one.
        group.update({key: tuple(v) if isinstance(v, list) else v for key, v in saved.items()})
    optimiser.load_state_dict({"state": state, "param_groups": document["param_groups"]})


def write_durably(path: Path, content: bytes, what: str) -> None:
    """Put a file in place whole; TrainingError, in one line, where that cannot be done."""
    try:
        put_in_place(path, content)
    except OSError as error:
        raise TrainingError(f"{path}: {what} cannot be written ({error.strerror})") from None


def _said(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)
