"""Every preset keeps the same promise: built, saved and loaded, it gives the same output."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genretag import checkpoint
from genretag.checkpoint import Checkpoint, CheckpointMeta
from genretag.errors import CheckpointError, ModelError
from genretag.labels import genre_labels
from genretag.models.registry import PRESETS, build, count_parameters, load_model, preset

LABELS = genre_labels(["blues", "jazz", "rock"], "single")


def meta_of(name: str) -> CheckpointMeta:
    chosen = preset(name)
    return CheckpointMeta(
        name="test", preset=name, config=dict(chosen.config), features=chosen.features, labels=LABELS
    )


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_saved_and_loaded_it_gives_the_same_output(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build(name, {}, len(LABELS))
    features = torch.rand(2, *preset(name).features.shape)
    loss = model(features).square().sum()  # one step in training mode: running averages move, gradients exist
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, meta_of(name), model.state_dict())
    loaded = load_model(checkpoint.load(path))
    assert not loaded.training
    with torch.inference_mode():
        logits = loaded(features)
        assert logits.shape == (2, len(LABELS))
        assert torch.equal(logits, model.eval()(features))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_windows_do_not_depend_on_their_neighbours(name: str) -> None:
    torch.manual_seed(2)
    model = build(name, {}, 3).eval()
    features = torch.rand(3, *preset(name).features.shape)
    with torch.inference_mode():
        torch.testing.assert_close(model(features)[1:2], model(features[1:2]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_table_is_whole(name: str) -> None:
    chosen = PRESETS[name]
    assert chosen.name == name
    assert chosen.summary
    assert chosen.source
    assert chosen.recipe.learning_rate > 0
    assert count_parameters(build(name, {}, 3)) > 0


def test_configuration_goes_over_the_defaults() -> None:
    small = build("vgg", {"filters": 8}, 3)
    assert count_parameters(small) < count_parameters(build("vgg", {}, 3)) / 100


def test_unknown_names_and_options_are_named() -> None:
    with pytest.raises(ModelError, match="musicnn"):
        preset("musicn")
    with pytest.raises(ModelError, match="'layers'"):
        build("vgg", {"layers": 8}, 3)
    with pytest.raises(ModelError, match="cannot be built"):
        build("vgg", {"filters": -1}, 3)
    with pytest.raises(ModelError, match="cannot be built"):
        build("vgg", {}, 3, replace(preset("vgg").features, kind="waveform"))


def test_tensors_that_do_not_fit_give_one_line() -> None:
    state = build("vgg", {"filters": 8}, 3).state_dict()
    with pytest.raises(CheckpointError, match="do not fit") as caught:
        load_model(Checkpoint(meta_of("vgg"), state))
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="no preset named"):
        load_model(Checkpoint(replace(meta_of("vgg"), preset="gone"), state))
