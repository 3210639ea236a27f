"""FMA's statistics: their order, their moments, and what librosa says one by one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.stats
import torch
from numpy.typing import NDArray

from benchmarks.statistics import difference, one_by_one
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


def test_numbers_are_those_of_librosa_call_by_call(clip: NDArray[np.float32]) -> None:
    time = np.arange(CLIP_SAMPLES) / SPEC.sample_rate
    sharp = 440.0 * 2 ** (0.3 / 12)  # 30 cents above concert pitch
    beats = 0.3 * np.exp(-6 * (time % 0.5)) * np.sign(np.sin(2 * np.pi * sharp * time))
    tone = 0.5 * np.sin(2 * np.pi * 5000.0 * time)
    broken_off = np.where(time < 2.0, clip, 0.0)
    clips = [clip, *(wave.astype(np.float32) for wave in (beats, tone, broken_off))]
    found = [statistics(one, SPEC) for one in clips]
    largest, statistic = difference(found, [one_by_one(one, SPEC) for one in clips])
    assert largest < 1e-4, statistic


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
