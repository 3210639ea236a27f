"""One formula for scores and resamples: against scikit-learn, resampling by hand and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from genretag.training.bootstrap import Outcomes, accuracy_interval, draws, interval, macro, sample


def outcomes(kind: str, tracks: int, labels: int, windows: int = 1, seed: int = 0) -> Outcomes:
    """Random rows with many tied scores, and tracks of unequal numbers of windows."""
    rng = np.random.default_rng(seed)
    track = np.repeat(np.arange(tracks), rng.integers(1, windows + 1, size=tracks))
    probs = rng.random((len(track), labels)).round(1)
    if kind == "single":
        truth = np.eye(labels, dtype=bool)[rng.integers(labels, size=tracks)][track]
        guess = np.eye(labels, dtype=bool)[rng.integers(labels, size=len(track))]
        return Outcomes("single", truth, guess, None, track, tracks)
    truth = (rng.random((tracks, labels)) < np.linspace(0.05, 0.6, labels))[track]
    return Outcomes("multi", truth, probs >= 0.7, probs, track, tracks)


def chosen(given: Outcomes, counts: NDArray[np.float64]) -> tuple[NDArray[np.bool_], ...]:
    """Rows of `given` repeated as often as their track was drawn: resampling by hand."""
    rows = np.repeat(np.arange(len(given.track)), counts[given.track].astype(int))
    probs = given.probs if given.probs is not None else given.guess
    return given.truth[rows], given.guess[rows], probs[rows]


def test_first_column_is_the_sample_and_every_resample_draws_as_many_tracks() -> None:
    drawn = draws(50, 200, seed=3)
    assert drawn.shape == (50, 201)
    assert (drawn[:, 0] == 1).all()
    assert (drawn.sum(axis=0) == 50).all()
    assert np.array_equal(drawn, draws(50, 200, seed=3))
    assert not np.array_equal(drawn, draws(50, 200, seed=4))


def test_multi_label_scores_are_those_of_scikit_learn_for_the_sample_and_for_resamples() -> None:
    given = outcomes("multi", tracks=90, labels=5, windows=4)
    drawn = draws(90, 150)  # more resamples than one block holds
    found = sample(given, drawn)
    for column in (0, 1, 75, 150):
        truth, guess, probs = chosen(given, drawn[:, column])
        assert found.accuracy[column] == pytest.approx((truth == guess).mean(), abs=1e-12)
        f1 = metrics.f1_score(truth, guess, average=None)
        np.testing.assert_allclose(found.f1[:, column], f1, atol=1e-12)
        roc = metrics.roc_auc_score(truth, probs, average=None)
        np.testing.assert_allclose(found.roc_auc[:, column], roc, atol=1e-12)
        precision = metrics.average_precision_score(truth, probs, average=None)
        np.testing.assert_allclose(found.pr_auc[:, column], precision, atol=1e-12)


def test_single_label_scores_are_those_of_scikit_learn_for_the_sample_and_for_resamples() -> None:
    given = outcomes("single", tracks=70, labels=4, windows=3)
    drawn = draws(70, 20)
    found = sample(given, drawn)
    for column in (0, 1, 20):
        truth, guess, _ = chosen(given, drawn[:, column])
        truth, guess = truth.argmax(axis=1), guess.argmax(axis=1)
        assert found.accuracy[column] == pytest.approx(metrics.accuracy_score(truth, guess), abs=1e-12)
        assert macro(found.f1)[column] == pytest.approx(
            metrics.f1_score(truth, guess, average="macro"), abs=1e-12
        )
    assert found.roc_auc is None
    assert found.pr_auc is None
    assert set(found.overall()) == {"accuracy", "macro_f1"}


def test_labels_without_positives_are_left_out_of_means() -> None:
    given = outcomes("multi", tracks=40, labels=3)
    given.truth[:, 1] = False
    assert given.guess[:, 1].any()
    found = sample(given, draws(40, 30))
    assert np.isnan(found.f1[1]).all()
    assert np.isnan(found.roc_auc[1]).all()
    assert np.isnan(found.pr_auc[1]).all()
    others = metrics.roc_auc_score(given.truth[:, [0, 2]], given.probs[:, [0, 2]])
    assert found.overall()["roc_auc"][0] == pytest.approx(others)


def test_a_label_that_is_true_everywhere_has_no_roc() -> None:
    given = outcomes("multi", tracks=30, labels=2)
    given.truth[:] = True
    found = sample(given, draws(30, 10))
    assert np.isnan(found.roc_auc).all()
    assert found.pr_auc == pytest.approx(1.0)
    assert "roc_auc" not in found.overall()


def test_interval_for_a_faultless_sample_is_the_exact_bound() -> None:
    low, high = accuracy_interval(np.ones(201), tracks=61)
    # Published tables: 61 of 61, two-sided 95 %: 94.13 to 100 %.
    assert (round(low, 4), high) == (0.9413, 1.0)
    assert accuracy_interval(np.zeros(201), tracks=61) == (0.0, pytest.approx(1 - low))


def test_interval_holds_the_estimate() -> None:
    resampled = np.array([0.5, 0.6, 0.7, 0.8])
    assert interval(resampled)[0] == 0.5


def simulated_coverage(by_track: bool) -> float:
    """Share of simulated data whose 95 % interval of window accuracy holds the true 70 %.

    Tracks differ: half of them are right in 95 % of their windows, half in 45 %.
    """
    rng = np.random.default_rng(11)
    hits = 0
    for trial in range(300):
        ease = rng.choice((0.95, 0.45), size=60)
        right = rng.random((60, 10)) < ease[:, None]
        track = np.repeat(np.arange(60), 10) if by_track else np.arange(600)
        flags = np.stack([np.ones(600, dtype=bool), np.zeros(600, dtype=bool)], axis=1)
        guess = np.stack([right.ravel(), ~right.ravel()], axis=1)
        given = Outcomes("single", flags, guess, None, track, int(track[-1]) + 1)
        low, high = interval(sample(given, draws(given.tracks, 200, seed=trial)).accuracy)
        hits += low <= 0.7 <= high
    return hits / 300


def test_intervals_over_tracks_cover_as_they_promise_and_over_windows_would_not() -> None:
    assert 0.90 <= simulated_coverage(by_track=True) <= 0.98
    assert simulated_coverage(by_track=False) < 0.80


def test_interval_of_pr_auc_covers_where_labels_are_rare() -> None:
    rng = np.random.default_rng(2)
    density = np.geomspace(0.02, 0.2, 16)

    def draw(rows: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        truth = rng.random((rows, 16)) < density
        return truth, truth * 1.8 + rng.normal(size=truth.shape)

    truth, probs = draw(100_000)
    population = metrics.average_precision_score(truth, probs)
    ours = plain = 0
    for trial in range(50):
        truth, probs = draw(300)
        given = Outcomes("multi", truth, probs > 1, probs, np.arange(300), 300)
        found = sample(given, draws(300, 100, seed=trial))
        low, high = interval(found.overall()["pr_auc"])
        ours += low <= population <= high
        low, high = interval(macro(found.pr_auc))
        plain += low <= population <= high
    assert ours >= 41  # of 50
    assert plain <= 36  # percentiles as they are lie too high
