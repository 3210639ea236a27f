"""The map of a library: the same each time, within its frame, and neighbours stay neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from genretag.pages import layout
from genretag.pages.layout import lay_out


def crowds(tracks: int, labels: int = 12) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Scores of tracks of three sounds, and which sound each has."""
    random = np.random.default_rng(3)
    kind = np.arange(tracks) % 3
    odds = random.normal(0, 3, (3, labels))[kind] + random.normal(0, 0.5, (tracks, labels))
    return (1 / (1 + np.exp(-odds))).astype(np.float32), kind


def agreement(places: NDArray[np.float64], kind: NDArray[np.intp]) -> float:
    """Share of tracks whose nearest neighbour on the map has their sound."""
    distances = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    return float((kind[distances.argmin(axis=1)] == kind).mean())


@pytest.mark.parametrize("landmarks", [1500, 90])
def test_neighbours_sound_alike_laid_out_whole_or_by_a_sample(
    landmarks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "LANDMARKS", landmarks)
    scores, kind = crowds(240)
    places = lay_out(scores)
    assert places.shape == (240, 2)
    assert places.min() >= 0
    assert places.max() <= 1
    assert agreement(places, kind) > 0.95
    assert np.array_equal(places, lay_out(scores))


@pytest.mark.parametrize("tracks", [0, 1, 2, 3, 9, 10, 12])
def test_a_few_tracks_have_places_too(tracks: int) -> None:
    places = lay_out(crowds(tracks)[0])
    assert places.shape == (tracks, 2)
    assert np.isfinite(places).all()


def test_tracks_that_are_all_alike_lie_together() -> None:
    places = lay_out(np.full((20, 5), 0.3, dtype=np.float32))
    assert np.allclose(places, 0.5)


def test_scores_of_nothing_and_of_certainty_have_places() -> None:
    scores = np.zeros((30, 4), dtype=np.float32)
    scores[np.arange(30), np.arange(30) % 4] = 1.0
    assert np.isfinite(lay_out(scores)).all()


def test_one_label_makes_a_line() -> None:
    places = lay_out(np.linspace(0.1, 0.9, 8, dtype=np.float32)[:, None])
    assert np.isfinite(places).all()
