"""What keeps a model of own genres from answering: strangeness, speech, and a probability that is too low."""

from __future__ import annotations

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
from genretag.predict.reasons import explain
from genretag.training.guards import (
    UNFAMILIAR,
    Guards,
    HostScores,
    answers_of,
    distance_limit,
    fit_familiar,
    guarded,
    hears_speech,
)

GENRES = genre_labels(("Mine", "Other", "Rock"), "single")


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
    return Guards(familiar, hears_speech(np.full(10, speech), 0.7), 0.7)


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
        # The answer of auto's own head follows, for tracks unlike the training files.
        np.testing.assert_allclose(found[55:65], auto.track(auto.rows(features)).sigmoid()[:10], atol=1e-5)
        np.testing.assert_allclose(found[65], found[53], atol=1e-5)
    assert described.labels.vetoes == ("speech", UNFAMILIAR)
    assert described.thresholds["speech"] == 0.7


@pytest.mark.parametrize(
    ("mine", "speech", "novelty", "auto", "expected"),
    [
        (0.6, 0.1, 0.1, "rock", ("Mine",)),
        (0.45, 0.1, 0.1, "rock", ()),
        (0.9, 0.8, 0.1, "rock", ()),
        # Unlike the training files: the answer of auto, if it is one of the user's genres and no speech.
        (0.9, 0.1, 0.6, "rock", ("Rock",)),
        (0.9, 0.1, 0.6, "jazz", ()),
        (0.9, 0.8, 0.6, "rock", ()),
    ],
)
def test_a_genre_is_written_unless_a_veto_applies(
    mine: float, speech: float, novelty: float, auto: str, expected: tuple[str, ...]
) -> None:
    host = checkpoint.load(checkpoint.resolve("auto"))
    described, _ = guarded(*head(host), host, guards(0.1))
    # A tag of the network is never written beside them.
    rest = (1 - mine) / 2
    broad = [0.91 if label == f"genre/{auto}" else 0.01 for label in host.meta.labels.broad]
    scores = np.array([mine, rest, rest, *[0.0] * 50, speech, novelty, *broad, speech])
    found = decide(scores, described.labels, described.thresholds, DecisionRule())
    assert found.genres == expected
    assert found.by_fallback == (novelty > 0.5 and expected != ())
    sentences = explain(scores, described.labels, described.thresholds, DecisionRule()).sentences
    assert any("fallback" in sentence for sentence in sentences) == found.by_fallback


@pytest.mark.parametrize("hears", [True, False])
def test_the_estimate_answers_as_the_model_decides(hears: bool) -> None:
    host = checkpoint.load(checkpoint.resolve("auto"))
    described, _ = guarded(*head(host), host, guards(0.1 if hears else 0.9))
    random = np.random.default_rng(1)
    probs = random.dirichlet([0.5] * 3, size=60)
    speech, novelty = random.uniform(size=60), random.uniform(size=60)
    broad = random.dirichlet([0.1] * 10, size=60)
    columns, decisions = [], []
    for track in range(60):
        theirs = np.array([*broad[track], *[0.0] * 50, speech[track]])
        genres = decide(theirs, host.meta.labels, host.meta.thresholds, DecisionRule()).genres
        columns.append(2 if "Rock" in genres else -1)
        own = [speech[track]] if hears else []
        scores = np.array([*probs[track], *[0.0] * 50, *own, novelty[track], *broad[track], speech[track]])
        decisions.append(decide(scores, described.labels, described.thresholds, DecisionRule()))
    known = HostScores(np.zeros((60, 50)), speech, 0.7, np.array(columns))
    answers, by_host = answers_of(probs, novelty, known, hears=hears)
    names = ["Mine", "Other", "Rock"]
    assert [decision.genres for decision in decisions] == [
        (names[answer],) if answer >= 0 else () for answer in answers
    ]
    assert [decision.by_fallback for decision in decisions] == by_host.tolist()
    assert 0 < by_host.sum() < (answers >= 0).sum() < 60


def test_what_sounds_like_speech_may_be_learnt() -> None:
    host = checkpoint.load(checkpoint.resolve("auto"))
    described, _ = guarded(*head(host), host, guards(0.9))
    assert described.labels.vetoes == (UNFAMILIAR,)


def test_of_two_genres_more_is_asked() -> None:
    nothing = HostScores(np.zeros((2, 50)), np.zeros(2), 0.7, np.full(2, -1))
    answers, _ = answers_of(np.array([[0.55, 0.45], [0.35, 0.65]]), np.zeros(2), nothing, hears=True)
    assert answers.tolist() == [-1, 1]


def test_the_novelty_limit_counts_artists_and_not_tracks() -> None:
    distances = np.array([1.0] * 96 + [5.0, 6.0, 7.0, 8.0])
    every_track_alone = np.arange(100)
    assert distance_limit(distances, every_track_alone) == 1.0
    # The four distant tracks are of four artists, the other 96 of one.
    four_new_artists = np.array([0] * 96 + [1, 2, 3, 4])
    assert distance_limit(distances, four_new_artists) == 8.0
