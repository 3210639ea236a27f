"""Every window of a part through a network: logits, embeddings, and what they say of the tracks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, softmax
from torch import Tensor, nn
from torch.nn import functional as F

from genretag.labels import Kind
from genretag.training.batches import ahead, depth
from genretag.training.bootstrap import Floats, Outcomes, macro, sample
from genretag.training.calibration import calibrate
from genretag.training.distributed import World
from genretag.training.examples import Examples
from genretag.training.metrics import sum_by_track

Precision = torch.dtype  # of the arithmetic: float32, or a half one on GPUs

CPU_BATCH = 4  # windows; what lies between the layers of more falls out of a core's cache
GPU_BATCH = 64


def every_window(
    network: nn.Module,
    of: Callable[[Tensor], Tensor],
    examples: Examples,
    world: World,
    precision: Precision = torch.float32,
) -> NDArray[np.float32]:
    """`of` (the network or a method of it) of all windows, in their order: float32 (windows, columns).

    The network is put into evaluation mode and back. The processes of the world share the work, and each gets
    all of the answer.
    """
    size = CPU_BATCH if world.device.type == "cpu" else GPU_BATCH
    mine = np.arange(world.rank, len(examples.windows), world.size)
    parts = [mine[start : start + size] for start in range(0, len(mine), size)]
    rows = []
    read = ahead(
        lambda number: examples.windows.gather(parts[number]), range(len(parts)), depth(examples, size)
    )
    with evaluating(network), torch.inference_mode():
        for windows in read:
            with half_precision(world, precision):
                answer = of(torch.from_numpy(windows).to(world.device))
            rows.append(answer.float().cpu().numpy())
    shares = world.gather(np.concatenate(rows) if rows else np.empty((0, 0), np.float32))
    width = max(share.shape[1] for share in shares)
    whole = np.empty((len(examples.windows), width), np.float32)
    for rank, share in enumerate(shares):
        if len(share):
            whole[rank :: world.size] = share
    return whole


def rows_of(network: nn.Module, examples: Examples, world: World) -> NDArray[np.float32]:
    """What the decision of a fitted network takes, for every window: float32 (windows, columns).

    A Probe makes `rows` of features, a FittedModel an embedding; examples that are rows stay as they are.
    """
    given: Any = network
    make = given.rows if hasattr(network, "rows") else given.embed
    width = given.width if hasattr(network, "rows") else len(given.decision.standardise.mean)
    if examples.shape == (width,):
        return examples.windows.gather(np.arange(len(examples.windows)))
    return every_window(network, make, examples, world)


def by_track(examples: Examples) -> list[NDArray[np.intp]]:
    """Indices of the windows of every track that has any."""
    order = np.argsort(examples.track, kind="stable")
    _, starts = np.unique(examples.track[order], return_index=True)
    return np.split(order, starts[1:])


def of_tracks(
    network: nn.Module,
    of: Callable[[Tensor], Tensor],
    rows: NDArray[np.float32],
    examples: Examples,
    world: World,
) -> NDArray[np.float32]:
    """`of` (a method of a track model) of the rows of every track that has any: float32 (tracks, columns)."""
    with evaluating(network), torch.inference_mode():
        found = [
            of(torch.from_numpy(rows[mine]).to(world.device)).cpu().numpy() for mine in by_track(examples)
        ]
    return np.stack(found)


def answers(
    network: nn.Module, examples: Examples, world: World
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Logits (rows, labels) and the track of each row: of windows or, of a track model, of tracks."""
    given: Any = network
    if hasattr(network, "track"):
        rows = rows_of(network, examples, world)
        return of_tracks(network, given.track, rows, examples, world), np.unique(examples.track)
    own = examples.track.astype(np.intp)
    if hasattr(network, "decision"):
        return _decided(network, rows_of(network, examples, world), world), own
    return every_window(network, given, examples, world), own


def _decided(network: nn.Module, rows: NDArray[np.float32], world: World) -> NDArray[np.float32]:
    decision: Any = network.decision
    with torch.inference_mode():
        parts = [decision(part.to(world.device)) for part in torch.split(torch.from_numpy(rows), GPU_BATCH)]
        logits: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
    return logits


class Rows(nn.Module):
    """The frozen part of a fitted network as a network: features to rows."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        network: Any = self.network
        rows: Tensor = (network.rows if hasattr(network, "rows") else network.embed)(features)
        return rows


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, and back to what every module was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def half_precision(world: World, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Arithmetic of a GPU in another precision than float32, where one is asked for."""
    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(world.device.type, precision)


def probabilities(logits: NDArray[np.float32], kind: Kind, temperature: float = 1.0) -> Floats:
    """What logits (rows, labels) say: shares that add up to 1, or one score for each tag."""
    scaled = logits.astype(np.float64) / temperature
    shares: Floats = softmax(scaled, axis=1) if kind == "single" else expit(scaled)
    return shares


def mean_loss(logits: NDArray[np.float32], truth: NDArray[np.float32], kind: Kind) -> float:
    """Cross-entropy, or binary cross-entropy, of windows (windows, labels) in double precision."""
    said, true = torch.from_numpy(logits).double(), torch.from_numpy(truth).double()
    if kind == "single":
        return float(F.cross_entropy(said, true))
    return float(F.binary_cross_entropy_with_logits(said, true))


def track_scores(
    logits: NDArray[np.float32], examples: Examples, truth: NDArray[np.float32]
) -> tuple[float, float | None]:
    """Loss of the tracks, and their accuracy or the macro ROC-AUC of their tags, all of it calibrated.

    That is, at the temperature that suits these tracks best. The score is None where no tag can be ranked.
    Tracks without a window do not count.
    """
    kind = examples.labels.kind
    there, track = np.unique(examples.track, return_inverse=True)
    true, tracks = truth[there] > 0, len(there)
    temperature, loss = calibrate(logits.astype(np.float64), true, kind, track)
    mean = sum_by_track(probabilities(logits, kind, temperature), track, tracks) / np.bincount(track)[:, None]
    if kind == "single":
        return loss, float((mean.argmax(axis=1) == true.argmax(axis=1)).mean())
    outcomes = Outcomes(kind, true, mean >= 0.5, mean, np.arange(tracks), tracks)
    roc_auc = sample(outcomes, np.ones((tracks, 1))).roc_auc
    assert roc_auc is not None
    score = float(macro(roc_auc)[0])
    return loss, None if np.isnan(score) else score
