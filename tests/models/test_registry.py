"""Every preset keeps the same promise: built, saved and loaded, it gives the same output."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from classifiers import fitted
from genretag import checkpoint
from genretag.audio.features import table_features
from genretag.checkpoint import Checkpoint, CheckpointMeta
from genretag.errors import CheckpointError, ModelError
from genretag.labels import LabelSet, genre_labels, tag_labels
from genretag.models import standardise
from genretag.models.presets import PRESETS
from genretag.models.records import Choice, Fit, Recipe
from genretag.models.registry import (
    build,
    configured,
    count_parameters,
    is_track_model,
    load_model,
    preset,
)

SINGLE = genre_labels(["jazz", "rock"], "single")
MULTI = tag_labels(["rock", "slow", "loud", "jazz", "harp"], ["rock", "jazz"])
LABELS = genre_labels(["blues", "jazz", "rock"], "single")
GRADIENT = sorted(name for name, row in PRESETS.items() if row.fit == "gradient")


def meta_of(name: str, labels: LabelSet = LABELS) -> CheckpointMeta:
    chosen = preset(name)
    return CheckpointMeta(
        name="test",
        preset=name,
        config=dict(chosen.config),
        features=chosen.features,
        labels=labels,
        aggregation=chosen.aggregation,
    )


def features_of(name: str, windows: int) -> torch.Tensor:
    return torch.rand(windows, *preset(name).features.shape)


def make_ready(name: str, model: nn.Module, features: torch.Tensor, labels: LabelSet) -> None:
    """One step in training mode, or a fit of the last layers: what training does, in small."""
    if preset(name).fit == "gradient":
        standardise.measure(model, [features])
        model.train()(features).square().sum().backward()
        without = [key for key, parameter in model.named_parameters() if parameter.grad is None]
        assert not without, "no gradient reaches them"
        return
    columns = model.get_submodule("decision.standardise").get_buffer("mean").numel()
    draw = np.random.default_rng(0)
    X = draw.normal(size=(30, columns)).astype(np.float32)
    Y = draw.integers(0, 2, size=30 if labels.kind == "single" else (30, len(labels)))
    config = preset(name).config
    pipeline = fitted(X, Y, config["head"], variance=0.9 if config["pca"] else None)
    network: Any = model
    network.adopt(pipeline)


@pytest.mark.parametrize("labels", [SINGLE, MULTI], ids=lambda labels: labels.kind)
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_saved_and_loaded_it_gives_the_same_output(name: str, labels: LabelSet, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build(name, {}, len(labels))
    features = features_of(name, 2)
    make_ready(name, model, features, labels)
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, meta_of(name, labels), model.state_dict())
    loaded = load_model(checkpoint.load(path))
    assert not loaded.training
    saved = model.state_dict()
    assert {key: value.shape for key, value in loaded.state_dict().items()} == {
        key: value.shape for key, value in saved.items()
    }
    assert all(torch.equal(value, saved[key]) for key, value in loaded.state_dict().items())
    with torch.inference_mode():
        logits = loaded(features)
        assert logits.shape == (2, len(labels))
        assert logits.isfinite().all()
        # The last bit may depend on where in memory the same numbers lie.
        torch.testing.assert_close(logits, model.eval()(features), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - set(GRADIENT)))
def test_what_is_fitted_is_not_trained(name: str) -> None:
    model = build(name, {}, 3).train()
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())
    with pytest.raises(ModelError, match="not fitted"):
        model(features_of(name, 1))


@pytest.mark.parametrize("name", GRADIENT)
def test_windows_do_not_depend_on_their_neighbours(name: str) -> None:
    torch.manual_seed(2)
    model = build(name, {}, 3).eval()
    features = features_of(name, 2)
    with torch.inference_mode():
        torch.testing.assert_close(model(features)[1:], model(features[1:]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_table_is_whole(name: str) -> None:
    chosen = PRESETS[name]
    assert chosen.name == name
    assert chosen.summary
    assert chosen.source
    assert isinstance(chosen.recipe, Recipe if chosen.fit == "gradient" else Fit)
    assert is_track_model(name) == (chosen.aggregation == "head")
    assert (chosen.pretrained is not None) == (
        set(chosen.starts) > {"scratch"} or chosen.starts == ("frozen",)
    )
    for figure in chosen.published:
        assert 0 < figure.score < 1


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_proposal_of_the_search_can_be_built(name: str) -> None:
    space = PRESETS[name].search
    assert space
    for pick in (0, -1):
        values = {
            option: one.values[pick] if isinstance(one, Choice) else (one.low, one.high)[pick]
            for option, one in space.items()
        }
        config, recipe = configured(name, values)
        changed = [option for option in values if values[option] == getattr(recipe, option, None)]
        changed += [option for option in values if values[option] == config.get(option)]
        assert len(changed) + sum("." in option for option in values) == len(values)
        with torch.device("meta"):
            build(name, config, 3)


# Counts that the authors, torchvision or Keras print.
@pytest.mark.parametrize(
    ("name", "labels", "parameters"),
    [
        ("kostrzewa", 8, 735_944),
        ("handcrafted", 8, 399_112),
        ("resnet18", 1000, 11_689_512),
        ("musicnn", 50, 787_159),
        ("vgg", 50, 605_748),
        ("wavenet", 10, 288_140),
    ],
)
def test_parameters_are_as_many_as_published(name: str, labels: int, parameters: int) -> None:
    with torch.device("meta"):
        assert count_parameters(build(name, {}, labels)) == parameters


@pytest.mark.parametrize("name", ["handcrafted", "svm", "mlp"])
def test_tables_of_any_width_are_taken(name: str, tmp_path: Path) -> None:
    features = table_features(57)
    model = build(name, {}, 3, features)
    rows = torch.rand(4, 57)
    if name == "svm":
        X = np.random.default_rng(0).normal(size=(30, 57)).astype(np.float32)
        network: Any = model
        network.adopt(fitted(X, np.arange(30) % 3, "svm-rbf"))
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, replace(meta_of(name), features=features), model.state_dict())
    with torch.inference_mode():
        assert torch.equal(load_model(checkpoint.load(path))(rows), model.eval()(rows))


def test_values_of_a_search_go_over_the_preset() -> None:
    config, recipe = configured("kostrzewa", {"filters.1": 99, "kernel": 3, "learning_rate": 0.01})
    assert config["filters"] == [64, 99, 128, 128]
    assert config["kernel"] == 3
    assert recipe.learning_rate == 0.01
    assert PRESETS["kostrzewa"].config["filters"] == [64, 64, 128, 128]
    for option in ("filters.4", "kernel.0", "colour"):
        with pytest.raises(ModelError, match=option.replace(".", r"\.")):
            configured("kostrzewa", {option: 1})


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


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("gru", "cell", "rnn"),
        ("vggish", "pooling", "median"),
        ("vgg16-svm", "cut", "fc3"),
        ("resnet50-svm", "cut", "fc1"),
        ("efficientnet-svm", "cut", "stem"),
        ("efficientnet-svm", "body", "alexnet"),
        ("svm", "head", "forest"),
        ("probe", "rows", "logits"),
        ("probe", "statistics", ["mode"]),
    ],
)
def test_unknown_choices_are_named(name: str, option: str, value: Any) -> None:
    with pytest.raises(ModelError, match=str(value if isinstance(value, str) else value[0])) as caught:
        build(name, {option: value}, 3)
    assert "\n" not in str(caught.value)


def test_tensors_that_do_not_fit_give_one_line() -> None:
    state = build("vgg", {"filters": 8}, 3).state_dict()
    with pytest.raises(CheckpointError, match="do not fit") as caught:
        load_model(Checkpoint(meta_of("vgg"), state))
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="no preset named"):
        load_model(Checkpoint(replace(meta_of("vgg"), preset="gone"), state))


def test_names_and_descriptions_need_no_torch() -> None:
    script = "import sys, genretag.models.registry; print({'torch', 'librosa', 'sklearn'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "set()"


def test_a_configuration_that_asks_for_more_than_the_file_holds_fills_no_memory() -> None:
    """A terabyte, which would be refused only after it was asked for."""
    meta = replace(meta_of("vgg"), config={"filters": 200_000})
    with pytest.raises(CheckpointError, match="do not fit"):
        load_model(Checkpoint(meta, {"weight": torch.ones(3)}))
