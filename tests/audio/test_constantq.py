"""The constant-Q spectrum and the tuning, against librosa's."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from genretag.audio.constantq import constant_q, tuning
from genretag.audio.spectrum import magnitudes


def melody(rate: int, cents: float) -> NDArray[np.float32]:
    """Three seconds of a broken chord in sawtooth, so many cents above concert pitch, over some noise."""
    time = np.arange(3 * rate) / rate
    notes = 220.0 * 2 ** ((np.array([0, 4, 7, 12])[(4 * time).astype(int) % 4] + cents / 100) / 12)
    wave = 0.3 * (np.cumsum(notes / rate) % 1.0 - 0.5)
    return (wave + 0.001 * np.random.default_rng(0).normal(size=len(wave))).astype(np.float32)


@pytest.mark.parametrize(
    ("rate", "hop"),
    [
        (44100, 512),  # as for the statistics: the rate can be halved before the first octave
        (22050, 512),
        (16000, 64),
        (44100, 160),  # a hop that cannot be halved for every octave
    ],
)
def test_the_constant_q_spectrum_is_that_of_librosa(rate: int, hop: int) -> None:
    wave = melody(rate, 20.0)
    wanted = np.abs(librosa.cqt(wave, sr=rate, hop_length=hop, n_bins=84, tuning=0.2))
    found = constant_q(wave, rate, hop, 0.2)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * wanted.max())


@pytest.mark.parametrize("cents", [-40.0, 0.0, 30.0])
@pytest.mark.parametrize("power", [1, 2])
def test_the_tuning_is_that_of_librosa(cents: float, power: int) -> None:
    spectrum = magnitudes(melody(44100, cents), 2048, 512) ** power
    found = tuning(spectrum, 44100 / 2048)
    assert found == librosa.estimate_tuning(S=spectrum.T, sr=44100)
    assert found == pytest.approx(cents / 100, abs=0.1)


def test_silence_has_no_tuning() -> None:
    assert tuning(np.zeros((9, 1025), np.float32), 44100 / 2048) == 0.0
