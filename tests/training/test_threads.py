"""CPU threads of a training: the default for each preset, and limits that end with the block."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from genretag.models.presets import PRESETS
from genretag.models.records import Recipe
from genretag.models.registry import build
from genretag.training.threads import cpu_threads, default_threads

WITHOUT_CONVOLUTIONS = {"mlp", "lstm", "bilstm", "gru", "handcrafted"}


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", [name for name, one in PRESETS.items() if isinstance(one.recipe, Recipe)])
def test_networks_without_convolutions_use_one_thread(name: str) -> None:
    with torch.device("meta"):
        network = build(name, {}, 3)
    assert default_threads(network) == (1 if name in WITHOUT_CONVOLUTIONS else None)


@pytest.mark.parametrize(("count", "inside"), [(None, 2), (1, 1), (3, 3)])
def test_threads_are_as_asked_and_then_as_before(count: int | None, inside: int) -> None:
    with cpu_threads(count):
        assert torch.get_num_threads() == inside
    assert torch.get_num_threads() == 2


def test_threads_are_as_before_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), cpu_threads(1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2
