"""What surrounds a head of one's own genres, so that it may say nothing: see `models.two_level`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from torch import Tensor

from genretag.checkpoint import Checkpoint, CheckpointMeta
from genretag.labels import LabelSet
from genretag.models.presets import COMPOSED
from genretag.models.registry import build_network, load_model
from genretag.models.two_level import Familiar
from genretag.training.bootstrap import Floats
from genretag.training.examples import Examples
from genretag.training.forward import by_track

PREFIX = "genre/"
UNFAMILIAR = "unlike what was learnt"
# Of the files learnt from, this share is as near to the others, each measured without its fold.
NEAR = 0.95
# The veto for speech is left out where it would silence more of the files learnt from: they are speech.
SILENCED = 0.05
# Least calibrated probability of a genre that is written; of two genres one always has half.
SURE, SURE_OF_TWO = 0.5, 0.6


@dataclass(frozen=True, eq=False)
class Guards:
    """The vetoes of a model of own genres, and what they say of the files learnt from.

    `strange` (tracks,): 0.5 or more where a track is unlike the others, by a fit without its fold; `speech`
    (tracks,): reaches `limit` where a track sounds like speech. `hears_speech`: that veto is kept.
    """

    familiar: Familiar
    strange: Floats
    speech: Floats
    limit: float

    @property
    def hears_speech(self) -> bool:
        return float(np.mean(self.speech >= self.limit)) <= SILENCED

    def sure(self, probs: Floats) -> NDArray[np.bool_]:
        """Which tracks would get a genre, by their calibrated probabilities (tracks, genres)."""
        silent = self.strange >= 0.5
        if self.hears_speech:
            silent |= self.speech >= self.limit
        sure: NDArray[np.bool_] = (probs.max(axis=1) >= _least(probs.shape[1])) & ~silent
        return sure


def fit_guards(host: Checkpoint, examples: Examples, folds: Sequence[NDArray[np.bool_]]) -> Guards:
    """The guards of examples that are the embeddings of the windows of single-label tracks, by the `host`'s.

    `host` is a model of two levels whose first veto is speech.
    """
    network: Any = load_model(host)
    rows = torch.from_numpy(examples.windows.gather(np.arange(len(examples.windows))))
    with torch.inference_mode():
        odds = network.odds(network.base.output(rows).sigmoid())
        speech = network.veto(odds).sigmoid()[:, 0].double().numpy()
    tracks = by_track(examples)
    means = np.stack([odds[mine].double().mean(dim=0).numpy() for mine in tracks])
    familiar, strange = fit_familiar(means, examples.targets.astype(np.int64), folds)
    limit = host.meta.thresholds[host.meta.labels.vetoes[0]]
    return Guards(familiar, strange, np.array([speech[mine].mean() for mine in tracks]), limit)


def guarded(
    meta: CheckpointMeta, head: dict[str, Tensor], host: Checkpoint, guards: Guards
) -> tuple[CheckpointMeta, dict[str, Tensor]]:
    """Description and tensors of the two-level model of a fitted head, which `meta` describes."""
    names = tuple(PREFIX + name for name in meta.labels.names)
    tags = host.meta.labels.names[host.meta.config["broad"] :][: host.meta.config["base_labels"]]
    speech = host.meta.labels.vetoes[:1] if guards.hears_speech else ()
    vetoes = (*speech, UNFAMILIAR)
    genres = {label: meta.labels.genres[label.removeprefix(PREFIX)] for label in names}
    labels = LabelSet((*names, *tags, *vetoes), "multi", genres, broad=names, vetoes=vetoes)
    preset = COMPOSED["two-level"]
    config = {
        **meta.config,
        "broad": len(names),
        "temperature": meta.temperature,
        "vetoes": len(speech),
        "familiar": True,
    }
    thresholds = dict.fromkeys(names, _least(len(names))) | dict.fromkeys(speech, guards.limit)
    state = head | {f"familiar.{name}": tensor for name, tensor in guards.familiar.state_dict().items()}
    if speech:
        state |= {name: tensor for name, tensor in host.state.items() if name.startswith("veto.")}
    described = replace(
        meta,
        preset=preset.name,
        config=config,
        labels=labels,
        thresholds={**thresholds, UNFAMILIAR: 0.5},
        temperature=1.0,
    )
    build_network(preset.name, config, len(labels), meta.features.shape).load_state_dict(state)
    return described, state


def fit_familiar(
    rows: NDArray[np.float64], labels: NDArray[np.int64], folds: Sequence[NDArray[np.bool_]]
) -> tuple[Familiar, Floats]:
    """How far tracks with `rows` (tracks, columns) are from the nearest mean of the `labels` (tracks,).

    Also the score of every track by a fit without its fold. The covariance within labels is Ledoit and Wolf's
    of standardised columns; `limit` is what NEAR of the tracks stay within, each measured without its fold.
    """
    count = int(labels.max()) + 1
    distances = np.zeros(len(rows))
    for held in folds:
        without = _fitted(rows[~held], labels[~held], count)
        distances[held] = without.distance(_tensor(rows[held])).numpy()
    familiar = _fitted(rows, labels, count)
    limit = max(float(np.quantile(distances, NEAR)), float(np.finfo(np.float32).eps))
    familiar.limit.fill_(limit)
    return familiar, distances**2 / (distances**2 + limit**2)


def _fitted(rows: NDArray[np.float64], labels: NDArray[np.int64], count: int) -> Familiar:
    spread = rows.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    centres = np.stack([rows[labels == label].mean(axis=0) for label in range(count)])
    precision = LedoitWolf(assume_centered=True).fit((rows - centres[labels]) / scale).precision_
    familiar = Familiar(count, rows.shape[1])
    familiar.centres.copy_(_tensor(centres))
    familiar.whiten.copy_(_tensor(np.linalg.cholesky(precision) / scale[:, None]))
    return familiar


def _least(genres: int) -> float:
    return SURE_OF_TWO if genres == 2 else SURE


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).float()
