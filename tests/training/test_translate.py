"""A model's labels as answers to a dataset's: names, genres, broader genres, and what is left over."""

from __future__ import annotations

import numpy as np
import pytest

from genretag import checkpoint
from genretag.datasets import gtzan
from genretag.labels import LabelSet, genre_labels, tag_labels
from genretag.training.translate import ELSEWHERE, translate

GTZAN = genre_labels(gtzan.GENRES, "single")


def columns(model: LabelSet, dataset: LabelSet) -> dict[str, list[str]]:
    found = translate(model, dataset, {})
    return {
        label: [model.names[column] for column in some]
        for label, some in zip(found.labels.names, found.columns, strict=True)
    }


def test_the_same_labels_in_another_order_only_change_places() -> None:
    model = genre_labels(("rock", "blues", "jazz"), "single")
    dataset = genre_labels(("blues", "jazz", "rock"), "single")
    found = translate(model, dataset, {})
    assert found.labels is dataset
    assert found.unnamed == found.elsewhere == ()
    np.testing.assert_array_equal(found.apply(np.array([[0.5, 0.2, 0.3]])), [[0.2, 0.3, 0.5]])


def test_genres_answer_for_themselves_and_for_broader_ones() -> None:
    meta = checkpoint.read_meta(checkpoint.resolve("musicnn-msd"))
    found = columns(meta.labels, GTZAN)
    assert found["hiphop"] == ["Hip-Hop"]
    assert found["metal"] == ["metal", "heavy metal"]
    assert {"rock", "indie rock", "punk"} <= set(found["rock"])
    assert found["pop"] == ["pop", "indie pop"]
    assert {"soul", "House", "folk"} <= set(found[ELSEWHERE])
    # What is no genre is never written to a file and answers for nothing.
    assert "female vocalists" not in {name for names in found.values() for name in names}
    translation = translate(meta.labels, GTZAN, meta.thresholds)
    assert translation.unnamed == ("classical", "disco", "reggae")


def test_a_label_takes_the_best_of_its_answers_and_an_unnamed_one_nothing() -> None:
    model = genre_labels(("Heavy Metal", "Metal", "Soul"), "multi")
    dataset = genre_labels(("metal", "reggae"), "single")
    found = translate(model, dataset, {})
    np.testing.assert_array_equal(found.apply(np.array([[0.7, 0.2, 0.4]])), [[0.7, 0.0, 0.4]])
    assert found.labels.names == ("metal", "reggae", ELSEWHERE)
    assert (found.unnamed, found.elsewhere) == (("reggae",), ("Soul",))


def test_the_model_of_a_larger_copy_may_name_what_is_not_here() -> None:
    """Ten genres against a copy that holds three of them."""
    found = columns(GTZAN, genre_labels(("classical", "jazz", "rock"), "single"))
    assert found["rock"] == ["rock"]
    assert set(found[ELSEWHERE]) == set(gtzan.GENRES) - {"classical", "jazz", "rock"}


def test_a_narrower_label_of_the_dataset_wins_over_a_broader_one() -> None:
    model = genre_labels(("Punk", "Rock", "Folk Rock"), "single")
    assert columns(model, genre_labels(("Folk", "Punk", "Rock"), "single")) == {
        "Folk": ["Folk Rock"],
        "Punk": ["Punk"],
        "Rock": ["Rock"],
    }


def test_tags_are_compared_by_name_and_genres_also_upwards() -> None:
    model = tag_labels(("Guitar", "punk", "classical", "sad"), ("punk", "classical"))
    dataset = tag_labels(
        ("guitar", "rock", "punk", "classic", "classical", "flute"), ("rock", "punk", "classic", "classical")
    )
    assert columns(model, dataset) == {
        "guitar": ["Guitar"],
        "rock": ["punk"],
        "punk": ["punk"],
        "classic": ["classical"],
        "classical": ["classical"],
        "flute": [],
    }


def test_thresholds_go_with_their_labels() -> None:
    model = tag_labels(("techno", "electronic", "slow"), ("techno", "electronic"))
    dataset = tag_labels(("electronic", "slow", "weird"), ("electronic",))
    found = translate(model, dataset, {"techno": 0.1, "electronic": 0.3})
    assert found.thresholds == {"electronic": 0.1}
    same = translate(dataset, dataset, {"slow": 0.2})
    assert same.thresholds == {"slow": pytest.approx(0.2)}


TWO_LEVELS = LabelSet(
    ("genre/rock", "genre/jazz", "rock", "hard rock", "electronic"),
    "multi",
    {
        "genre/rock": "Rock",
        "genre/jazz": "Jazz",
        "rock": "Rock",
        "hard rock": "Hard Rock",
        "electronic": "Electronic",
    },
    broad=("genre/rock", "genre/jazz"),
)


def test_of_two_levels_only_what_may_come_first_competes() -> None:
    """As `tag` decides: a finer genre's score, however high, does not choose the broad one."""
    found = translate(TWO_LEVELS, genre_labels(("rock", "jazz"), "single"), {"electronic": 0.3})
    scores = found.apply(np.array([[0.4, 0.6, 0.9, 0.95, 0.2]]))
    np.testing.assert_array_equal(scores, [[0.4, 0.6, 0.0]])
    assert found.elsewhere == ("Electronic",)


def test_of_two_levels_a_genre_that_the_broad_ones_lack_comes_first_from_its_threshold_on() -> None:
    found = translate(TWO_LEVELS, genre_labels(("rock", "jazz"), "single"), {"electronic": 0.3})
    (scores,) = found.apply(np.array([[0.1, 0.9, 0.0, 0.0, 0.3]]))
    assert found.labels.names[scores.argmax()] == ELSEWHERE
    assert scores.max() == 0.3
    named = translate(TWO_LEVELS, genre_labels(("rock", "electronic"), "single"), {"electronic": 0.3})
    (scores,) = named.apply(np.array([[0.9, 0.1, 0.0, 0.0, 0.3]]))
    assert named.labels.names[scores.argmax()] == "electronic"
