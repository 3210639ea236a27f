"""Broad genres by a probe's head, beside them all that the probe's base says, and vetoes, in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genretag.models.familiarity import Familiarity
from genretag.models.probe import Probe, log_odds


class TwoLevel(Probe):
    """A track model whose first `broad` labels are a probe's; its base's scores and `vetoes` follow.

    The broad ones exclude each other; `temperature` divides their logits before the softmax. The others are
    the means over the windows: of the base's probabilities, and of those by which the linear layer `veto`
    tells speech and the like from music. With `familiar` one more veto comes last: how unlike a track is to
    all that the head learnt. With `references`, the number of training tracks that the model holds, the broad
    probabilities are multiplied by the probability that the track resembles these (see `Familiarity`), so
    that they add up to less than one for other music; the other labels stay as they are. With `fallback`, the
    configuration of another such model on the scores of the same base, the broad probabilities and the vetoes
    of that model follow. All come as logits whose sigmoid they are, so that a set of several labels holds
    them. Made of parts that were trained; there is nothing to train here.
    """

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        broad: int,
        temperature: float,
        vetoes: int = 0,
        familiar: bool = False,
        references: int = 0,
        nearest: int = 5,
        steepness: float = 8.0,
        fallback: Mapping[str, Any] | None = None,
        base_labels: int = 50,
        offset: float = 1e-3,
        **probe: Any,
    ) -> None:
        super().__init__(broad, shape, base_labels=base_labels, offset=offset, **probe)
        added = 0
        if fallback is not None:
            if not isinstance(fallback, Mapping) or fallback.get("fallback") is not None:
                raise ValueError("fallback must be the configuration of a model without one")
            added = int(fallback.get("broad", 0))
            added += int(fallback.get("vetoes", 0)) + bool(fallback.get("familiar"))
        if labels != broad + base_labels + vetoes + familiar + added:
            parts = f"{broad} broad labels, {base_labels} scores and {vetoes + familiar} vetoes"
            more = f" with {added} labels of another model" if added else ""
            raise ValueError(f"{parts}{more} make no {labels} labels")
        self.temperature, self.odds_offset = temperature, offset
        self.veto = nn.Linear(base_labels, vetoes).requires_grad_(False) if vetoes else None
        self.familiar = Familiar(broad, base_labels) if familiar else None
        self.familiarity = (
            Familiarity(references, base_labels, nearest=nearest, steepness=steepness) if references else None
        )
        self.fallback = None if fallback is None else _without_base(fallback, base_labels + added, shape)

    def scores(self, rows: Tensor) -> Tensor:
        """The base's probabilities from rows, be they these already or its embedding: (..., base_labels)."""
        if self.from_scores:
            return rows
        output: Any = self.base.output
        said: Tensor = output(rows) / self.base_temperature
        return said.softmax(dim=-1) if self.base_kind == "single" else said.sigmoid()

    def odds(self, rows: Tensor) -> Tensor:
        """Log-odds of the base's probabilities, on which vetoes are decided: (..., base_labels)."""
        return log_odds(self.scores(rows), self.odds_offset)

    def _judged(self, rows: Tensor) -> Tensor:
        """Logits (tracks, labels) from rows (tracks, windows, width)."""
        scores = self.scores(rows)
        odds = log_odds(scores, self.odds_offset)
        mean = scores.mean(dim=1)
        broad = (super()._judged(rows) / self.temperature).softmax(dim=1)
        if self.familiarity is not None:
            broad = broad * self.familiarity(mean)
        parts = [broad, mean]
        if self.veto is not None:
            parts.append(self.veto(odds).sigmoid().mean(dim=1))
        if self.familiar is not None:
            parts.append(self.familiar(odds.mean(dim=1)))
        if self.fallback is not None:
            # Both are probabilities: sigmoid undoes the logit at the end of the other model.
            other = self.fallback._judged(scores).sigmoid()
            genres, tags = self.fallback.decision.labels, scores.shape[2]
            parts += [other[:, :genres], other[:, genres + tags :]]
        return torch.cat(parts, dim=1).logit(eps=torch.finfo(rows.dtype).eps)


def _without_base(config: Mapping[str, Any], labels: int, shape: tuple[int, ...]) -> TwoLevel:
    """Build a model that takes the scores of a base and does not hold the base itself."""
    model = TwoLevel(labels, shape, **config)
    if not model.from_scores:
        raise ValueError("the fallback must be a model on the scores of the base")
    model.base = nn.Identity()
    return model


class Familiar(nn.Module):
    """How unlike tracks are to those that were learnt, from 0 to 1: 0.5 at the distance `limit`.

    The distance d is that to the nearest of the `centres` (classes, columns) once both are multiplied by
    `whiten` (columns, columns); the score is d^2 / (d^2 + limit^2). Source: K. Lee et al., "A simple unified
    framework for detecting out-of-distribution samples and adversarial attacks", 2018
    (https://arxiv.org/abs/1807.03888).
    """

    centres: Tensor
    whiten: Tensor
    limit: Tensor

    def __init__(self, classes: int, columns: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(classes, columns))
        self.register_buffer("whiten", torch.eye(columns))
        self.register_buffer("limit", torch.ones(()))

    def forward(self, rows: Tensor) -> Tensor:
        """(tracks, columns) to (tracks, 1)."""
        squared = self.distance(rows).square().unsqueeze(1)
        return squared / (squared + self.limit.square())

    def distance(self, rows: Tensor) -> Tensor:
        """(tracks, columns) to (tracks,)."""
        return torch.cdist(rows @ self.whiten, self.centres @ self.whiten).amin(dim=1)
