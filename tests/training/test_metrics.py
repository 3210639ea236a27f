"""Evaluations: known values, real annotations, real scores of windows, and input that does not fit."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from evaluations import GENRES, TAGS, multi, single
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

from genretag.errors import TrainingError
from genretag.labels import LabelSet
from genretag.training.metrics import Baseline, evaluate_scores

GIVEN = {"model": "m", "dataset": "d", "split": "official", "leak_free": True}


def test_four_tracks_counted_by_hand() -> None:
    truth = [0, 0, 1, 2]
    probs = [
        [0.6, 0.3, 0.1],  # track 0: mean says blues, votes say jazz twice
        [0.4, 0.5, 0.1],
        [0.45, 0.5, 0.05],
        [0.1, 0.8, 0.1],  # track 1: jazz both ways
        [0.1, 0.9, 0.0],  # track 2: jazz both ways
        [0.0, 0.1, 0.9],  # track 3: one vote each; rock is likelier
        [0.0, 0.6, 0.4],
    ]
    found = evaluate_scores(truth, probs, [0, 0, 0, 1, 2, 3, 3], GENRES, train_truth=[1, 1, 0, 2], **GIVEN)
    assert found.vote is not None
    assert found.window is not None
    assert found.confusion is not None
    assert (found.track.n, found.track.accuracy) == (4, 0.75)
    assert found.vote.accuracy == 0.5
    assert (found.window.n, found.window.accuracy) == (7, pytest.approx(3 / 7))
    assert found.confusion.matrix == ((1, 1, 0), (0, 1, 0), (0, 0, 1))
    assert found.baseline == Baseline("majority class (jazz)", 0.25, None, None)
    blues = found.per_class["blues"]
    assert (blues.precision, blues.recall, blues.f1, blues.n) == (1.0, 0.5, pytest.approx(2 / 3), 2)
    assert found.track.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.track.roc_auc is None
    assert blues.roc_auc is None


def test_windows_may_come_in_any_order() -> None:
    truth, track = np.arange(9) % 3, np.repeat(np.arange(9), 5)
    rng = np.random.default_rng(0)
    probs, order = rng.dirichlet(np.ones(3), size=45), rng.permutation(45)
    one = evaluate_scores(truth, probs, track, GENRES, **GIVEN)
    other = evaluate_scores(truth, probs[order], track[order], GENRES, **GIVEN)
    assert one.track == other.track
    assert one.window == other.window
    np.testing.assert_allclose(one.y_prob, other.y_prob)


def test_the_same_seed_gives_the_same_evaluation() -> None:
    assert single() == single()
    assert single().track.accuracy_ci != single(seed=5).track.accuracy_ci


def test_all_zeros_gets_98_16_percent_on_magnatagatune(shared_data: Path) -> None:
    with gzip.open(shared_data / "magnatagatune" / "magnatagatune.json.gz") as file:
        clips = [clip["y_all"] for clip in json.load(file).values() if clip["y_all"] is not None]
    tags = sorted({tag for clip in clips for tag in clip})
    assert (len(clips), len(tags)) == (25_863, 188)
    place = {tag: index for index, tag in enumerate(tags)}
    truth = np.zeros((len(clips), len(tags)), dtype=bool)
    for row, clip in enumerate(clips):
        truth[row, [place[tag] for tag in clip]] = True
    silent = evaluate_scores(
        truth,
        np.zeros(truth.shape),
        np.arange(len(clips)),
        LabelSet(tuple(tags), "multi"),
        resamples=2,
        **GIVEN,
    )
    assert f"{100 * silent.baseline.accuracy:.2f}" == "98.16"
    assert silent.track.accuracy == pytest.approx(silent.baseline.accuracy)
    assert (silent.track.roc_auc, silent.track.macro_f1) == (pytest.approx(0.5), 0.0)
    assert silent.baseline.name == "all-zeros"
    assert silent.baseline.roc_auc == 0.5
    assert silent.baseline.pr_auc == pytest.approx(truth.mean())
    assert silent.track.pr_auc == pytest.approx(silent.baseline.pr_auc)


def test_real_scores_of_gtzan_windows(shared_data: Path) -> None:
    with np.load(shared_data / "gtzan" / "musicnn_msd_taggram_train.npz") as file:
        probs, genres, clips = file["X"], file["Y"], file["IDS"]
    ids, first, track = np.unique(clips, return_index=True, return_inverse=True)
    names = dict(sorted(zip(genres.tolist(), (clip.split("/")[0] for clip in clips.tolist()), strict=True)))
    train = np.arange(len(ids)) % 2 == 0
    heard = train[track]
    model = LogisticRegression(C=0.1, max_iter=300).fit(10 * probs[heard][::9], genres[heard][::9])
    scores = model.predict_proba(10 * probs[~heard])
    rows = np.cumsum(~train)[track[~heard]] - 1
    truth = genres[first][~train]
    found = evaluate_scores(
        truth, scores, rows, LabelSet(tuple(names.values()), "single"), ids=ids[~train].tolist(), **GIVEN
    )
    assert found.window is not None
    assert found.vote is not None
    assert found.confusion is not None
    said = scores.argmax(axis=1)
    assert found.window.accuracy == pytest.approx(metrics.accuracy_score(truth[rows], said))
    assert found.window.macro_f1 == pytest.approx(metrics.f1_score(truth[rows], said, average="macro"))
    mean = np.array([scores[rows == k].mean(axis=0) for k in range(len(truth))]).argmax(axis=1)
    assert found.track.accuracy == pytest.approx(metrics.accuracy_score(truth, mean))
    assert found.track.macro_f1 == pytest.approx(metrics.f1_score(truth, mean, average="macro"))
    np.testing.assert_array_equal(found.confusion.matrix, metrics.confusion_matrix(truth, mean))
    precision, recall, f1, n = metrics.precision_recall_fscore_support(truth, mean, zero_division=np.nan)
    for k, one in enumerate(found.per_class.values()):
        expected = (precision[k], recall[k], f1[k], n[k])
        assert (one.precision, one.recall, one.f1, one.n) == pytest.approx(expected)
    low, high = found.track.accuracy_ci
    assert low < found.track.accuracy < high
    # Windows of a track are alike: the interval by track is wider than one by window would be.
    wald = 1.96 * np.sqrt(found.window.accuracy * (1 - found.window.accuracy) / found.window.n)
    assert found.window.accuracy_ci[1] - found.window.accuracy_ci[0] > 2 * wald


def test_multi_label_scores_at_thresholds_of_each_tag() -> None:
    plain = multi()
    limits = {"guitar": 0.2, "slow": 0.2}
    lower = multi(thresholds=limits)
    np.testing.assert_array_equal(lower.y_guess, plain.y_prob >= (0.2, 0.2, 0.5, 0.5))
    assert lower.per_class["guitar"].recall > plain.per_class["guitar"].recall
    assert lower.track.roc_auc == plain.track.roc_auc
    assert lower.track.accuracy == pytest.approx((lower.y_guess == plain.y_true).mean())
    assert (plain.own_thresholds, lower.own_thresholds) == (False, True)


def test_tags_without_positives_are_left_out_and_named() -> None:
    found = multi()
    seen = [0, 1, 2]
    assert found.absent == ("weird",)
    assert found.track.roc_auc == pytest.approx(
        metrics.roc_auc_score(found.y_true[:, seen], found.y_prob[:, seen])
    )
    assert found.track.macro_f1 == pytest.approx(
        metrics.f1_score(found.y_true[:, seen], found.y_guess[:, seen], average="macro")
    )
    weird = found.per_class["weird"]
    assert (weird.n, weird.recall, weird.f1, weird.roc_auc, weird.pr_auc) == (0, None, None, None, None)


def test_a_model_of_whole_tracks_answers_in_place_of_the_mean() -> None:
    """Both windows of the first track say blues, the model jazz; the second track is without windows."""
    windows = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    whole = np.array([[0.1, 0.9, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    found = evaluate_scores([1, 0, 2], windows, [0, 0, 2], GENRES, track_probs=whole, **GIVEN)
    assert found.whole
    assert found.vote is not None
    assert (found.track.accuracy, found.vote.accuracy) == (1.0, 0.5)
    np.testing.assert_array_equal(found.y_prob, whole[[0, 2]])
    mean = evaluate_scores([1, 0, 2], windows, [0, 0, 2], GENRES, **GIVEN)
    assert (mean.whole, mean.track.accuracy) == (False, 0.5)
    with pytest.raises(TrainingError, match="scores must be 3 x 3"):
        evaluate_scores([1, 0, 2], windows, [0, 0, 2], GENRES, track_probs=whole[:2], **GIVEN)


def test_a_vote_of_tags_needs_half_of_the_windows() -> None:
    probs = [[0.9, 0.9, 0.1, 0.0], [0.4, 0.1, 0.1, 0.0]]
    found = evaluate_scores([[1, 1, 0, 0]], probs, [0, 0], TAGS, resamples=10, **GIVEN)
    assert found.vote is not None
    assert found.vote.accuracy == 1.0  # guitar and slow have one vote of two
    assert found.vote.roc_auc is None


def test_tracks_without_a_window_are_left_out_and_named() -> None:
    probs = np.eye(3)[[0, 1]]
    found = evaluate_scores([0, 2, 1], probs, [0, 2], GENRES, ids=["a", "b", "c"], **GIVEN)
    assert (found.ids, found.unscored) == (("a", "c"), ("b",))
    assert (found.track.n, found.track.accuracy) == (2, 1.0)
    assert found.absent == ("rock",)


def test_one_row_a_track_is_no_window() -> None:
    found = single(windows=1)
    assert found.window is None
    assert found.vote is None


def test_majority_of_the_measured_part_is_called_so() -> None:
    found = single(train_truth=None, tracks=61)
    assert found.baseline.name == "majority class of the measured part (blues)"
    assert found.baseline.accuracy == pytest.approx(21 / 61)


@pytest.mark.parametrize(
    ("leak_free", "note", "expected"),
    [
        (True, None, None),
        (True, "no known artist crosses", "No known artist crosses"),
        (False, "may be inflated: 3 artists are unknown", "May be inflated: 3 artists are unknown"),
        (False, "45 of 75 artists cross", "Inflated: 45 of 75 artists cross"),
    ],
)
def test_a_figure_that_leaks_is_called_inflated(
    leak_free: bool, note: str | None, expected: str | None
) -> None:
    assert single(leak_free=leak_free, note=note).note == expected


def test_a_leak_without_a_reason_names_the_split() -> None:
    found = single(leak_free=False, split="segment").note
    assert found is not None
    assert found.startswith("Inflated: split segment lets")


@pytest.mark.parametrize(
    ("truth", "probs", "track", "message"),
    [
        ([0, 3], np.eye(3)[:2], [0, 1], "label index below 3"),
        ([[1, 0, 0]], np.eye(3)[:1], [0], "label index below 3"),
        ([0, 1], np.eye(4)[:2], [0, 1], "windows x 3"),
        ([0, 1], np.eye(3)[:2], [0], "windows x 3"),
        ([0, 1], np.empty((0, 3)), [], "windows x 3"),
        ([0, 1], np.eye(3)[:2], [0, 2], "none of the 2 tracks"),
        ([0, 1], np.full((2, 3), np.nan), [0, 1], "no probability"),
        ([0, 1], np.full((2, 3), 1.2), [0, 1], "no probability"),
    ],
)
def test_input_that_does_not_fit_is_one_line(
    truth: object, probs: object, track: object, message: str
) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        evaluate_scores(truth, probs, track, GENRES, **GIVEN)
    assert caught.value.code == "evaluation"
    assert "\n" not in str(caught.value)


def test_multi_label_truth_must_be_flags_and_not_all_no() -> None:
    with pytest.raises(TrainingError, match="0 or 1"):
        evaluate_scores([[0, 2, 0, 0]], np.zeros((1, 4)), [0], TAGS, **GIVEN)
    with pytest.raises(TrainingError, match="no track with a true label"):
        evaluate_scores([[0, 0, 0, 0]], np.zeros((1, 4)), [0], TAGS, **GIVEN)


@pytest.mark.parametrize("ids", [["a"], ["a", "a"]])
def test_ids_name_each_track_once(ids: list[str]) -> None:
    with pytest.raises(TrainingError, match="2 tracks need as many different ids"):
        evaluate_scores([0, 1], np.eye(3)[:2], [0, 1], GENRES, ids=ids, **GIVEN)
