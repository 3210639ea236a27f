"""The shipped weights give the tag scores of the original program."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from genretag import checkpoint
from genretag.audio.extract import Extractor
from genretag.audio.features import FeatureSpec
from genretag.models.registry import load_model

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
ORIGINALS = {
    "musicnn-msd": "MSD_musicnn",
    "musicnn-mtt": "MTT_musicnn",
    "vgg-msd": "MSD_vgg",
    "vgg-mtt": "MTT_vgg",
}
CLIPS = ("rock.00000", "rock.00001", "jazz.00000", "jazz.00001", "classical.00030", "classical.00031")


@functools.cache
def parts(name: str) -> tuple[FeatureSpec, Extractor, torch.nn.Module]:
    loaded = checkpoint.load(checkpoint.resolve(name))
    return loaded.meta.features, Extractor(loaded.meta.features), load_model(loaded)


def taggram(name: str, samples: NDArray[np.float32], windows: list[int]) -> NDArray[np.float32]:
    """Scores (windows, 50) of some windows of a track."""
    spec, extractor, model = parts(name)
    track = np.pad(samples, (spec.lead_samples, spec.window_samples))
    waves = [track[k * spec.step_samples :][: spec.window_samples] for k in windows]
    with torch.inference_mode():
        return model(extractor(torch.from_numpy(np.stack(waves)))).sigmoid().numpy()


@pytest.mark.parametrize("name", sorted(ORIGINALS))
def test_synthetic_signal(name: str) -> None:
    samples, _ = soundfile.read(FIXTURES / "synthetic.wav", dtype="float32")
    with np.load(FIXTURES / "reference_synthetic.npz") as reference:
        expected = reference[f"{ORIGINALS[name]}|synthetic.wav"]
    np.testing.assert_allclose(taggram(name, samples, [0, 1, 2, 3]), expected, atol=1e-4)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("name", sorted(ORIGINALS))
def test_music(name: str, clip: str, shared_data: Path) -> None:
    # The original's samples: libsoxr's HQ filter from 22.05 kHz, librosa's default.
    path = shared_data / "gtzan" / "genres" / clip.split(".")[0] / f"{clip}.flac"
    samples, rate = soundfile.read(path, dtype="float32")
    with np.load(shared_data / "musicnn" / "reference_gtzan.npz") as reference:
        expected = reference[f"{ORIGINALS[name]}|{path.name}"]
    found = taggram(name, soxr.resample(samples, rate, 16000, "HQ"), [0, 9])
    np.testing.assert_allclose(found, expected[[0, 9]], atol=1e-4)


def test_other_lengths_are_accepted_by_musicnn() -> None:
    _, _, model = parts("musicnn-msd")
    with torch.inference_mode():
        assert model(torch.rand(1, 400, 96)).shape == (1, 50)


def test_moods_and_instruments_are_no_genres() -> None:
    for name in ORIGINALS:
        meta = checkpoint.read_meta(checkpoint.resolve(name))
        never = {
            "chill",
            "Mellow",
            "oldies",
            "80s",
            "party",
            "instrumental",
            "guitar",
            "vocals",
            "choir",
            "beat",
        }
        assert never.isdisjoint(meta.labels.genres)
        assert set(meta.thresholds) == set(meta.labels.genres)


@pytest.mark.parametrize(
    ("name", "label", "genre"),
    [
        ("musicnn-msd", "rnb", "R&B"),
        ("musicnn-msd", "Hip-Hop", "Hip-Hop"),
        ("musicnn-msd", "Progressive rock", "Progressive Rock"),
        ("musicnn-msd", "indie", "Indie"),
        ("vgg-mtt", "classic", "Classical"),
        ("vgg-mtt", "classical", "Classical"),
        ("vgg-mtt", "new age", "New Age"),
    ],
)
def test_genres_are_spelled_as_people_write_them(name: str, label: str, genre: str) -> None:
    assert checkpoint.read_meta(checkpoint.resolve(name)).labels.genre(label) == genre
