"""Abstention of learnt models: novelty detector, speech veto, fallback to the host; `models.two_level`."""

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
from genretag.labels import LabelSet, canonical
from genretag.models.presets import COMPOSED
from genretag.models.registry import build_network, load_model
from genretag.models.two_level import Familiar
from genretag.predict.decide import DecisionRule, decide
from genretag.training.bootstrap import Floats
from genretag.training.examples import Examples
from genretag.training.forward import by_track

PREFIX = "genre/"
UNFAMILIAR = "unlike what was learnt"
# Before the labels of the host whose answer is used for unfamiliar tracks.
FALLBACK = "auto/"
# Share of the training files of new artists that the novelty detector accepts.
NEAR = 0.95
# The veto for speech is left out where it would silence more of the files learnt from: they are speech.
SILENCED = 0.05
# Least calibrated probability of a genre that is written; of two genres one always has half.
SURE, SURE_OF_TWO = 0.5, 0.6


@dataclass(frozen=True, eq=False)
class HostScores:
    """Scores of tracks by the model `host`, from which a learnt model decides when to abstain.

    `odds` (tracks, tags): mean log-odds of the encoder's tags, which the novelty detector takes. `speech`
    (tracks,): score of the veto for speech, which applies from `limit` on. `host` (tracks,): column of the
    learnt genre that the host answers, -1 if it abstains or answers another genre.
    """

    odds: Floats
    speech: Floats
    limit: float
    host: NDArray[np.int64]

    def of(self, tracks: NDArray[np.bool_]) -> HostScores:
        """Return the scores of some tracks."""
        return replace(self, odds=self.odds[tracks], speech=self.speech[tracks], host=self.host[tracks])


@dataclass(frozen=True, eq=False)
class Guards:
    """The vetoes of a learnt model.

    `familiar` is the novelty detector. `hears_speech` is False if the veto for speech is left out, because
    too many training files sound like speech; else it applies from `limit` on.
    """

    familiar: Familiar
    hears_speech: bool
    limit: float


def score_by_host(host: Checkpoint, examples: Examples) -> HostScores:
    """Score the tracks of examples that are embeddings of single-label tracks, by the encoder of `host`.

    `host` is a model of two levels whose first veto is speech.
    """
    network: Any = load_model(host)
    rows = torch.from_numpy(examples.windows.gather(np.arange(len(examples.windows))))
    tracks = by_track(examples)
    with torch.inference_mode():
        scores = network.base.output(rows).sigmoid()
        odds = network.odds(scores)
        speech = network.veto(odds).sigmoid()[:, 0].double().numpy()
        answers = [network.track(scores[mine]).sigmoid().double().numpy() for mine in tracks]
    meta, genres = host.meta, list(map(canonical, examples.labels.names))
    rule = DecisionRule(top=len(meta.labels), task="multi")
    decided = [decide(answer, meta.labels, meta.thresholds, rule).genres for answer in answers]
    columns = [next((genres.index(genre) for genre in some if genre in genres), -1) for some in decided]
    return HostScores(
        odds=np.stack([odds[mine].double().mean(dim=0).numpy() for mine in tracks]),
        speech=np.array([speech[mine].mean() for mine in tracks]),
        limit=meta.thresholds[meta.labels.vetoes[0]],
        host=np.array(columns, np.int64),
    )


def hears_speech(speech: Floats, limit: float) -> bool:
    """Return False if the veto for speech would silence too many of the training files."""
    return float(np.mean(speech >= limit)) <= SILENCED


