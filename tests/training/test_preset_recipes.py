"""What presets ask of the training is something that the training knows."""

from __future__ import annotations

import pytest

from genretag.models.records import Recipe
from genretag.models.registry import PRESETS
from genretag.training.augment import Augmentation


@pytest.mark.parametrize("name", PRESETS)
def test_augmentation_of_a_preset_is_known(name: str) -> None:
    recipe = PRESETS[name].recipe
    if isinstance(recipe, Recipe):
        assert Augmentation(recipe.augmentation).options == recipe.augmentation
