"""A head over all windows of a track, on what a frozen model says of each of them.

Source: G. Alain, Y. Bengio, "Understanding intermediate layers using linear classifier probes", 2016
(https://arxiv.org/abs/1610.01644).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genretag.errors import ModelError
from genretag.labels import Kind
from genretag.models.classical import Decision


class Probe(nn.Module):
    """A track model: `rows` of windows from the base, `track` from rows to the logits of one track.

    The base is the network of preset `base_preset` with `base_config` and `base_labels` outputs, whose
    tensors belong to this module ("base." in a checkpoint); `base` only names where they came from. `rows`
    are the base's "scores" (its probabilities, by `base_kind` and `base_temperature`) or its "embedding";
    with `logit`, a score p is heard as log((p + offset) / (1 - p + offset)). `head` and `pca` are those of
    Decision.

    The head judges `statistics` over the windows ("mean", "std", "max", "min" or percentiles such as "p25").
    Without any it judges each window, and the track's probabilities are the mean of the windows': softmax for
    labels of `kind` "single", sigmoid for "multi". The logits are those that give this mean.

    scikit-learn fits on what `summary` gives or, without statistics, `heard`; `adopt` takes the result over.
    """

    def __init__(
        self,
        labels: int,
        shape: tuple[int, ...],
        *,
        base: str = "",
        base_preset: str = "musicnn",
        base_config: Mapping[str, Any] | None = None,
        base_labels: int = 50,
        base_kind: Kind = "multi",
        base_temperature: float = 1.0,
        rows: Literal["scores", "embedding"] = "scores",
        logit: bool = True,
        offset: float = 1e-3,
        statistics: Sequence[str] = (),
        kind: Kind = "single",
        head: str = "linear",
        pca: bool = False,
        hidden: Sequence[int] = (),
    ) -> None:
        # The registry makes probes as well as the networks that they stand on.
        from genretag.models.registry import build_network

        super().__init__()
        if rows not in ("scores", "embedding"):
            raise ValueError(f"rows must be scores or embedding, not {rows!r}")
        if not offset > 0:
            raise ValueError(f"offset must be above 0, not {offset!r}")
        self.base_kind, self.base_temperature = base_kind, base_temperature
        self.from_scores, self.kind = rows == "scores", kind
        self.offset = offset if logit and self.from_scores else None
        self.statistics = tuple(_statistic(name) for name in statistics)
        self.base = build_network(base_preset, base_config or {}, base_labels, shape)
        self.width = base_labels if self.from_scores else _embedding_width(self.base, base_preset)
        columns = self.width * max(1, len(self.statistics))
        self.decision = Decision(columns, labels, head, components=pca, layers=len(hidden) + 1)
        self.requires_grad_(False).eval()

    def forward(self, features: Tensor) -> Tensor:
        """Logits (windows, labels) of every window taken for a track of its own."""
        return self._judged(self.rows(features).unsqueeze(1))

    def rows(self, features: Tensor) -> Tensor:
        """What the base says of each window: (windows, width)."""
        return self.rows_of(self.encode(features))

    def encode(self, features: Tensor) -> Tensor:
        """Return what every head on this base can be computed from: (windows, encoded width).

        That is the embedding of each window, or its scores if the base has no embedding.
        """
        if self.output is None:
            return self._scores_of(self.base(features))
        embed: Any = self.base.embed
        embedding: Tensor = embed(features)
        return embedding

    def rows_of(self, encoded: Tensor) -> Tensor:
        """Return the rows (windows, width) that this head takes from what `encode` returned."""
        if not self.from_scores or self.output is None:
            return encoded
        return self._scores_of(self.output(encoded))

    @property
    def encoded_width(self) -> int:
        """Numbers per window of what `encode` returns."""
        output: Any = self.output
        return self.width if output is None else int(output.in_features)

    @property
    def output(self) -> nn.Module | None:
        """The base's last layer, from its embedding to its logits; None if it has no embedding."""
        if not hasattr(self.base, "embed"):
            return None
        output: nn.Module | None = getattr(self.base, "output", None) or getattr(self.base, "fc", None)
        return output

    def _scores_of(self, logits: Tensor) -> Tensor:
        logits = logits / self.base_temperature
        return logits.softmax(dim=1) if self.base_kind == "single" else logits.sigmoid()

    def track(self, rows: Tensor) -> Tensor:
        """Logits (labels,) of a track from the rows of its windows (windows, width)."""
        return self._judged(rows.unsqueeze(0))[0]

    def heard(self, rows: Tensor) -> Tensor:
        """Rows as the head hears them, in the same shape."""
        if self.offset is None:
            return rows
        return log_odds(rows, self.offset)

    def summary(self, rows: Tensor) -> Tensor:
        """Statistics over the windows of tracks: (tracks, windows, width) to (tracks, width x statistics)."""
        rows = self.heard(rows)
        return torch.cat([_over_windows(rows, statistic) for statistic in self.statistics], dim=1)

    def _judged(self, rows: Tensor) -> Tensor:
        """Logits (tracks, labels) from (tracks, windows, width)."""
        if self.statistics:
            logits: Tensor = self.decision(self.summary(rows))
            return logits
        tracks, windows = rows.shape[:2]
        of_windows = self.decision(self.heard(rows).flatten(0, 1)).unflatten(0, (tracks, windows))
        if self.kind == "single":
            log_sum: Tensor = of_windows.log_softmax(dim=2).logsumexp(dim=1)
            return log_sum - math.log(windows)
        return F.logsigmoid(of_windows).logsumexp(dim=1) - F.logsigmoid(-of_windows).logsumexp(dim=1)

    def train(self, mode: bool = True) -> Probe:
        """Nothing here changes in training: batch-norm and dropout of the base stay as in use."""
        return super().train(False)

    def for_inference(self) -> Probe:
        """See `registry.for_inference`."""
        from genretag.models.registry import for_inference

        self.base = for_inference(self.base)
        return self

    def adopt(self, steps: Iterable[Any]) -> None:
        """Take over a fitted scikit-learn Pipeline; see Decision.adopt."""
        self.decision.adopt(steps)


def log_odds(scores: Tensor, offset: float) -> Tensor:
    """Log-odds of probabilities, kept from infinity by `offset`."""
    return ((scores + offset) / (1.0 - scores + offset)).log()


def _statistic(name: str) -> str | float:
    """The name, or the fraction that a percentile stands for."""
    if name in ("mean", "std", "max", "min"):
        return name
    if re.fullmatch(r"p\d{1,2}", name):
        return int(name[1:]) / 100
    raise ValueError(f"no statistic {name!r}; there are mean, std, max, min and p0 to p99")


def _over_windows(rows: Tensor, statistic: str | float) -> Tensor:
    if isinstance(statistic, float):
        return rows.quantile(statistic, dim=1)
    if statistic == "std":
        return rows.std(dim=1, correction=0)
    if statistic == "mean":
        return rows.mean(dim=1)
    return rows.amax(dim=1) if statistic == "max" else rows.amin(dim=1)


def _embedding_width(base: nn.Module, name: str) -> int:
    output = getattr(base, "output", None) or getattr(base, "fc", None)
    if not isinstance(output, nn.Linear) or not hasattr(base, "embed"):
        raise ModelError(f"preset {name} has no embedding to probe; use its scores")
    return output.in_features
