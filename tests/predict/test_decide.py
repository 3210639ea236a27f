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
