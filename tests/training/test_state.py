"""The state of a run: what comes back is what was saved, to the bit; what is odd is one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from genretag.errors import TrainingError
from genretag.models.records import Recipe
from genretag.training.schedules import make_optimiser
from genretag.training.state import (
    RunState,
    load_state,
    pack,
    pack_optimiser,
    require_same,
    save_state,
    unpack,
    unpack_optimiser,
)

SETTINGS = {"--lr": 1e-3, "--seed": 0, "the split": "artist", "layers": (2, 3), "--patience": None}


def trained(optimiser_name: str, steps: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Linear(4, 3)
    recipe = Recipe(optimiser_name, 1e-2, 4, 1, weight_decay=0.01)  # type: ignore[arg-type]
    optimiser = make_optimiser(recipe, network)
    step(network, optimiser, steps)
    return network, optimiser


def step(network: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimiser.zero_grad()
        network(torch.ones(2, 4)).square().sum().backward()
        optimiser.step()


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd"])
def test_an_optimiser_goes_on_to_the_bit(tmp_path: Path, name: str) -> None:
    whole, optimiser = trained(name, 3)
    tensors, groups = pack_optimiser(optimiser)
    path = tmp_path / "state.safetensors"
    everything = {**pack("network", whole.state_dict()), **pack("optimiser", tensors)}
    save_state(path, RunState(SETTINGS, {"groups": groups}, everything))
    step(whole, optimiser, 2)

    other, fresh = trained(name, 0)
    state = load_state(path)
    other.load_state_dict(unpack("network", state.tensors))
    unpack_optimiser(fresh, unpack("optimiser", state.tensors), state.progress["groups"])
    step(other, fresh, 2)
    assert torch.equal(other.weight, whole.weight)
    assert torch.equal(other.bias, whole.bias)


def test_the_same_state_is_the_same_bytes(tmp_path: Path) -> None:
    tensor = torch.arange(4.0)
    # Views of one storage, which safetensors would refuse.
    state = RunState(SETTINGS, {"epoch": 3}, {"a": tensor, "b": tensor[1:], "n": torch.tensor(3)})
    save_state(tmp_path / "one", state)
    save_state(tmp_path / "two", state)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    back = load_state(tmp_path / "one")
    assert back.progress == {"epoch": 3}
    assert torch.equal(back.tensors["b"], tensor[1:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_settings_that_differ_are_named(tmp_path: Path) -> None:
    save_state(tmp_path / "state", RunState(SETTINGS, {}, {"a": torch.ones(1)}))
    before = load_state(tmp_path / "state").settings
    require_same(before, SETTINGS, tmp_path)
    with pytest.raises(TrainingError, match=r"started with --lr 0.001, not 0.01; resume with") as caught:
        require_same(before, SETTINGS | {"--lr": 0.01}, tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(TrainingError, match=r"--patience none, not 3"):
        require_same(before, SETTINGS | {"--patience": 3}, tmp_path)
    with pytest.raises(TrainingError, match=r"new none, not 1"):
        require_same(before, SETTINGS | {"new": 1}, tmp_path)


def test_what_is_no_state_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"no state at all")
    with pytest.raises(TrainingError, match="cannot be read"):
        load_state(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(TrainingError, match="not the state of a training run"):
        load_state(path)
    save_file({"a": torch.ones(1)}, path, {"genretag-run": '{"format": 99, "settings": {}, "progress": {}}'})
    with pytest.raises(TrainingError, match="another version"):
        load_state(path)


def test_a_full_disk_keeps_the_last_state(tmp_path: Path) -> None:
    """A limit on file sizes fails in the same place as a full disk, and needs no disk."""
    path = tmp_path / "state.safetensors"
    save_state(path, RunState({}, {"epoch": 1}, {"a": torch.ones(1)}))
    script = (
        "import resource, sys, torch; from pathlib import Path;"
        "from genretag.training.state import RunState, save_state;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "save_state(Path(sys.argv[1]), RunState({}, {'epoch': 2}, {'a': torch.ones(9999)}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert f"TrainingError: {path}: the run's state cannot be written (File too large)" in done.stderr
    assert load_state(path).progress == {"epoch": 1}
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
