"""The decision: scores in, genres out."""

from __future__ import annotations

import numpy as np

from genretag.labels import LabelSet
from genretag.predict.decide import DecisionRule, decide

TAGS = LabelSet(
    ("rock", "hip hop", "sad", "classic", "classical", "jazz"),
    "multi",
    {"rock": "Rock", "hip hop": "Hip-Hop", "classic": "Classical", "classical": "Classical", "jazz": "Jazz"},
)
SCORES = np.array([0.40, 0.30, 0.99, 0.20, 0.60, 0.10], dtype=np.float32)
AUTO = {"rock": 0.35, "hip hop": 0.31, "classic": 0.1, "classical": 0.5, "jazz": 0.05}


def genres(
    scores: np.ndarray = SCORES, thresholds: dict[str, float] | None = None, **rule: object
) -> tuple[str, ...]:
    chosen = AUTO if thresholds is None else thresholds
    return decide(scores, TAGS, chosen, DecisionRule(**rule)).genres  # type: ignore[arg-type]


def test_only_genres_above_their_own_threshold_best_first() -> None:
    assert genres() == ("Classical", "Rock", "Jazz")


def test_labels_of_one_genre_count_once_with_their_best_score() -> None:
    assert decide(SCORES, TAGS, AUTO, DecisionRule()).confidence == np.float32(0.6)
    assert genres(threshold=0.15) == ("Classical", "Rock", "Hip-Hop")


def test_top_and_single() -> None:
    assert genres(top=2) == ("Classical", "Rock")
    assert genres(task="single") == ("Classical",)


def test_nothing_sure_enough_is_no_genre() -> None:
    assert genres(threshold=0.7) == ()
    assert genres(min_confidence=0.61) == ()
    assert genres(min_confidence=0.59) == ("Classical", "Rock", "Jazz")
    assert genres(thresholds={}) == ("Classical",)


def test_a_single_label_model_names_its_best_genre_however_low() -> None:
    labels = LabelSet(("rock", "jazz"), "single", {"rock": "Rock", "jazz": "Jazz"})
    scores = np.array([0.45, 0.55])
    assert decide(scores, labels, {}, DecisionRule()).genres == ("Jazz",)
    assert decide(scores, labels, {}, DecisionRule(task="multi", threshold=0.4)).genres == ("Jazz", "Rock")
    assert decide(scores, labels, {}, DecisionRule(min_confidence=0.6)).genres == ()


TWO_LEVELS = LabelSet(
    ("genre/rock", "genre/classical", "rock", "hard rock", "electronic", "ambient", "sad"),
    "multi",
    {
        "genre/rock": "Rock",
        "genre/classical": "Classical",
        "rock": "Rock",
        "hard rock": "Hard Rock",
        "electronic": "Electronic",
        "ambient": "Ambient",
    },
    broad=("genre/rock", "genre/classical"),
)


def two_levels(*scores: float, **rule: object) -> tuple[str, ...]:
    thresholds = {
        "genre/rock": 0.5,
        "genre/classical": 0.5,
        "hard rock": 0.2,
        "electronic": 0.3,
        "ambient": 0.2,
    }
    return decide(np.array(scores), TWO_LEVELS, thresholds, DecisionRule(**rule)).genres  # type: ignore[arg-type]


def test_two_levels_the_broad_genre_first_then_what_descends_from_it() -> None:
    assert two_levels(0.9, 0.1, 0.6, 0.3, 0.1, 0.25, 0.9) == ("Rock", "Hard Rock")
    assert two_levels(0.1, 0.9, 0.6, 0.3, 0.1, 0.25, 0.9) == ("Classical",)
    assert two_levels(0.9, 0.1, 0.6, 0.3, 0.1, 0.25, 0.9, task="single") == ("Rock",)


def test_two_levels_a_genre_that_the_broad_labels_lack() -> None:
    assert two_levels(0.2, 0.8, 0.1, 0.1, 0.4, 0.25, 0.0) == ("Electronic", "Ambient")
    assert two_levels(0.2, 0.8, 0.1, 0.1, 0.2, 0.25, 0.0) == ("Classical",)


def test_two_levels_hold_their_tongue() -> None:
    assert two_levels(0.45, 0.45, 0.6, 0.3, 0.1, 0.25, 0.9) == ()
    assert two_levels(0.7, 0.3, 0.6, 0.3, 0.1, 0.1, 0.9, min_confidence=0.8) == ()
    assert two_levels(0.45, 0.44, 0.6, 0.3, 0.1, 0.1, 0.9, threshold=0.4) == ("Rock",)


def test_two_levels_a_low_threshold_brings_no_genre_that_the_broad_labels_lack() -> None:
    assert two_levels(0.2, 0.8, 0.1, 0.1, 0.2, 0.25, 0.0, threshold=0.0) == ("Classical",)


def test_nothing_is_written_beside_a_veto_whatever_the_rule_says() -> None:
    labels = LabelSet(("rock", "speech"), "multi", {"rock": "Rock"}, vetoes=("speech",))
    for speech, expected in ((0.69, ("Rock",)), (0.7, ())):
        for rule in (DecisionRule(), DecisionRule(threshold=0.0)):
            found = decide(np.array([0.9, speech]), labels, {"speech": 0.7}, rule)
            assert (found.genres, found.confidence) == (expected, 0.9)
