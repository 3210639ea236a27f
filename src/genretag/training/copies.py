"""Recordings that several files hold: byte copies, and copies in another format, level or bit rate."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import nn

from genretag import checkpoint as checkpoints
from genretag.audio.windows import Coverage
from genretag.checkpoint import Checkpoint
from genretag.datasets.base import Clip, Dataset
from genretag.errors import FileError
from genretag.models.presets import PRESETS
from genretag.models.registry import build_network, for_inference
from genretag.predict.engine import EngineOptions
from genretag.training.cache import FeatureCache, Front, Frozen
from genretag.training.forward import Rows
from genretag.training.windows import FileWindows, StoredWindows

BASE = "auto"
# The default coverage of `tag`.
COVERAGE: Coverage = "fast"
# Squared distance of aligned windows, divided by the spread of the windows within both files. Of 48 GTZAN
# clips all copies are below 0.32 (mp3 and AAC at 64 and Opus at 32 kbit/s, 6 dB quieter, 0.2 and 0.5 s cut
# off), and all 17,766 pairs of 189 different clips are above 0.71.
SAME_RECORDING = 0.6
_BLOCK = 512  # files compared with all others at a time

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


def encoder_config(host: Checkpoint) -> dict[str, Any]:
    """Return the configuration of a probe on the embedding of the encoder of `host`."""
    usual = PRESETS["probe"].config
    base = {name: value for name, value in host.meta.config.items() if name in usual}
    return {**usual, **base, "rows": "embedding"}


def probe_on(host: Checkpoint, config: Mapping[str, Any], labels: int) -> nn.Module:
    """Build a probe with the encoder of `host` and an output layer that is not fitted yet."""
    network: Any = build_network("probe", config, labels, host.meta.features.shape)
    network.base.load_state_dict(
        {name.removeprefix("base."): value for name, value in host.state.items() if name.startswith("base.")}
    )
    probe: nn.Module = network
    return probe


def embed_files(
    host: Checkpoint, paths: Sequence[Path], engine: EngineOptions, *, quiet: bool = False
) -> tuple[StoredWindows | FileError, ...]:
    """Return the embeddings of the windows of each file by the encoder of `host`, from the feature cache.

    Byte copies of a recording share one cached file.
    """
    network: Any = probe_on(host, encoder_config(host), 2)

    def make() -> nn.Module:
        return Rows(for_inference(copy.deepcopy(network)))

    frozen = Frozen(f"{host.meta.tensors_sha256} embedding", (network.width,), make)
    cache = FeatureCache(Front(host.meta.features, None, frozen, COVERAGE))
    return cache.fill(paths, engine, quiet=quiet)


def recording_groups(stored: Sequence[StoredWindows]) -> Ints:
    """Return a number per file, equal for files that hold the same recording.

    Byte copies are found by their audio identity, by which the cache names its files. Others are found by
    their embeddings: windows at the same relative positions nearly agree only if the audio and its length do.
    That needs two windows (about 6 s); shorter files are compared by audio identity alone.

    Args:
        stored: Embeddings of the windows of each file.

    Returns:
        Group numbers, shape (files,).
    """
    _, first, own = np.unique([str(file.path) for file in stored], return_index=True, return_inverse=True)
    by_count: dict[int, list[int]] = defaultdict(list)
    for number, file in enumerate(first):
        by_count[stored[file].count].append(number)
    windows = {number: _read(stored[file]) for number, file in enumerate(first) if stored[file].count > 1}
    edges = [np.empty((0, 2), np.int64)]
    for count, numbers in sorted(by_count.items()):
        if count > 1:
            # Encoder padding can add or remove the last window.
            others = numbers + by_count.get(count + 1, [])
            rows = np.stack([windows[number][:count] for number in others])
            edges += [np.array(others)[pairs] for pairs in similar_pairs(rows, len(numbers))]
    found = np.concatenate(edges)
    graph = coo_array((np.ones(len(found)), (found[:, 0], found[:, 1])), shape=(len(first), len(first)))
    groups: Ints = connected_components(graph, directed=False)[1][own.ravel()].astype(np.int64)
    return groups


def similar_pairs(rows: Floats, queries: int) -> Iterator[NDArray[np.intp]]:
    """Yield index pairs (pairs, 2) of similar files among rows (files, windows, columns).

    Each of the first `queries` files is compared with all files.
    """
    rows = rows - rows.mean(axis=(0, 1))  # less cancellation in the squared distances
    spread = np.square(rows - rows.mean(axis=1, keepdims=True)).sum(axis=(1, 2))
    flat = rows.reshape(len(rows), -1)
    square = np.square(flat).sum(axis=1)
    for start in range(0, queries, _BLOCK):
        block = slice(start, min(start + _BLOCK, queries))
        distance = square[block, None] + square - 2 * flat[block] @ flat.T
        near = distance < SAME_RECORDING * (spread[block, None] + spread)
        first, second = np.nonzero(near)
        pairs = np.stack([first + start, second], axis=1)
        yield pairs[pairs[:, 0] != pairs[:, 1]]


def _read(stored: StoredWindows) -> Floats:
    windows = FileWindows([stored], [np.arange(stored.count)])
    return windows.gather(np.arange(stored.count))


def one_per_recording(clips: Sequence[Clip], groups: Ints) -> list[Clip]:
    """Return the first clip of each recording, with all labels that its copies have."""
    copies: dict[int, list[Clip]] = defaultdict(list)
    for clip, group in zip(clips, groups.tolist(), strict=True):
        copies[group].append(clip)
    return [
        replace(
            members[0],
            labels=tuple(dict.fromkeys(label for clip in members for label in clip.labels)),
            artist=next((clip.artist for clip in members if clip.artist), None),
        )
        for members in copies.values()
    ]


def with_two_labels(clips: Sequence[Clip], groups: Ints) -> list[tuple[Clip, ...]]:
    """Return the copies of each recording that does not have the same labels in all files."""
    copies: dict[int, list[Clip]] = defaultdict(list)
    for clip, group in zip(clips, groups.tolist(), strict=True):
        copies[group].append(clip)
    return [tuple(some) for some in copies.values() if len({frozenset(clip.labels) for clip in some}) > 1]


def find_copies(
    dataset: Dataset, engine: EngineOptions, *, quiet: bool = False
) -> tuple[tuple[tuple[str, ...], ...], list[tuple[Clip, ...]]]:
    """Find the copies among the clips of a dataset with audio.

    Returns:
        The ids of the clips of each recording with several, and the clips of those with different labels.
    """
    clips = [clip for clip in dataset.clips if clip.path is not None]
    paths = [clip.path for clip in clips if clip.path is not None]
    host = checkpoints.load(checkpoints.resolve(BASE))
    answers = embed_files(host, paths, engine, quiet=quiet)
    known = [
        (clip, file) for clip, file in zip(clips, answers, strict=True) if isinstance(file, StoredWindows)
    ]
    if not known:
        return (), []
    readable = [clip for clip, _ in known]
    groups = recording_groups([file for _, file in known])
    copies: dict[int, list[str]] = defaultdict(list)
    for clip, group in zip(readable, groups.tolist(), strict=True):
        copies[group].append(clip.id)
    return tuple(tuple(ids) for ids in copies.values() if len(ids) > 1), with_two_labels(readable, groups)


def name_conflicts(conflicts: Sequence[Sequence[Clip]], consequence: str) -> str:
    """Name the first recordings with different labels, in one line that ends with the consequence."""
    shown = "; ".join(" and ".join(_two_of(some)) for some in conflicts[:3])
    rest = f" and {len(conflicts) - 3:,} more" if len(conflicts) > 3 else ""
    noun = "recording has" if len(conflicts) == 1 else "recordings have"
    return f"{len(conflicts):,} {noun} different genres in different files, {consequence}: {shown}{rest}"


def _two_of(copies: Sequence[Clip]) -> tuple[str, str]:
    other = next(clip for clip in copies if set(clip.labels) != set(copies[0].labels))
    return copies[0].id, other.id
