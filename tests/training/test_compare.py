"""Paired tests: known values, their rate of false alarms, and evaluations that cannot be paired."""

from __future__ import annotations

import numpy as np
import pytest
from evaluations import GENRES, multi, single
from scipy.stats import binomtest

from genretag.errors import UsageError
from genretag.labels import LabelSet
from genretag.training.compare import compare, holm, mcnemar
from genretag.training.metrics import evaluate_scores


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 9), (12, 30), (7, 7), (700, 800)])
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)


def test_holm_in_the_order_given() -> None:
    # Holm's procedure on 0.01, 0.04, 0.03 (times 3, 1 and 2, never falling).
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])


def test_single_label_models_are_tested_on_the_tracks_they_share() -> None:
    first, second = single("gru", skill=0.3), single("cnn", skill=3.0, seed=1)
    found = compare([first, second])
    accuracy, f1 = found.differences
    right = [(e.y_true & e.y_guess).any(axis=1) for e in (first, second)]
    gained, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    assert (accuracy.score, accuracy.test, accuracy.row, accuracy.n) == ("accuracy", "McNemar", 1, 60)
    assert (accuracy.only_this, accuracy.only_reference) == (gained, lost)
    assert accuracy.p == pytest.approx(binomtest(lost, gained + lost).pvalue)
    assert accuracy.value == pytest.approx(second.track.accuracy - first.track.accuracy)
    assert accuracy.ci[0] <= accuracy.value <= accuracy.ci[1]
    assert accuracy.ci[0] > 0
    assert accuracy.p < 0.05
    assert (f1.score, f1.test) == ("macro_f1", "bootstrap")
    assert f1.value == pytest.approx(second.track.macro_f1 - first.track.macro_f1)
    assert f1.p < 0.05


def test_multi_label_models_are_tested_by_bootstrap_on_every_score() -> None:
    first, second = multi("vgg", skill=0.5), multi("musicnn", skill=3.0, seed=1)
    found = compare([first, second])
    assert [d.score for d in found.differences] == ["accuracy", "macro_f1", "roc_auc", "pr_auc"]
    for difference in found.differences:
        gain = getattr(second.track, difference.score) - getattr(first.track, difference.score)
        assert difference.value == pytest.approx(gain)
        assert difference.test == "bootstrap"
        assert difference.only_this is None
        assert difference.p < 0.05
        assert difference.ci[0] > 0


def test_a_model_does_not_differ_from_itself() -> None:
    for evaluation in (single(), multi()):
        for difference in compare([evaluation, evaluation]).differences:
            assert (difference.value, difference.ci, difference.p) == (0.0, (0.0, 0.0), 1.0)


def test_equal_models_are_rarely_called_different() -> None:
    """Two models that guess from the same scores plus noise of their own: 5 % of p lie below 0.05."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(60):
        truth = rng.random((150, 2)) < 0.4
        common = truth + rng.normal(size=truth.shape)
        pair = []
        for name in "ab":
            logits = common + rng.normal(size=truth.shape)
            labels = LabelSet(("x", "y"), "multi")
            given = {"model": name, "dataset": "d", "split": "s", "leak_free": True, "resamples": 2}
            probs = 1 / (1 + np.exp(-logits))
            pair.append(evaluate_scores(truth, probs, np.arange(150), labels, **given))
        roc = compare(pair, resamples=200).differences[2]
        assert roc.score == "roc_auc"
        alarms += roc.p < 0.05
    assert alarms <= 9  # more than that has a chance below 0.3 %


def test_tracks_that_only_one_model_scored_are_left_out() -> None:
    first = single("gru", ids=[f"t{k}" for k in range(60)])
    second = single("cnn", seed=1, tracks=30, ids=[f"t{k}" for k in range(30, 60)])
    accuracy = compare([first, second]).differences[0]
    right = (first.y_true & first.y_guess).any(axis=1)[30:]
    assert accuracy.n == 30
    assert accuracy.value == pytest.approx(second.track.accuracy - right.mean())


def test_the_order_of_tracks_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    truth, probs = np.arange(30) % 3, rng.dirichlet(np.ones(3), size=30)
    order = rng.permutation(30)
    ids = [f"t{k}" for k in range(30)]
    given = {"dataset": "d", "split": "s", "leak_free": True}
    one = evaluate_scores(truth, probs, np.arange(30), GENRES, ids=ids, model="a", **given)
    shuffled = [ids[k] for k in order]
    other = evaluate_scores(
        truth[order], probs[order], np.arange(30), GENRES, ids=shuffled, model="b", **given
    )
    assert [d.value for d in compare([one, other]).differences] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (single(split="segment"), "another dataset or split"),
        (single(dataset="fma"), "another dataset or split"),
        (multi(dataset="gtzan", split="artist"), "other labels"),
        (single(ids=[f"x{k}" for k in range(60)]), "no track in common"),
        (single(ids=[str(k) for k in range(1, 61)]), "the same tracks have other true labels"),
    ],
)
def test_what_cannot_be_paired_stays_in_the_table_with_the_reason(other: object, reason: str) -> None:
    found = compare([single(), other])
    assert len(found.evaluations) == 2
    assert found.differences == ()
    assert found.untested == {1: reason}


def test_p_is_corrected_over_models_within_each_score() -> None:
    models = [single("a", skill=0.2), *(single(name, skill=0.8, seed=s) for s, name in enumerate("bcd", 1))]
    found = compare(models)
    for score in ("accuracy", "macro_f1"):
        family = [d for d in found.differences if d.score == score]
        assert [d.row for d in family] == [1, 2, 3]
        assert [d.p_holm for d in family] == pytest.approx(holm([d.p for d in family]))


def test_one_evaluation_is_no_comparison() -> None:
    with pytest.raises(UsageError, match="two"):
        compare([single()])


def test_a_model_may_have_an_answer_that_is_true_of_no_track() -> None:
    truth, everyone = np.arange(30) % 3, np.arange(30)
    given = {"dataset": "d", "split": "s", "leak_free": True, "resamples": 50}
    right = evaluate_scores(truth, np.eye(3)[truth], everyone, GENRES, model="right", **given)
    wider = LabelSet((*GENRES.names, "elsewhere"), "single")
    answers = np.where(everyone < 12, 3, truth)
    astray = evaluate_scores(truth, np.eye(4)[answers], everyone, wider, model="astray", **given)
    found = compare([right, astray])
    assert found.untested == {}
    accuracy, macro_f1 = found.differences
    assert (accuracy.only_reference, accuracy.only_this) == (12, 0)
    assert accuracy.value == pytest.approx(-0.4)
    assert macro_f1.value == pytest.approx(astray.track.macro_f1 - right.track.macro_f1)
    there = evaluate_scores([*truth, 3], np.eye(4)[[*truth, 3]], np.arange(31), wider, model="x", **given)
    assert compare([right, there]).untested == {1: "other labels"}