def answers_of(
    probs: Floats, novelty: Floats, scores: HostScores, *, hears: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the answer of a learnt model for each track, as `predict.decide` decides on its scores.

    Args:
        probs: Calibrated probabilities of the genres, shape (tracks, genres).
        novelty: Scores of the novelty detector, shape (tracks,); it fires from 0.5 on.
        scores: Scores of the same tracks by the host.
        hears: The veto for speech applies.

    Returns:
        Columns of the genres, -1 without an answer, and where the host answered, both of shape (tracks,).
    """
    speech = (scores.speech >= scores.limit) & hears
    best = np.where(probs.max(axis=1) >= _least(probs.shape[1]), probs.argmax(axis=1), -1)
    # The host abstains from speech whether or not the learnt model does.
    by_host = (novelty >= 0.5) | speech
    found: NDArray[np.int64] = np.where(by_host, scores.host, best).astype(np.int64)
    return found, by_host & (found >= 0)


def guarded(
    meta: CheckpointMeta, head: dict[str, Tensor], host: Checkpoint, guards: Guards
) -> tuple[CheckpointMeta, dict[str, Tensor]]:
    """Description and tensors of the two-level model of a fitted head, which `meta` describes."""
    names = tuple(PREFIX + name for name in meta.labels.names)
    theirs = host.meta.labels
    tags = theirs.names[host.meta.config["broad"] :][: host.meta.config["base_labels"]]
    speech = theirs.vetoes[:1] if guards.hears_speech else ()
    vetoes = (*speech, UNFAMILIAR)
    genres = {label: meta.labels.genres[label.removeprefix(PREFIX)] for label in names}
    added = {label: label if label in tags else FALLBACK + label for label in theirs.names}
    fallback = LabelSet(
        tuple(added.values()),
        theirs.kind,
        {added[label]: genre for label, genre in theirs.genres.items()},
        tuple(added[label] for label in theirs.broad),
        tuple(added[label] for label in theirs.vetoes),
    )
    more = tuple(label for label in fallback.names if label not in tags)
    labels = LabelSet((*names, *tags, *vetoes, *more), "multi", genres, names, vetoes, fallback)
    preset = COMPOSED["two-level"]
    config = {
        **meta.config,
        "broad": len(names),
        "temperature": meta.temperature,
        "vetoes": len(speech),
        "familiar": True,
        "fallback": dict(host.meta.config),
    }
    thresholds = {added[label]: limit for label, limit in host.meta.thresholds.items()}
    thresholds |= dict.fromkeys(names, _least(len(names))) | dict.fromkeys(speech, guards.limit)
    state = head | {f"familiar.{name}": tensor for name, tensor in guards.familiar.state_dict().items()}
    beside = {name: tensor for name, tensor in host.state.items() if not name.startswith("base.")}
    state |= {f"fallback.{name}": tensor.clone() for name, tensor in beside.items()}
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
    rows: Floats,
    labels: NDArray[np.int64],
    folds: Sequence[NDArray[np.bool_]],
    groups: NDArray[np.int64] | None = None,
) -> tuple[Familiar, Floats]:
    """Fit the novelty detector: distance to the nearest mean of the labels.

    The covariance within labels is Ledoit and Wolf's of standardised columns. The limit is the distance that
    a share NEAR of the tracks stays within, each measured by a fit without its fold. Groups count alike,
    whatever their number of tracks, so that with folds by artist the limit is that of new artists.

    Args:
        rows: Shape (tracks, columns).
        labels: Shape (tracks,).
        folds: Masks of shape (tracks,).
        groups: Shape (tracks,); None: every track is a group.

    Returns:
        The detector, and the score of every track by a fit without its fold, shape (tracks,).
    """
    distances = np.zeros(len(rows))
    for held in folds:
        distances[held] = distances_from(rows[~held], labels[~held], rows[held])
    familiar = _fitted(rows, labels)
    limit = distance_limit(distances, np.arange(len(rows)) if groups is None else groups)
    familiar.limit.fill_(limit)
    return familiar, distances**2 / (distances**2 + limit**2)


def distances_from(rows: Floats, labels: NDArray[np.int64], others: Floats) -> Floats:
    """Return the distances (tracks,) of other rows (tracks, columns) by a detector fitted to `rows`."""
    found: Floats = _fitted(rows, labels).distance(_tensor(others)).double().numpy()
    return found


def distance_limit(distances: Floats, groups: NDArray[np.int64]) -> float:
    """Return the distance that a share NEAR of the tracks stays within, every group weighing the same."""
    weights = 1.0 / np.bincount(groups)[groups]
    order = np.argsort(distances, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    limit = distances[order][min(int(np.searchsorted(share, NEAR - 1e-9)), len(order) - 1)]
    return max(float(limit), float(np.finfo(np.float32).eps))


def _fitted(rows: Floats, labels: NDArray[np.int64]) -> Familiar:
    present, own = np.unique(labels, return_inverse=True)
    spread = rows.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    centres = np.stack([rows[own == label].mean(axis=0) for label in range(len(present))])
    precision = LedoitWolf(assume_centered=True).fit((rows - centres[own]) / scale).precision_
    familiar = Familiar(len(present), rows.shape[1])
    familiar.centres.copy_(_tensor(centres))
    familiar.whiten.copy_(_tensor(np.linalg.cholesky(precision) / scale[:, None]))
    return familiar


def _least(genres: int) -> float:
    return SURE_OF_TWO if genres == 2 else SURE


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).float()
