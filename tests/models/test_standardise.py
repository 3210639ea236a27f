"""The mean and the spread of the training set, found batch by batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn

from genretag.errors import ModelError
from genretag.models.standardise import Standardise, measure


def test_batches_give_what_all_rows_give() -> None:
    draw = np.random.default_rng(0)
    rows = (draw.normal(size=(900, 5)) * [1e-3, 1, 100, 1, 1] + [0, -200, 1e5, 1e4, 3]).astype(np.float32)
    layer = Standardise(5)
    layer.measure(torch.from_numpy(part) for part in np.split(rows, [10, 300, 301]))
    scaler = StandardScaler().fit(rows.astype(np.float64))
    np.testing.assert_allclose(layer.mean, scaler.mean_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(layer.scale, scaler.scale_, rtol=1e-5)
    out = layer(torch.from_numpy(rows))
    torch.testing.assert_close(out.std(dim=0, correction=0), torch.ones(5), atol=1e-2, rtol=1e-2)


def test_frames_of_a_window_count_as_rows() -> None:
    windows = torch.randn(4, 10, 3) + torch.tensor([0.0, 5.0, -5.0])
    layer = Standardise(3)
    layer.measure([windows])
    torch.testing.assert_close(layer.mean, windows.mean(dim=(0, 1)))
    assert layer(windows).shape == windows.shape


def test_a_column_that_never_varies_is_only_centred() -> None:
    layer = Standardise(2)
    layer.measure([torch.stack([torch.full((9,), 0.1), torch.arange(9.0)], dim=1)])
    assert layer.scale[0] == 1
    assert layer(torch.tensor([[0.1, 4.0]])).abs().max() < 1e-6


def test_nothing_is_changed_before() -> None:
    features = torch.randn(2, 3)
    assert torch.equal(Standardise(3)(features), features)


@pytest.mark.parametrize("batches", [[], [torch.empty(0, 3)], [torch.full((4, 3), float("nan"))]])
def test_what_cannot_be_measured_is_refused(batches: list[torch.Tensor]) -> None:
    layer = Standardise(3)
    with pytest.raises(ModelError):
        layer.measure(batches)
    assert torch.equal(layer.mean, torch.zeros(3))


def test_networks_without_the_layer_are_left_alone() -> None:
    assert not measure(nn.Linear(3, 2), [torch.zeros(1, 3)])
