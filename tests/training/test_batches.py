"""Batches of an epoch: every window once, the same order for the same seed, shared out between processes."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_examples import TAGS, parts

from genretag.training.augment import Augmentation
from genretag.training.batches import AHEAD, AHEAD_BYTES, MOST_AHEAD, Batches, ahead, depth, following
from genretag.training.distributed import World

CPU = World(torch.device("cpu"))


def batches(size: int = 16, seed: int = 0, world: World = CPU, **augmentation: dict[str, float]) -> Batches:
    return Batches(parts().train, size, seed, Augmentation(augmentation), 3, world)


@pytest.mark.parametrize("size", [1, 5, 16, 71, 72, 500])
def test_every_window_once(size: int) -> None:
    some = batches(size)
    epoch = list(some.epoch(1))
    assert len(epoch) == some.per_epoch
    sizes = {len(batch.features) for batch in epoch}
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    train = parts().train
    everything = train.windows.gather(np.arange(len(train.windows)))
    found = torch.cat([batch.features for batch in epoch]).numpy()
    assert np.array_equal(np.sort(found.ravel()), np.sort(everything.ravel()))


def test_an_epoch_can_be_entered_in_the_middle() -> None:
    whole, rest = list(batches().epoch(2)), list(batches().epoch(2, first=3))
    assert len(rest) == len(whole) - 3
    assert all(torch.equal(one.features, other.features) for one, other in zip(whole[3:], rest, strict=True))


def test_order_comes_from_seed_and_epoch() -> None:
    def first(seed: int, epoch: int) -> bytes:
        return next(iter(batches(seed=seed).epoch(epoch))).features.numpy().tobytes()

    assert first(0, 1) == first(0, 1)
    assert len({first(0, 1), first(0, 2), first(1, 1)}) == 3


def test_processes_share_every_step() -> None:
    whole = list(batches().epoch(1))
    shares = [list(batches(world=replace(CPU, rank=rank, size=2)).epoch(1)) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        for rank in (0, 1):
            assert torch.equal(shares[rank][step].features, batch.features[rank::2])
            assert np.array_equal(shares[rank][step].track, batch.track)


def test_truth_is_that_of_the_track() -> None:
    data = parts(TAGS).train
    for batch in Batches(data, 16, 0, Augmentation({}), 3, CPU).epoch(1):
        assert np.array_equal(batch.truth.numpy(), data.targets[batch.track])


def test_what_follows_a_window() -> None:
    train = parts(windows=3).train
    found = following(train)
    assert found[:7].tolist() == [1, 2, -1, 4, 5, -1, 7]
    assert found[-1] == -1
    assert train.number is not None
    gap = replace(train, number=np.where(train.number == 2, 5, train.number))
    assert following(gap)[:4].tolist() == [1, -1, -1, 4]
    assert following(replace(train, number=None)).tolist() == found.tolist()


@pytest.mark.parametrize("deep", [1, AHEAD, 5])
def test_ahead_keeps_order_and_does_not_run_away(deep: int) -> None:
    made: list[int] = []
    numbers = ahead(lambda number: made.append(number) or number, range(100), deep)  # type: ignore[func-returns-value]
    assert next(numbers) == 0
    assert next(numbers) == 1
    numbers.close()  # type: ignore[attr-defined]
    assert made == list(range(len(made)))
    assert len(made) <= 2 + deep
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("genretag-batches")]


def test_more_of_small_batches_are_made_ahead_than_of_large_ones() -> None:
    examples = parts(shape=(4,)).train
    assert depth(examples, 8) == MOST_AHEAD
    assert depth(examples, AHEAD_BYTES) == AHEAD
    assert depth(examples, AHEAD_BYTES // (4 * 4 * 5)) == 5


def test_ahead_hands_errors_over() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda number: 1 // number, range(3)))
