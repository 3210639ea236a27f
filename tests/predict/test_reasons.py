"""Why a track got its genres: the words agree with the decision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genretag.labels import LabelSet
from genretag.predict.decide import DecisionRule, decide
from genretag.predict.reasons import Reasons, explain, sureness

FLAT = LabelSet(
    ("rock", "sad", "classic", "classical", "jazz"),
    "multi",
    {"rock": "Rock", "classic": "Classical", "classical": "Classical", "jazz": "Jazz"},
)
FLAT_NEEDS = {"rock": 0.35, "classic": 0.1, "classical": 0.5, "jazz": 0.2}
LEVELS = LabelSet(
    ("genre/rock", "genre/jazz", "rock", "hard rock", "indie rock", "electronic", "ambient", "sad", "speech"),
    "multi",
    {
        "genre/rock": "Rock",
        "genre/jazz": "Jazz",
        "rock": "Rock",
        "hard rock": "Hard Rock",
        "indie rock": "Indie Rock",
        "electronic": "Electronic",
        "ambient": "Ambient",
    },
    broad=("genre/rock", "genre/jazz"),
    vetoes=("speech",),
)
NEEDS = {"hard rock": 0.1, "indie rock": 0.2, "electronic": 0.3, "ambient": 0.2, "speech": 0.7}


def two(*scores: float, **rule: object) -> Reasons:
    """Scores of genre/rock, genre/jazz, rock, hard rock, indie rock, electronic, ambient, sad, speech."""
    return explain(np.array(scores), LEVELS, NEEDS, DecisionRule(**rule))  # type: ignore[arg-type]


def test_sureness_puts_every_threshold_in_the_middle() -> None:
    scores = np.array([0.0, 0.1, 0.5, 1.0])
    assert sureness(scores, 0.1) == pytest.approx([0.0, 0.5, 0.9, 1.0])
    assert sureness(scores, 0.5) == pytest.approx(scores)
    assert sureness(scores, 0.0) == pytest.approx(scores)
    assert sureness(scores, 1.0) == pytest.approx([0.0, 0.0, 0.0, 0.0])


def test_a_broad_genre_and_what_refines_it() -> None:
    assert two(0.7, 0.3, 0.0, 0.15, 0.18, 0.0, 0.25, 0.9, 0.0).sentences == (
        "Rock scores 0.70 and needs 0.50.",
        "It is refined by Hard Rock (0.15, needs 0.10).",
        "Heard, but no kind of Rock: Ambient (0.25, needs 0.20).",
        "Near: Indie Rock (0.18, needs 0.20), Jazz (0.30, needs 0.50).",
    )


def test_more_than_were_asked_for() -> None:
    assert (
        "Sure enough too, but 2 are the most: Indie Rock (0.25, needs 0.20)."
        in two(0.9, 0.1, 0.0, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0, top=2).sentences
    )


def test_a_genre_beside_the_broad_ones() -> None:
    assert two(0.8, 0.2, 0.0, 0.0, 0.0, 0.4, 0.19, 0.0, 0.0).sentences == (
        "Electronic scores 0.40 and needs 0.30.",
        "Being sure enough, it comes before the 2 broad genres, such as Rock (0.80, needs 0.50).",
        "Near: Ambient (0.19, needs 0.20).",
    )


def test_nothing_sure_enough() -> None:
    assert two(0.496, 0.4, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0).sentences == (
        "Nothing is sure enough. The nearest is Rock (0.496, needs 0.50).",
        "Near: Jazz (0.40, needs 0.50).",
    )
    asked = two(0.6, 0.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, min_confidence=0.8)
    assert asked.sentences == ("Nothing is sure enough. The best score, 0.60, is below the 0.80 asked for.",)


def test_a_veto() -> None:
    assert two(0.9, 0.1, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.8).sentences == (
        "Nothing is written, because this is speech (0.80, needs 0.70).",
        "As music it would be nearest to Rock (0.90, needs 0.50).",
    )


def test_labels_that_the_decision_never_asks_are_not_weighed() -> None:
    weighed = two(0.7, 0.3, 0.9, 0.15, 0.0, 0.0, 0.0, 0.9, 0.0).weighed
    assert [item.label for item in weighed[:2]] == ["genre/rock", "hard rock"]
    assert not {"rock", "sad"} & {item.label for item in weighed}
    assert {item.label: item.role for item in weighed}["electronic"] == "beside"


def test_a_set_of_one_level() -> None:
    reasons = explain(np.array([0.4, 0.9, 0.2, 0.45, 0.15]), FLAT, FLAT_NEEDS, DecisionRule())
    assert reasons.sentences == (
        "Rock scores 0.40 and needs 0.35.",
        "It is joined by Classical (0.20, needs 0.10).",
        "Near: Jazz (0.15, needs 0.20).",
    )
    # Of labels of one genre the surest stands for it.
    assert {item.name: item.label for item in reasons.weighed}["Classical"] == "classic"


def test_single_labels_have_no_thresholds() -> None:
    labels = LabelSet(("rock", "jazz"), "single", {"rock": "Rock", "jazz": "Jazz"})
    reasons = explain(np.array([0.45, 0.55]), labels, {}, DecisionRule())
    assert reasons.sentences == ("Jazz has the highest score, 0.55.", "Near: Rock (0.45).")


def test_a_model_without_genres_shows_its_labels() -> None:
    moods = LabelSet(("sad", "loud"), "multi", {})
    reasons = explain(np.array([0.2, 0.9]), moods, {}, DecisionRule())
    assert reasons.sentences == ("This model knows no genres, so nothing is written.",)
    assert [(item.name, item.chosen) for item in reasons.weighed] == [("loud", False), ("sad", False)]


@given(
    scores=st.lists(st.floats(0, 1), min_size=9, max_size=9),
    top=st.integers(1, 4),
    threshold=st.none() | st.floats(0, 1),
    least=st.floats(0, 1),
)
def test_the_words_agree_with_the_decision(
    scores: list[float], top: int, threshold: float | None, least: float
) -> None:
    rule = DecisionRule(top, threshold, least)
    reasons = explain(np.array(scores), LEVELS, NEEDS, rule)
    decision = decide(np.array(scores), LEVELS, NEEDS, rule)
    assert reasons.decision == decision
    assert tuple(item.name for item in reasons.weighed if item.chosen) == decision.genres
    assert reasons.sentences
    for genre in decision.genres:
        assert any(sentence.startswith(genre) or "It is" in sentence for sentence in reasons.sentences)
    for item in reasons.weighed:
        if item.chosen:
            assert item.reached
