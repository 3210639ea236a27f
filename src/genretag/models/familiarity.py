"""Probability that a track resembles the tracks that a model was trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Familiarity(nn.Module):
    """Estimate from the distance to the nearest training tracks whether a track resembles them.

    The distance d is the Euclidean one to the `nearest`-th nearest of the `tracks` (tracks, columns), every
    column divided by `scale` (columns,). The result is 1 / (1 + (d / limit) ** steepness), 0.5 at the
    distance `limit`. Source: Y. Sun et al., "Out-of-distribution detection with deep nearest neighbors", 2022
    (https://arxiv.org/abs/2204.06507).
    """

    tracks: Tensor
    scale: Tensor
    limit: Tensor

    def __init__(self, tracks: int, columns: int, *, nearest: int, steepness: float) -> None:
        super().__init__()
        if not 1 <= nearest <= tracks:
            raise ValueError(f"nearest must be from 1 to {tracks}, not {nearest}")
        self.nearest, self.steepness = nearest, steepness
        self.register_buffer("tracks", torch.zeros(tracks, columns))
        self.register_buffer("scale", torch.ones(columns))
        self.register_buffer("limit", torch.ones(()))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the probabilities (tracks, 1) of rows (tracks, columns)."""
        ratio = (self.distance(rows) / self.limit).clamp(min=torch.finfo(rows.dtype).tiny)
        return torch.sigmoid(-self.steepness * ratio.log()).unsqueeze(1)

    def distance(self, rows: Tensor) -> Tensor:
        """Return the distances (tracks,) of rows (tracks, columns)."""
        # The shortcut by matrix product loses digits for near rows.
        between = torch.cdist(
            rows / self.scale, self.tracks / self.scale, compute_mode="donot_use_mm_for_euclid_dist"
        )
        return between.kthvalue(self.nearest, dim=1).values
