"""Where a training begins: with nothing, with a checkpoint of its own kind, with weights of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_examples import GENRES
from torch import nn

from genretag import checkpoint
from genretag.checkpoint import CheckpointMeta
from genretag.errors import CheckpointError, GenretagError, ModelError
from genretag.labels import LabelSet
from genretag.models.registry import build, preset
from genretag.training.transfer import Beginning, probe_base, start

GRU = preset("gru")
CONFIG = {**GRU.config, "hidden": 6}
MUSICNN = preset("musicnn")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A checkpoint of a small gru for three genres."""
    network = build("gru", CONFIG, 3)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(0.25)
    path = tmp_path / "own.safetensors"
    checkpoint.save(path, CheckpointMeta("mine", "gru", CONFIG, GRU.features, GENRES), network.state_dict())
    return path


def begin(labels: LabelSet, init: Path | str | None, *, freeze: bool = False) -> tuple[nn.Module, Beginning]:
    network = build("gru", CONFIG, len(labels))
    init = None if init is None else str(init)
    return network, start(network, GRU, CONFIG, GRU.features, labels, init=init, freeze=freeze)


def taken(network: nn.Module) -> set[str]:
    """The parts whose every tensor is the checkpoint's."""
    state = network.state_dict()
    theirs = {name for name, tensor in state.items() if bool((tensor == 0.25).all())}
    return {name.split(".")[0] for name in theirs} - {name.split(".")[0] for name in set(state) - theirs}


def test_from_scratch() -> None:
    network, beginning = begin(GENRES, None)
    assert beginning == Beginning(None, False)
    assert not taken(network)


def test_the_same_labels_take_over_everything(own: Path) -> None:
    network, beginning = begin(GENRES, own)
    assert beginning == Beginning("mine", True)
    assert taken(network) == {"standardise", "cells", "output"}


@pytest.mark.parametrize("names", [("a", "b", "c"), ("blues", "jazz", "rock", "pop")])
def test_other_labels_need_another_output(own: Path, names: tuple[str, ...]) -> None:
    network, _ = begin(LabelSet(names, "single"), own)
    assert taken(network) == {"standardise", "cells"}
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_frozen_trains_what_depends_on_the_labels(own: Path) -> None:
    network, _ = begin(GENRES, own, freeze=True)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {"output.weight", "output.bias"}


def test_weights_that_ship() -> None:
    labels = LabelSet(("a", "b"), "single")
    source = checkpoint.load(checkpoint.shipped()["musicnn-mtt"])
    for init, freeze in (("musicnn-mtt", True), ("published", False)):
        network = build("musicnn", {}, 2)
        beginning = start(
            network, MUSICNN, MUSICNN.config, MUSICNN.features, labels, init=init, freeze=freeze
        )
        assert beginning.standardised or init == "published"
        assert beginning.origin is not None
        assert "musicnn" in beginning.origin
        assert all(p.requires_grad for p in network.output.parameters())  # type: ignore[union-attr]
        assert network.dense.weight.requires_grad != freeze  # type: ignore[union-attr]
        same = torch.equal(network.dense.weight, source.state["dense.weight"])  # type: ignore[arg-type]
        assert same == (init == "musicnn-mtt")  # what is published are the weights of MSD


def test_what_does_not_fit_is_one_line(own: Path, tmp_path: Path) -> None:
    def refused(message: str, error: type[GenretagError] = ModelError, **changes: object) -> None:
        given = {
            "preset": GRU,
            "config": CONFIG,
            "features": GRU.features,
            "labels": GENRES,
            "init": str(own),
        }
        network = build("gru", CONFIG, 3)
        with pytest.raises(error, match=message) as caught:
            start(network, **{**given, **changes})  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)

    refused("own.safetensors: a gru, with which a lstm cannot begin", preset=preset("lstm"))
    refused("its hidden is 6, not 7", config={**CONFIG, "hidden": 7})
    refused("hears other features", features=replace(GRU.features, n_coefficients=20))
    refused("no model or file named 'nothing'", CheckpointError, init="nothing")
    refused("preset gru cannot start 'fine-tune'", init="published")
    other = tmp_path / "other.pt"
    torch.save({"weight": torch.zeros(2)}, other)
    refused("preset gru cannot start 'fine-tune'", init=str(other))


def test_the_base_of_a_probe(own: Path) -> None:
    probe = preset("probe")
    config, features = probe_base(probe.config, probe.features, None)
    base = checkpoint.read_meta(checkpoint.shipped()["musicnn-msd"])
    assert (config, features) == ({**probe.config, "base_config": base.config}, probe.features)
    config, features = probe_base(probe.config, probe.features, "vgg-mtt")
    assert (config["base"], config["base_preset"], config["base_labels"]) == ("vgg-mtt", "vgg", 50)
    assert features == probe.features
    config, features = probe_base(probe.config, probe.features, str(own))
    assert (config["base"], config["base_kind"], config["base_config"]) == ("mine", "single", CONFIG)
    assert (probe.features.level, probe.features.version) == (-20.0, 2)
    # 22,050 samples a second in hops of 512
    assert features == replace(GRU.features, step_frames=43, level=-20.0, version=2)
