"""Features of a spectrum, each against librosa's function of that name."""

from __future__ import annotations

from collections.abc import Callable

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from genretag.audio import spectrum

Floats = NDArray[np.float32]
RATE, N_FFT, HOP = 22050, 2048, 512
BIN = RATE / N_FFT
FRAMES = 1 + 3 * RATE // HOP


@pytest.fixture(scope="module")
def wave() -> Floats:
    """A second each of noise, of a pure tone and of nothing."""
    time = np.arange(RATE) / RATE
    noise = np.random.default_rng(0).normal(0.0, 0.1, RATE)
    return np.concatenate([noise, 0.5 * np.sin(2 * np.pi * 3000.0 * time), np.zeros(RATE)]).astype(np.float32)


@pytest.fixture(scope="module")
def magnitude(wave: Floats) -> Floats:
    return spectrum.magnitudes(wave, N_FFT, HOP)


def test_magnitudes(wave: Floats, magnitude: Floats) -> None:
    assert magnitude.shape == (FRAMES, 1 + N_FFT // 2)
    np.testing.assert_allclose(magnitude.T, np.abs(librosa.stft(wave)), rtol=1e-6, atol=1e-6)


PAIRS: dict[
    str, tuple[Callable[[Floats], NDArray[np.floating]], Callable[[Floats], NDArray[np.floating]]]
] = {
    "mel": (
        lambda S: spectrum.mel_power(S**2, RATE).T,
        lambda S: librosa.feature.melspectrogram(S=S.T**2, sr=RATE),
    ),
    "chroma": (
        lambda S: spectrum.chroma(S**2, RATE, 0.1),
        lambda S: librosa.feature.chroma_stft(S=S.T**2, sr=RATE, tuning=0.1),
    ),
    "loudness": (lambda S: spectrum.loudness(S**2), lambda S: librosa.feature.rms(S=S.T)),
    "centroid": (
        lambda S: spectrum.centroid_and_bandwidth(S, BIN)[0],
        lambda S: librosa.feature.spectral_centroid(S=S.T),
    ),
    "bandwidth": (
        lambda S: spectrum.centroid_and_bandwidth(S, BIN)[1],
        lambda S: librosa.feature.spectral_bandwidth(S=S.T),
    ),
    "rolloff": (lambda S: spectrum.rolloff(S, BIN), lambda S: librosa.feature.spectral_rolloff(S=S.T)),
    "contrast": (lambda S: spectrum.contrast(S, BIN), lambda S: librosa.feature.spectral_contrast(S=S.T)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_features_of_the_spectrum(name: str, magnitude: Floats) -> None:
    ours, theirs = PAIRS[name]
    found, wanted = ours(magnitude), theirs(magnitude)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


def test_zero_crossings(wave: Floats) -> None:
    found = spectrum.zero_crossing_rate(wave, N_FFT, HOP)
    np.testing.assert_array_equal(found, librosa.feature.zero_crossing_rate(wave))
    quiet = np.array([1.0, -1e-11, 1.0, -1.0] * RATE, np.float32)  # what is as good as zero has no sign
    np.testing.assert_array_equal(
        spectrum.zero_crossing_rate(quiet, N_FFT, HOP), librosa.feature.zero_crossing_rate(quiet)
    )
