"""FMA's statistics: their order, their moments, and what librosa says one by one."""

from __future__ import annotations

import warnings

import librosa
import numpy as np
import pytest
import scipy.stats
import torch
from numpy.typing import NDArray

from genretag.audio.extract import Extractor
from genretag.audio.features import FMA_STATISTICS, FeatureSpec
from genretag.audio.statistics import COLUMNS, MOMENTS, SERIES, moments, series, statistics

SPEC = FeatureSpec("fma-statistics", 44100, 2048, 512, frames=345, step_frames=345)
CLIP_SAMPLES = SPEC.window_samples - 2 * SPEC.lead_samples


@pytest.fixture(scope="module")
def clip() -> NDArray[np.float32]:
    """Four seconds of a chord that swells, over noise."""
    time = np.arange(CLIP_SAMPLES) / SPEC.sample_rate
    chord = sum(np.sin(2 * np.pi * note * time) for note in (110.0, 277.2, 329.6, 1318.5))
    noise = np.random.default_rng(0).normal(size=CLIP_SAMPLES)
    return (0.1 * chord * time / 4 + 0.01 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def numbers(clip: NDArray[np.float32]) -> dict[tuple[str, str, str], float]:
    return dict(zip(COLUMNS, statistics(clip, SPEC).tolist(), strict=True))


def test_columns_stand_as_in_features_csv() -> None:
    # Its three header rows are sorted: feature, statistics, number.
    assert list(COLUMNS) == sorted(COLUMNS)
    assert len(COLUMNS) == FMA_STATISTICS == 7 * 74
    assert COLUMNS[0] == ("chroma_cens", "kurtosis", "01")
    assert COLUMNS[-1] == ("zcr", "std", "01")


def test_moments_are_those_of_scipy() -> None:
    values = np.random.default_rng(1).gamma(2.0, size=(5, 300)) * [[1e-3], [1], [1e4], [1], [1]]
    found = moments(values)
    np.testing.assert_allclose(found["skew"], scipy.stats.skew(values, axis=1))
    np.testing.assert_allclose(found["kurtosis"], scipy.stats.kurtosis(values, axis=1))
    for name, function in (("mean", np.mean), ("std", np.std), ("median", np.median)):
        np.testing.assert_allclose(found[name], function(values, axis=1))
    assert set(found) == set(MOMENTS)


def test_a_row_that_does_not_vary_has_no_skew() -> None:
    found = moments(np.array([[0.1] * 50, [0.0] * 50, [-3e5] * 50]))
    assert (found["skew"] == 0).all()
    assert (found["kurtosis"] == 0).all()


def test_series_have_the_rows_of_the_columns(clip: NDArray[np.float32]) -> None:
    for name, values in series(clip, SPEC).items():
        assert values.shape == (SERIES[name], SPEC.frames), name


def test_numbers_are_those_of_librosa(
    clip: NDArray[np.float32], numbers: dict[tuple[str, str, str], float]
) -> None:
    # Each computed from the samples alone, where the clip's own spectrum is shared.
    bins = {"sr": 44100, "n_octaves": 7, "bins_per_octave": 12}
    cens = librosa.feature.chroma_cens(y=clip, **bins)
    chroma = librosa.feature.chroma_cqt(y=clip, **bins)
    mfcc = librosa.feature.mfcc(y=clip, sr=44100, n_mfcc=20)
    centroid = librosa.feature.spectral_centroid(y=clip, sr=22050)
    rolloff = librosa.feature.spectral_rolloff(y=clip, sr=22050)
    rms = librosa.feature.rms(y=clip)
    assert numbers["chroma_cens", "mean", "05"] == pytest.approx(cens[4].mean(), rel=1e-3)
    assert numbers["chroma_cqt", "mean", "02"] == pytest.approx(chroma[1].mean(), rel=1e-3)
    assert numbers["tonnetz", "max", "02"] == pytest.approx(
        librosa.feature.tonnetz(chroma=cens)[1].max(), rel=1e-3
    )
    assert numbers["mfcc", "std", "20"] == pytest.approx(mfcc[19].std(), rel=1e-3)
    assert numbers["mfcc", "median", "01"] == pytest.approx(np.median(mfcc[0]), rel=1e-3)
    assert numbers["spectral_centroid", "min", "01"] == pytest.approx(centroid.min(), rel=1e-3)
    assert numbers["spectral_rolloff", "skew", "01"] == pytest.approx(scipy.stats.skew(rolloff[0]), rel=1e-2)
    # From the spectrum and from the samples the loudness differs a little: the window tapers.
    assert numbers["rmse", "mean", "01"] == pytest.approx(rms.mean(), rel=0.5)
    assert numbers["zcr", "max", "01"] == pytest.approx(librosa.feature.zero_crossing_rate(clip).max())


def test_the_extractor_leaves_the_context_out(clip: NDArray[np.float32]) -> None:
    lead = SPEC.lead_samples
    wave = np.concatenate([np.full(lead, 9.0), clip, np.full(lead, 9.0)]).astype(np.float32)
    found = Extractor(SPEC)(torch.from_numpy(wave)[None])
    np.testing.assert_array_equal(found[0].numpy(), statistics(clip, SPEC))


def test_silence_has_numbers_and_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        row = statistics(np.zeros(CLIP_SAMPLES, np.float32), SPEC)
    assert np.isfinite(row).all()
