"""What a person reads: percentages, sentences beside the scores, names that cannot do harm."""

from __future__ import annotations

import numpy as np
import pytest
from evaluations import GENRES, TAGS, multi, single
from rich.console import Console

from genretag.training import tables
from genretag.training.compare import compare
from genretag.training.metrics import evaluate_scores
from genretag.training.tables import Table

GIVEN = {"dataset": "d", "split": "s", "leak_free": True, "resamples": 50}


def test_accuracy_of_tags_is_explained_beside_the_all_zeros_baseline() -> None:
    found = multi()
    base = f"{100 * (1 - found.y_true.mean()):.2f} %"
    said = " ".join(tables.sentences(found))
    assert f"all-zeros baseline, already gets {base}" in said
    assert "True of no track here, and left out of macro scores: 1 of 4 labels (weird)." in said
    assert "threshold of 0.5" in said
    assert "the checkpoint's own thresholds" in " ".join(tables.sentences(multi(thresholds={"slow": 0.4})))


def test_single_label_scores_are_not_explained_by_tags() -> None:
    said = " ".join(tables.sentences(single(seconds_per_track=0.2134)))
    assert "all-zeros" not in said
    assert "Baseline: majority class (rock)." in said
    assert "Time: 0.213 s a track." in said


def test_it_is_said_how_a_track_is_answered() -> None:
    assert tables.sentences(single())[0].startswith("Track: mean of its windows' scores. Vote:")
    probs = np.eye(3)
    whole = evaluate_scores([0, 1, 2], probs, [0, 1, 2], GENRES, model="m", track_probs=probs, **GIVEN)
    assert tables.sentences(whole)[0].startswith("Track: what the model says of all its windows together.")


def test_a_model_no_better_than_its_baseline_is_told_so() -> None:
    assert any("not above the baseline" in line for line in tables.sentences(single(skill=0.0)))
    assert not any("not above the baseline" in line for line in tables.sentences(single(skill=4.0)))


def test_tracks_left_out_are_counted_and_named() -> None:
    probs = np.eye(3)[[0, 1]]
    found = evaluate_scores([0, 2, 1, 1], probs, [0, 2], GENRES, ids=list("abcd"), model="m", **GIVEN)
    assert "Without a score, and in no figure: 2 tracks (b, d)." in tables.sentences(found)


def test_score_table_puts_the_baseline_beside_track_vote_and_window() -> None:
    found = single()
    table = tables.score_table(found)
    assert table.columns == ("", "track", "vote", "window", "baseline")
    rows = {row[0]: row[1:] for row in table.rows}
    low, high = found.track.accuracy_ci
    assert rows["n"] == ("60", "60", "240", "")
    expected = f"{100 * found.track.accuracy:.1f}\n({100 * low:.1f}–{100 * high:.1f})"
    assert rows["accuracy, %"][0] == expected
    assert rows["accuracy, %"][-1] == "33.3"
    assert "ROC-AUC, %" not in rows
    assert tables.score_table(single(windows=1)).columns == ("", "track", "baseline")


def test_of_many_labels_the_best_and_the_worst_are_shown() -> None:
    found = multi()
    table = tables.class_table(found, most=2)
    ranked = sorted(found.per_class, key=lambda name: -(found.per_class[name].pr_auc or 0.0))
    assert [row[0] for row in table.rows] == [ranked[0], "… 2 more", ranked[-1]]
    assert len({len(row) for row in table.rows}) == 1
    assert [row[0] for row in tables.class_table(found).rows] == list(TAGS.names)


def test_undefined_scores_are_dashes() -> None:
    weird = tables.class_table(multi()).rows[-1]
    assert weird[:2] == ("weird", "0")
    assert set(weird[3:]) == {tables.NONE}


