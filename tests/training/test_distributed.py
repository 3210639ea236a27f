"""One process is a world too; what torchrun says must make sense."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genretag.errors import TrainingError
from genretag.training.distributed import World, joined


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with joined("cpu") as world:
        assert world == World(torch.device("cpu"), 0, 1)
        assert world.leads
        assert world.gather("mine") == ["mine"]
        network = nn.Linear(2, 2)
        assert world.wrap(network) is network
        with world.leader_first():
            pass


def test_an_environment_that_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(TrainingError, match="WORLD_SIZE, RANK, LOCAL_RANK must be numbers"), joined("cpu"):
        pass
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with (
        pytest.raises(TrainingError, match=r"2 processes cannot be joined .* start them by torchrun"),
        joined("cpu"),
    ):
        pass
