"""What `genretag models` can show of everything there is."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest

from genretag import checkpoint
from genretag.errors import CheckpointError
from genretag.models.catalogue import describe, listing
from genretag.models.presets import PRESETS

KEYS = {"name", "kind", "labels", "parameters", "parameters_for_labels", "trained_on", "scores"}


def test_everything_is_listed_with_the_same_keys() -> None:
    rows = listing()
    assert [row["name"] for row in rows] == [*checkpoint.shipped(), *PRESETS]
    assert all(set(row) == KEYS for row in rows)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_described_whole(name: str) -> None:
    preset = PRESETS[name]
    shown = json.loads(json.dumps(describe(name), allow_nan=False))
    assert set(shown) >= KEYS | {"summary", "architecture", "features", "aggregation", "fit", "starts"}
    assert shown["architecture"] == preset.config
    for field in fields(preset.recipe):
        assert field.name in shown
    assert set(shown["search"]) == set(preset.search)
    assert [figure["score"] for figure in shown["published"]] == [one.score for one in preset.published]
    assert (shown["pretrained"] is None) == (preset.pretrained is None)


def test_a_space_is_told_by_its_bounds_or_its_values() -> None:
    search = describe("kostrzewa")["search"]
    assert search["kernel"] == {"from": 3, "to": 6, "step": 1}
    assert search["dropout"] == {"one of": [0.2, 0.25, 0.5]}
    assert describe("vgg")["search"]["learning_rate"] == {"from": 1e-4, "to": 1e-2, "scale": "logarithmic"}


def test_unknown_names_list_weights_and_presets() -> None:
    with pytest.raises(CheckpointError, match=r"musicnn-msd.*presets: musicnn, vgg"):
        describe("nothing")


def test_the_size_of_a_preset_is_that_on_the_dataset_of_its_source() -> None:
    shown = describe("kostrzewa")
    assert (shown["parameters"], shown["parameters_for_labels"]) == (735_944, 8)


def test_statistics_of_features_are_no_parameters() -> None:
    # 10 x 50 weights and 10 biases above the encoder; its 50 means and 50 scales were measured.
    base = describe("musicnn-msd")["parameters"]
    assert describe("gtzan-musicnn")["parameters"] == base + 510


def test_the_genres_of_a_model_come_in_families() -> None:
    families = describe("auto")["families"]
    assert families["Electronic"][0] == "Electronic"
    assert {"House", "Ambient"} <= set(families["Electronic"])
    genres = [genre for family in families.values() for genre in family]
    assert sorted(genres) == sorted(set(describe("auto")["genres"].values()))
