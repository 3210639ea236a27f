"""What keeps a model of own genres from answering: strangeness, speech, and a probability that is too low."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from genretag import checkpoint
from genretag.checkpoint import Checkpoint, CheckpointMeta
from genretag.labels import genre_labels
from genretag.models.presets import PRESETS
from genretag.models.registry import build_network, load_model
from genretag.models.two_level import Familiar
from genretag.predict.decide import DecisionRule, decide
from genretag.training.guards import UNFAMILIAR, Guards, fit_familiar, guarded

GENRES = genre_labels(("Mine", "Other", "Third"), "single")


def clouds(files: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Rows around three means, much wider in one direction than in the others, and their labels."""
    random = np.random.default_rng(3)
    labels = np.arange(files) % 3
    spread = np.array([5.0, 1.0, 1.0, 1.0])
    return 8 * np.eye(3, 4)[labels] + spread * random.normal(size=(files, 4)), labels


def test_what_is_unlike_all_that_was_learnt_is_told_by_the_shape_of_it() -> None:
    rows, labels = clouds()
    folds = [np.arange(len(rows)) % 5 == number for number in range(5)]
    familiar, strange = fit_familiar(rows, labels.astype(np.int64), folds)
    assert np.mean(strange > 0.5) == pytest.approx(0.05, abs=0.02)
    # As far as each other: along the way in which the music varies anyway, and across it.
    along, across = np.array([[8.0, 0, 0, 0], [0.0, 0, 0, 0]]) + 8 * np.array([[1, 0, 0, 0], [0, 0, 0, 1]])
    scores = familiar(torch.from_numpy(np.stack([along, across])).float())[:, 0]
    assert scores[0] < 0.5 < scores[1]
    # The score of a file comes from a fit without it.
    without, _ = fit_familiar(
        rows[~folds[0]], labels[~folds[0]].astype(np.int64), [f[~folds[0]] for f in folds[1:]]
    )
    distance = without.distance(torch.from_numpy(rows[folds[0]]).float()).numpy()
    limit = float(familiar.limit)
    assert strange[folds[0]] == pytest.approx(distance**2 / (distance**2 + limit**2), rel=1e-4)


def head(host: Checkpoint) -> tuple[CheckpointMeta, dict[str, torch.Tensor]]:
    """A probe of three genres fitted to noise, on the embedding of the host's base, described."""
    usual = PRESETS["probe"].config
    base = {name: value for name, value in host.meta.config.items() if name in usual}
    config = {**usual, **base, "rows": "embedding", "statistics": []}
    network: Any = build_network("probe", config, 3, host.meta.features.shape)
    network.base.load_state_dict(load_model(host).base.state_dict())
    random = np.random.default_rng(4)
    rows = random.normal(size=(30, network.width))
    network.adopt(
        Pipeline([("scaler", StandardScaler()), ("classifier", LogisticRegression())]).fit(
            rows, np.arange(30) % 3
        )
    )
    meta = CheckpointMeta("mine", "probe", config, host.meta.features, GENRES, "head", temperature=1.7)
    return meta, network.state_dict()


def guards(speech: float) -> Guards:
    familiar = Familiar(3, 50)
    familiar.limit.fill_(1000.0)
    return Guards(familiar, np.full(10, 0.1), np.full(10, speech), 0.7)


def test_the_model_says_what_its_parts_say() -> None:
    host = checkpoint.load(checkpoint.resolve("auto"))
    meta, state = head(host)
    described, whole = guarded(meta, state, host, guards(0.1))
    auto: Any = load_model(host)
    probe: Any = build_network("probe", meta.config, 3, meta.features.shape)
    probe.load_state_dict(state)
    mine: Any = load_model(Checkpoint(described, whole))
    features = torch.rand(4, 187, 96, generator=torch.Generator().manual_seed(1)) * 3
    with torch.inference_mode():
        rows = mine.rows(features)
        found = mine.track(rows).sigmoid()
        np.testing.assert_allclose(found[:3], (probe.track(rows) / 1.7).softmax(dim=0), atol=1e-5)
        # The tags and the veto for speech are those of auto.
        np.testing.assert_allclose(found[3:54], auto.track(auto.rows(features)).sigmoid()[10:], atol=1e-5)
        assert 0 < found[54] < 0.5
    assert described.labels.vetoes == ("speech", UNFAMILIAR)
    assert described.thresholds["speech"] == 0.7


@pytest.mark.parametrize(
    ("mine", "speech", "strange", "expected"),
    [
        (0.6, 0.1, 0.1, ("Mine",)),
        (0.45, 0.1, 0.1, ()),
        (0.9, 0.8, 0.1, ()),
        (0.9, 0.1, 0.6, ()),
    ],
)
def test_a_genre_is_written_where_nothing_speaks_against_it(
    mine: float, speech: float, strange: float, expected: tuple[str, ...]
) -> None:
    host = checkpoint.load(checkpoint.resolve("auto"))
    described, _ = guarded(*head(host), host, guards(0.1))
    # A tag of the network is never written beside them.
    rest = (1 - mine) / 2
    scores = np.array([mine, rest, rest, *[0.99] * 50, speech, strange])
    assert decide(scores, described.labels, described.thresholds, DecisionRule()).genres == expected


def test_what_sounds_like_speech_may_be_learnt() -> None:
    host = checkpoint.load(checkpoint.resolve("auto"))
    described, _ = guarded(*head(host), host, guards(0.9))
    assert described.labels.vetoes == (UNFAMILIAR,)


def test_which_files_would_get_a_genre() -> None:
    sure = np.array([[0.9, 0.1, 0.0]] * 4 + [[0.45, 0.45, 0.1]] * 36)
    some = replace(
        guards(0.1),
        strange=np.array([0.1, 0.6] + [0.1] * 38),
        speech=np.array([0.1] * 2 + [0.8] + [0.1] * 37),
    )
    assert np.flatnonzero(some.sure(sure)).tolist() == [0, 3]
    # Of two genres one always has half.
    assert not some.sure(np.full((40, 2), [0.55, 0.45])).any()