def test_most_frequent_mistakes_in_words() -> None:
    truth, given = [0] * 4 + [1] * 4 + [2] * 2, [1, 1, 1, 0, 2, 1, 1, 1, 2, 2]
    found = evaluate_scores(truth, np.eye(3)[given], np.arange(10), GENRES, model="m", **GIVEN)
    assert tables.confusion_sentence(found) == (
        "Most frequent mistakes: blues as jazz (3 of 4), jazz as rock (1 of 4)."
    )
    faultless = evaluate_scores(truth, np.eye(3)[truth], np.arange(10), GENRES, model="m", **GIVEN)
    assert tables.confusion_sentence(faultless) is None


def test_min_confidence_of_the_table_keeps_what_it_promises() -> None:
    found = single(tracks=90)
    table = tables.coverage_table(found)
    assert table is not None
    for share, accuracy, limit in table.rows:
        kept = found.y_prob.max(axis=1) >= float(limit)
        assert 100 * kept.mean() == pytest.approx(float(share.rstrip(" %")), abs=2)
        right = (found.y_true & found.y_guess).any(axis=1)[kept].mean()
        assert 100 * right == pytest.approx(float(accuracy), abs=2)
    assert tables.coverage_table(multi()) is None


def test_rows_of_a_comparison_can_be_told_apart() -> None:
    assert tables.row_names(compare([single("a"), single("b")])) == ["a", "b"]
    splits = compare([single("a"), single("a", split="segment")])
    assert tables.row_names(splits) == ["a (artist)", "a (segment)"]
    assert tables.row_names(compare([single("a"), single("a")])) == ["a (artist) #1", "a (artist) #2"]


def test_comparison_table_has_a_row_for_each_baseline() -> None:
    table = tables.comparison_table(compare([single("a"), single("b"), single("a", split="track")]))
    assert [row[0] for row in table.rows] == ["a", "b", "a", "majority class (rock)", "majority class (rock)"]
    assert [row[1] for row in table.rows[-2:]] == ["gtzan, artist", "gtzan, track"]
    alike = tables.comparison_table(compare([single("a"), single("b")]))
    assert alike.title == "Comparison on gtzan, artist, 60 tracks"
    assert [row[0] for row in alike.rows] == ["a", "b", "majority class (rock)"]


def test_inflated_rows_of_a_comparison_are_named_first_and_in_the_table() -> None:
    found = compare([single("a"), single("a", split="segment", leak_free=False)])
    assert [note[:22] for note in tables.notes(found)] == ["a (segment): Inflated:"]
    assert [row[1] for row in tables.comparison_table(found).rows][:2] == [
        "gtzan, artist",
        "gtzan, segment\n(inflated)",
    ]
    both = [single(name, leak_free=False, note="45 of 75 artists cross") for name in "ab"]
    assert tables.notes(compare(both)) == ["Inflated: 45 of 75 artists cross"]


def test_comparison_explains_all_zeros_and_what_is_untested() -> None:
    found = compare([multi("a"), multi("b", seed=1), multi("c", split="track")])
    said = tables.comparison_sentences(found)
    assert any("all-zeros baseline, already gets" in line for line in said)
    assert said[-1] == "c: no paired test (another dataset or split)."
    table = tables.difference_table(found)
    assert table is not None
    assert {row[0] for row in table.rows} == {"b"}
    assert tables.difference_table(compare([single(), single(split="track")])) is None


def test_markdown_and_terminal_show_names_as_they_are() -> None:
    table = Table("t", ("", "x"), (("a|b <i>[red]\x1b[31m", "1\n(2)"),))
    assert table.to_markdown().splitlines()[-1] == r"| a\|b &lt;i&gt;[red]\x1b[31m | 1 (2) |"
    console = Console(width=80, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table.to_rich())
    assert r"a|b <i>[red]\x1b[31m" in captured.get()


def test_bytes_of_a_name_that_are_no_text_are_shown() -> None:
    assert tables.printable("caf\udce9 é") == r"caf\udce9 é"
