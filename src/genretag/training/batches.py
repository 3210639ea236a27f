"""Windows in batches: what each step of an epoch sees, made a little ahead, the same for the same seed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genretag.training.augment import Augmentation, Share, crop
from genretag.training.distributed import World
from genretag.training.examples import Examples

T = TypeVar("T")
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# Batches that are made before they are asked for. More of small ones: a network that is quick with them would
# wait whenever the thread that makes them does not get a core at once.
AHEAD, MOST_AHEAD = 2, 16
AHEAD_BYTES = 16 * 2**20


@dataclass(frozen=True, eq=False)
class Batch:
    """This process's share of one step: features (windows, *shape), truth (windows, labels).

    `track` (windows,) are the tracks of the whole step, those of the other processes included.
    """

    features: Tensor
    truth: Tensor
    track: Ints


class Batches:
    """The batches of every epoch over one part, `size` windows each over all processes of the world.

    `step_frames` lies between the starts of two windows of a track.
    """

    def __init__(
        self,
        examples: Examples,
        size: int,
        seed: int,
        augmentation: Augmentation,
        step_frames: int,
        world: World,
    ) -> None:
        self.per_epoch = max(1, -(-len(examples.windows) // size))
        self.truth = truth_of(examples)
        self._examples, self._seed, self._world = examples, seed, world
        self._augmentation, self._step_frames = augmentation, step_frames
        self._following = following(examples)
        self._depth = depth(examples, size)

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """Batches of an epoch from the step `first` on.

        All windows in an order drawn from seed and epoch; batches differ in size by one at most, so that none
        is too small for batch-norm.
        """
        order = np.random.default_rng((self._seed, number)).permutation(len(self._examples.windows))
        parts = np.array_split(order, self.per_epoch)
        return ahead(
            lambda step: self._make(number, step, parts[step]), range(first, len(parts)), self._depth
        )

    def _make(self, epoch: int, step: int, indices: Ints) -> Batch:
        draw = np.random.default_rng((self._seed, epoch, step, 0))
        mine = slice(self._world.rank, None, self._world.size)
        # A window may be mixed with any other one of the step: then all of them are made here.
        share = Share(len(indices), slice(None) if self._augmentation.mixes else mine)
        made = indices[share.rows]
        gather, track = self._examples.windows.gather, self._examples.track
        if self._augmentation.crops:
            features = crop(gather, made, self._following, self._step_frames, draw, share)
        else:
            features = gather(made)
        features, truth = self._augmentation(features, self.truth[track[made]], draw, share)
        if self._augmentation.mixes:
            features, truth = (np.ascontiguousarray(whole[mine]) for whole in (features, truth))
        tensors = torch.from_numpy(features), torch.from_numpy(truth)
        if self._world.device.type == "cuda":
            tensors = tensors[0].pin_memory(), tensors[1].pin_memory()
        return Batch(*tensors, track[indices])


def truth_of(examples: Examples) -> Floats:
    """1 where a label is true of a track: float32 (tracks, labels), whatever the kind of labels."""
    if examples.labels.kind == "multi":
        return examples.targets.astype(np.float32)
    return np.eye(len(examples.labels), dtype=np.float32)[examples.targets]


def following(examples: Examples) -> Ints:
    """Index of the window that comes next in the same track, -1 where there is none: (windows,)."""
    count = len(examples.windows)
    found = np.arange(1, count + 1)
    same = examples.track[1:] == examples.track[:-1]
    if examples.number is not None:
        same &= examples.number[1:] == examples.number[:-1] + 1
    found[~np.append(same, False)] = -1
    return found


def depth(examples: Examples, size: int) -> int:
    """How many batches of `size` windows to make ahead."""
    return min(max(AHEAD, AHEAD_BYTES // (4 * size * math.prod(examples.shape))), MOST_AHEAD)


def ahead(make: Callable[[int], T], numbers: range, depth: int = AHEAD) -> Iterator[T]:
    """`make` of every number, in order; `depth` of them are made in a thread while the caller is busy."""
    with ThreadPoolExecutor(1, "genretag-batches") as thread:
        waiting: deque[Future[T]] = deque()
        try:
            for number in numbers:
                waiting.append(thread.submit(make, number))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
