"""Losses held against torch's own, balanced and not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from genretag.training.loss import Loss

CPU = torch.device("cpu")
TRACK = np.array([0, 0, 0, 1, 2, 2])


def test_cross_entropy() -> None:
    truth = np.eye(3, dtype=np.float32)[[0, 1, 2]]
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    wanted = torch.tensor([0, 1, 2])[TRACK]
    plain = Loss("single", truth, TRACK, balanced=False, device=CPU)
    found = plain.total(logits, torch.from_numpy(truth[TRACK])) / plain.whole(TRACK)
    assert found.item() == pytest.approx(F.cross_entropy(logits, wanted).item())
    # Six windows of three labels, which have three, one and two of them.
    weights = torch.tensor([6 / 9, 6 / 3, 6 / 6])
    balanced = Loss("single", truth, TRACK, balanced=True, device=CPU)
    found = balanced.total(logits, torch.from_numpy(truth[TRACK])) / balanced.whole(TRACK)
    assert found.item() == pytest.approx(F.cross_entropy(logits, wanted, weights).item())


def test_cross_entropy_of_mixed_truth() -> None:
    truth = np.eye(2, dtype=np.float32)
    mixed = torch.tensor([[0.3, 0.7], [1.0, 0.0]])
    logits = torch.tensor([[1.0, -1.0], [0.5, 0.0]])
    loss = Loss("single", truth, np.array([0, 1]), balanced=False, device=CPU)
    assert loss.total(logits, mixed).item() == pytest.approx(
        F.cross_entropy(logits, mixed, reduction="sum").item()
    )


def test_binary_cross_entropy() -> None:
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32)
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    wanted = torch.from_numpy(truth[TRACK])
    plain = Loss("multi", truth, TRACK, balanced=False, device=CPU)
    found = plain.total(logits, wanted) / plain.whole(TRACK)
    assert found.item() == pytest.approx(F.binary_cross_entropy_with_logits(logits, wanted).item())
    # Five windows say yes to the first tag, three to the second, none to the third.
    balanced = Loss("multi", truth, TRACK, balanced=True, device=CPU)
    weights = torch.tensor([1 / 5, 3 / 3, 1.0])
    found = balanced.total(logits, wanted) / balanced.whole(TRACK)
    assert found.item() == pytest.approx(
        F.binary_cross_entropy_with_logits(logits, wanted, pos_weight=weights).item()
    )


def test_shares_of_a_step_add_up() -> None:
    """What two processes sum, over the same whole, is what one would."""
    truth = np.eye(3, dtype=np.float32)
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    loss = Loss("single", truth, TRACK, balanced=True, device=CPU)
    wanted = torch.from_numpy(truth[TRACK])
    shares = [loss.total(logits[rank::2], wanted[rank::2]) for rank in (0, 1)]
    assert sum(shares).item() == pytest.approx(loss.total(logits, wanted).item())  # type: ignore[union-attr]
