"""The probability that a track resembles the training tracks."""

from __future__ import annotations

import pytest
import torch

from genretag.models.familiarity import Familiarity


def made(nearest: int = 2, limit: float = 2.0, steepness: float = 8.0) -> Familiarity:
    model = Familiarity(4, 2, nearest=nearest, steepness=steepness)
    tracks = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 30.0], [10.0, 10.0]])
    model.load_state_dict(
        {"tracks": tracks, "scale": torch.tensor([1.0, 10.0]), "limit": torch.tensor(limit)}
    )
    return model


def test_the_distance_is_that_to_the_second_nearest_in_scaled_columns() -> None:
    rows = torch.tensor([[0.0, 0.0], [0.0, 20.0], [4.0, 0.0]])
    assert made().distance(rows).tolist() == pytest.approx([1.0, 2.0, 4.0])
    assert made(nearest=1).distance(rows).tolist() == pytest.approx([0.0, 1.0, 3.0])


def test_it_is_one_half_at_the_limit_and_falls_with_the_distance() -> None:
    probability = made()(torch.tensor([[0.0, 20.0], [0.0, 0.0], [4.0, 0.0]]))
    assert probability.shape == (3, 1)
    assert probability[:, 0].tolist() == pytest.approx([0.5, 1 / (1 + 0.5**8), 1 / (1 + 2**8)])


def test_a_training_track_is_certain() -> None:
    assert made(nearest=1)(torch.tensor([[1.0, 0.0]])).item() == 1.0


@pytest.mark.parametrize("nearest", [0, 5])
def test_more_neighbours_than_tracks_are_refused(nearest: int) -> None:
    with pytest.raises(ValueError, match=f"nearest must be from 1 to 4, not {nearest}"):
        made(nearest=nearest)
