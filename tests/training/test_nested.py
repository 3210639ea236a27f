"""Nested folds: the estimate uses nothing of the tracks that it predicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genretag.training.grouping import cut_folds
from genretag.training.guards import HostScores
from genretag.training.learn import RECIPE
from genretag.training.nested import TrainingSet, fit_head, nested_estimate, rate_interval

GENRES, ARTISTS, TRACKS = 3, 8, 5


def training_set(seed: int, *, separation: float = 6.0, artist: float = 1.0) -> TrainingSet:
    """Return GENRES genres of ARTISTS artists with TRACKS tracks each, in rows of 12 columns."""
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(GENRES), ARTISTS * TRACKS)
    groups = np.arange(len(labels)) // TRACKS
    rows = separation * np.eye(GENRES, 12)[labels] + artist * draw.normal(size=(GENRES * ARTISTS, 12))[groups]
    rows += 0.5 * draw.normal(size=rows.shape)
    host = HostScores(rows, np.zeros(len(rows)), 0.7, np.full(len(rows), -1))
    return TrainingSet(rows, labels.astype(np.int64), groups.astype(np.int64), GENRES, host)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_labels_of_the_predicted_tracks_are_not_used(count: int) -> None:
    data = training_set(0)
    folds = cut_folds(data.labels, data.groups, count, 0)
    before = nested_estimate(data, folds, RECIPE, 0)
    held = folds[0]
    changed = replace(data, labels=np.where(held, (data.labels + 1) % GENRES, data.labels))
    after = nested_estimate(changed, folds, RECIPE, 0)
    np.testing.assert_array_equal(after.logits[held], before.logits[held])
    np.testing.assert_array_equal(after.probs[held], before.probs[held])
    np.testing.assert_array_equal(after.distances[held], before.distances[held])
    np.testing.assert_array_equal(after.answers[held], before.answers[held])
    assert not np.array_equal(after.logits[~held], before.logits[~held])


def test_separable_genres_are_answered_and_random_ones_are_not() -> None:
    data = training_set(1)
    folds = cut_folds(data.labels, data.groups, 5, 0)
    found = nested_estimate(data, folds, RECIPE, 0)
    answered = found.answers >= 0
    assert answered.mean() > 0.85
    assert np.mean(found.answers[answered] == data.labels[answered]) > 0.95
    shuffled = np.random.default_rng(2).permutation(GENRES * ARTISTS) % GENRES
    random = replace(data, labels=shuffled[data.groups].astype(np.int64))
    found = nested_estimate(random, cut_folds(random.labels, random.groups, 5, 0), RECIPE, 0)
    assert np.mean(found.answers >= 0) < 0.3


def test_unfamiliar_tracks_get_the_answer_of_the_host() -> None:
    data = training_set(3)
    far = np.zeros(len(data), bool)
    far[:TRACKS] = True
    rows = np.where(far[:, None], data.host.odds + 100.0, data.host.odds)
    host = HostScores(rows, data.host.speech, data.host.limit, np.where(far, 2, -1))
    data = replace(data, host=host)
    found = nested_estimate(data, cut_folds(data.labels, data.groups, 5, 0), RECIPE, 0)
    assert found.by_host[far].all()
    assert (found.answers[far] == 2).all()
    assert not found.by_host[~far].any()


def test_artists_weigh_less_than_their_number_of_tracks() -> None:
    data = training_set(4, separation=2.0)
    groups = data.groups.copy()
    alone = fit_head(data.rows, data.labels, np.arange(len(data)), RECIPE)
    grouped = fit_head(data.rows, data.labels, np.where(data.labels == 0, 0, groups + 1), RECIPE)
    # Genres weigh the same however their tracks are shared among artists.
    assert alone.predict_proba(data.rows).mean(axis=0) == pytest.approx(np.full(3, 1 / 3), abs=0.02)
    assert grouped.predict_proba(data.rows).mean(axis=0) == pytest.approx(np.full(3, 1 / 3), abs=0.02)


def test_intervals_take_artists_as_units_and_never_vanish() -> None:
    hits = np.repeat([True, True, True, False], 10)
    apart = rate_interval(hits, np.arange(40))
    together = rate_interval(hits, np.arange(40) // 10)
    assert together[0] < apart[0] < 0.75 < apart[1] < together[1]
    low, high = rate_interval(np.ones(20, bool), np.arange(20))
    assert 0.8 < low < 0.9
    assert high == 1.0
    assert rate_interval(np.zeros(0, bool), np.zeros(0, np.int64)) == (0.0, 1.0)
