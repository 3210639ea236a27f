"""The default model as `tag` uses it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances

from genretag import checkpoint
from genretag.models.catalogue import describe
from genretag.predict.decide import DecisionRule, decide
from genretag.predict.engine import EngineOptions, Job, predict

TEXT = "The quick brown fox jumps over the lazy dog, and then it sits down and tells the dog about it. " * 8


def test_it_has_two_levels_and_a_veto() -> None:
    meta = checkpoint.read_meta(checkpoint.resolve("auto"))
    assert len(meta.labels.broad) == 10
    assert meta.labels.vetoes == ("speech",)
    assert meta.thresholds["speech"] == 0.7
    assert meta.labels.beside_broad() == ("electronic", "folk", "experimental", "easy listening", "rnb")
    assert (meta.features.level, meta.features.version) == (-20.0, 2)


def test_its_reference_tracks_are_the_training_clips(shared_data: Path) -> None:
    auto = checkpoint.load(checkpoint.resolve("auto"))
    state = {name.removeprefix("familiarity."): tensor.numpy() for name, tensor in auto.state.items()}
    with np.load(shared_data / "gtzan" / "musicnn_msd_taggram_train.npz") as file:
        means = np.stack([file["X"][file["IDS"] == name].mean(axis=0) for name in np.unique(file["IDS"])])
    np.testing.assert_allclose(state["tracks"], means, atol=1e-6)
    np.testing.assert_allclose(state["scale"], means.std(axis=0), rtol=1e-5)
    assert (auto.meta.config["references"], auto.meta.config["nearest"]) == (443, 5)
    # Clips of the same artist are nearer than the limit, which was measured across artists.
    near = np.sort(pairwise_distances(means / state["scale"]), axis=1)[:, 5]
    assert np.mean(near < state["limit"]) > 0.85


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_speech_gets_no_genre(tmp_path: Path) -> None:
    talk = tmp_path / "talk.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-w", str(talk), TEXT], check=True)
    path = checkpoint.resolve("auto")
    meta = checkpoint.read_meta(path)
    ((_, heard),) = predict([Job(None, talk)], path, EngineOptions(device="cpu", workers=1))
    assert heard is not None
    assert heard.scores is not None
    assert heard.scores[meta.labels.names.index("speech")] > 0.7
    assert decide(heard.scores, meta.labels, meta.thresholds, DecisionRule()).genres == ()


def test_the_readme_lists_the_genres_that_it_can_write() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = describe("auto")["families"].values()
    listed = "\n".join(f"- {', '.join(genres)}" for genres in shown)
    assert f"`auto` can write {sum(map(len, shown))} genres" in readme
    assert f"\n\n{listed}\n\n" in readme
