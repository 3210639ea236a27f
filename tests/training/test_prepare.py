"""Options become a blueprint: what is overridden, what is refused before any work is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genretag.errors import GenretagError, ModelError, TrainingError
from genretag.models.presets import PRESETS
from genretag.models.records import Fit, Recipe
from genretag.training.augment import Augmentation
from genretag.training.options import TrainOptions
from genretag.training.prepare import blueprint, takes_tables, usual_augmentation


def plan_of(model: str, **more: Any) -> Any:
    return blueprint(TrainOptions("folder", model, **more))


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_stands_as_it_is(name: str) -> None:
    plan = plan_of(name)
    chosen = PRESETS[name]
    assert plan.recipe == chosen.recipe
    assert plan.features == chosen.features
    # What the base of a probe is made of is known only from its checkpoint.
    assert {**plan.config, "base_config": None} == {**chosen.config, "base_config": None}
    if isinstance(plan.recipe, Recipe):
        Augmentation(plan.recipe.augmentation)  # whose names are known


def test_options_win() -> None:
    plan = plan_of(
        "gru",
        epochs=3,
        batch_size=8,
        learning_rate=0.5,
        class_weights=True,
        patience=0,
        values={"hidden": 16, "schedule": "constant"},
    )
    assert plan.config["hidden"] == 16
    recipe = plan.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (3, 8, 0.5)
    assert (recipe.class_weights, recipe.patience, recipe.schedule) == (True, None, "constant")
    fit = PRESETS["svm"].recipe
    assert isinstance(fit, Fit)
    changed = plan_of("svm", values={"c": 3.0}, class_weights=True).recipe
    assert changed == replace(fit, c=3.0, class_weights=True)


def test_augmentation() -> None:
    own = PRESETS["kostrzewa"].recipe.augmentation
    assert own
    assert plan_of("kostrzewa", augment=True).recipe.augmentation == own
    assert plan_of("kostrzewa", augment=False).recipe.augmentation == {}
    assert plan_of("gru").recipe.augmentation == {}
    assert set(plan_of("gru", augment=True).recipe.augmentation) == {"mixup", "random-crop", "spec-augment"}
    assert set(usual_augmentation(PRESETS["wavenet"].features)) == {"mixup", "random-crop"}
    assert set(usual_augmentation(PRESETS["handcrafted"].features)) == {"mixup"}


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        ("gru", {"grid": True}, "gru is trained by gradient and has no grid"),
        ("gru", {"learning_rate": 0.0}, "--lr 0.0: give a number above 0"),
        ("gru", {"learning_rate": float("nan")}, "--lr nan: give a number above 0"),
        ("gru", {"values": {"epochs": "many"}}, "--epochs many: give a number above 0"),
        ("gru", {"values": {"cell": "rnn"}}, "cell must be lstm or gru"),
        ("vggish", {"values": {"pooling": "max"}}, "preset vggish cannot be built"),
        ("svm", {"patience": 3}, "svm is fitted, not trained"),
        ("gru", {"inner_folds": 5}, "gru is trained by gradient; leave out --inner-folds"),
        ("probe", {"values": {"window_step": 0}}, "window_step 0: give a whole number from 1 up"),
        ("probe", {"init": "nothing"}, "no model or file named 'nothing'"),
    ],
)
def test_what_is_refused(model: str, more: dict[str, Any], message: str) -> None:
    with pytest.raises(GenretagError, match=message) as caught:
        plan_of(model, **more)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, TrainingError | ModelError) or model == "probe"


def test_which_presets_take_any_table() -> None:
    taking = {name for name in PRESETS if takes_tables(plan_of(name))}
    assert {"handcrafted", "svm"} <= taking
    assert not taking & {"gru", "cnn", "musicnn", "kostrzewa", "probe", "efficientnet-svm", "wavenet"}


def test_the_default_folder() -> None:
    several = TrainOptions("fma:medium:multi", "gru", seed=4).folder
    assert several == Path("genretag-runs/fma-medium-multi-gru-4")
    named = TrainOptions("magnatagatune", "vgg", variant="188").folder
    assert named == Path("genretag-runs/magnatagatune-188-vgg-0")
    assert TrainOptions("gtzan", "gru", out=Path("here")).folder == Path("here")
