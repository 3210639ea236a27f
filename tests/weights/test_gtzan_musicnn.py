"""The ten-genre checkpoint that ships: what it says, and that it follows from the data by its command."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from genretag import checkpoint
from genretag.audio.decode import decode_whole
from genretag.datasets.gtzan import GENRES, filtered_split
from genretag.models.registry import load_model
from genretag.predict.engine import EngineOptions, Job, predict
from genretag.predict.score import Scorer
from genretag.training.evaluate import evaluate_features
from genretag.training.options import TrainOptions
from genretag.training.train import train

NAME = "gtzan-musicnn"
RECIPE = {"statistics": ["mean"], "logit": False, "c": 0.1, "discriminant": 0.7}
MUSIC = Path(__file__).parents[1] / "fixtures" / "synthetic.wav"


@pytest.fixture(scope="module")
def shipped() -> checkpoint.Checkpoint:
    return checkpoint.load(checkpoint.resolve(NAME))


def test_it_names_ten_genres_and_where_it_comes_from(shipped: checkpoint.Checkpoint) -> None:
    meta = shipped.meta
    assert (meta.name, meta.preset, meta.aggregation) == (NAME, "probe", "head")
    assert (meta.labels.names, meta.labels.kind) == (GENRES, "single")
    assert set(meta.labels.genres) == set(GENRES)
    assert meta.labels.genre("hiphop") == "Hip-Hop"
    assert (meta.dataset, meta.split, meta.seed) == ("gtzan", "official", 0)
    assert meta.extra["tracks"] == {"train": 443, "valid": 0, "test": 0}
    assert "ISC" in meta.licence
    assert meta.scores["accuracy"] == pytest.approx(0.822, abs=0.001)


def test_its_base_is_the_shipped_one(shipped: checkpoint.Checkpoint) -> None:
    base = checkpoint.load(checkpoint.resolve("musicnn-msd")).state
    own = {name.removeprefix("base."): t for name, t in shipped.state.items() if name.startswith("base.")}
    assert own.keys() == base.keys()
    assert all(torch.equal(own[name], base[name]) for name in base)


def test_audio_and_features_get_the_same_scores(shipped: checkpoint.Checkpoint, tmp_path: Path) -> None:
    options = EngineOptions(device="cpu", workers=1, coverage="full", keep_windows=True)
    ((_, heard),) = predict([Job(None, MUSIC)], checkpoint.resolve(NAME), options)
    assert heard is not None
    assert heard.scores is not None
    assert heard.windows is not None
    assert heard.scores.sum() == pytest.approx(1.0, abs=1e-5)
    # The rows of the same windows, as the base alone gives them, in a features file; none is raised in level.
    waves = decode_whole(MUSIC, shipped.meta.features, "full")[0].waves
    rows = Scorer(checkpoint.load(checkpoint.resolve("musicnn-msd")), "cpu").score(waves)
    assert len(rows) == len(heard.windows)
    clips = [next(clip for clip in sorted(filtered_split()) if clip.startswith(genre)) for genre in GENRES]
    labels = np.repeat(np.arange(10), len(rows))
    np.savez(tmp_path / "rows.npz", X=np.tile(rows, (10, 1)), Y=labels, IDS=np.array(clips)[labels])
    measured = evaluate_features(
        checkpoint.resolve(NAME), tmp_path / "rows.npz", "gtzan", "all", data=tmp_path, device="cpu"
    )
    assert measured.labels.names == GENRES
    np.testing.assert_allclose(measured.y_prob, np.tile(heard.scores, (10, 1)), atol=2e-5)
    model: Any = load_model(shipped)
    with torch.inference_mode():
        logits = model.track(torch.from_numpy(rows)) / shipped.meta.temperature
    np.testing.assert_allclose(logits.softmax(0).numpy(), heard.scores, atol=2e-5)


def test_its_command_makes_it_again(
    shipped: checkpoint.Checkpoint, shared_data: Path, tmp_path: Path
) -> None:
    features = shared_data / "gtzan" / "musicnn_msd_taggram_train.npz"
    options = TrainOptions(
        "gtzan",
        "probe",
        features=features,
        inner_folds=10,
        values=RECIPE,
        name=NAME,
        out=tmp_path / "run",
        device="cpu",
    )
    # Threads that wait for each other in a product this small take ten times as long on a busy machine.
    with threadpool_limits(1):
        made = train(options)
    assert made is not None
    assert made.checkpoint is not None
    again = checkpoint.load(made.checkpoint)
    for name, tensor in shipped.state.items():
        torch.testing.assert_close(again.state[name], tensor, atol=1e-4, rtol=0)
    assert again.meta.temperature == pytest.approx(shipped.meta.temperature, abs=1e-3)
    with np.load(features) as file:
        rows = torch.from_numpy(file["X"][file["IDS"] == file["IDS"][0]])
    with torch.inference_mode():
        both = [
            (load_model(made_or_shipped).track(rows) / made_or_shipped.meta.temperature).softmax(0)
            for made_or_shipped in (again, shipped)
        ]
    torch.testing.assert_close(*both, atol=1e-4, rtol=0)
    assert again.meta.split_hash == shipped.meta.split_hash
    assert again.meta.config == shipped.meta.config
    # What is reported is what the folds said.
    with (tmp_path / "run" / "tracks.csv").open() as file:
        right = [row["true"] == row["given"] for row in csv.DictReader(file)]
    assert len(right) == 443
    assert np.mean(right) == pytest.approx(again.meta.scores["accuracy"], abs=1e-6)
    assert made.evaluation.leak_free
