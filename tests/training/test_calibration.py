"""Calibration: bins counted by hand, a temperature that is known, coverage against every cut."""

from __future__ import annotations

import numpy as np
import pytest
from evaluations import multi, single
from scipy.special import expit, softmax

from genretag.training.calibration import (
    TEMPERATURES,
    at_coverage,
    coverage,
    fit_temperature,
    held,
    reliability,
)


def test_expected_calibration_error_by_hand() -> None:
    scores = np.array([0.05, 0.05, 0.95, 0.95, 1.0])
    found = reliability(scores, np.array([False, True, True, True, False]))
    assert found.count.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    assert found.outcome[[0, 9]] == pytest.approx([0.5, 2 / 3])
    assert np.isnan(found.outcome[1])
    last = (0.95 + 0.95 + 1.0) / 3 - 2 / 3
    assert found.ece == pytest.approx((2 * 0.45 + 3 * last) / 5)


def test_scores_that_come_true_as_often_as_they_say_have_no_error() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(50_000)
    assert reliability(scores, rng.random(50_000) < scores).ece < 0.01
    assert reliability(scores, rng.random(50_000) < scores**3).ece > 0.2


def test_coverage_is_the_accuracy_of_every_cut() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(80).round(1)  # many ties
    right = rng.random(80) < scores
    curve = coverage(scores, right)
    for covered, accuracy, limit in zip(curve.coverage, curve.accuracy, curve.limit, strict=True):
        assert covered == pytest.approx((scores >= limit).mean())
        assert accuracy == pytest.approx(right[scores >= limit].mean())
    assert curve.coverage[-1] == 1.0
    assert len(curve.limit) == len(np.unique(scores))


def test_area_under_risk_and_coverage_without_ties() -> None:
    curve = coverage(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, True]))
    assert curve.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_limit_for_a_wanted_coverage() -> None:
    curve = coverage(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, False]))
    assert at_coverage(curve, (1.0, 0.5, 0.4)) == [(1.0, 0.5, 0.6), (0.5, 1.0, 0.8), (0.5, 1.0, 0.8)]


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found(kind: str, temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(20_000, 4))
    if kind == "single":
        probs = softmax(logits, axis=1)
        truth = (probs.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)[:, None] == np.arange(4)
    else:
        truth = rng.random(logits.shape) < expit(logits)
    assert fit_temperature(logits * temperature, truth, kind) == pytest.approx(temperature, rel=0.05)


def test_temperature_fits_the_means_of_tracks() -> None:
    """Windows err in part on their own, each as sure as it should be: their mean is not sure enough."""
    rng = np.random.default_rng(0)
    truth = np.eye(3, dtype=bool)[rng.integers(3, size=400)]
    of_track = 2 * truth + rng.normal(scale=1.2, size=(400, 3))
    logits = (of_track[:, None] + rng.normal(size=(400, 8, 3))).reshape(-1, 3)
    track = np.repeat(np.arange(400), 8)
    by_window = fit_temperature(logits, truth[track], "single")
    by_track = fit_temperature(logits, truth, "single", track)
    assert by_track < 0.9 * by_window

    def loss(temperature: float) -> float:
        mean = softmax(logits / temperature, axis=1).reshape(400, 8, 3).mean(axis=1)
        return float(-np.log(mean[truth]).mean())

    assert loss(by_track) < min(loss(by_track * 0.9), loss(by_track * 1.1), loss(by_window))


def test_faultless_logits_stop_at_the_least_temperature() -> None:
    truth = np.eye(3, dtype=bool)
    assert fit_temperature(truth * 4.0, truth, "single") == pytest.approx(TEMPERATURES[0], rel=0.01)


def test_what_a_score_is_held_against() -> None:
    one = single()
    scores, right = held(one)
    np.testing.assert_array_equal(right, one.y_prob.argmax(axis=1) == one.y_true.argmax(axis=1))
    np.testing.assert_array_equal(scores, one.y_prob.max(axis=1))
    tags = multi()
    scores, right = held(tags)
    assert scores.shape == right.shape == (80 * 4,)
    assert right.sum() == tags.y_true.sum()
