"""Altered copies of sounds: repeatable, as long as before, and altered by as much as they say."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from genretag.audio.features import FeatureSpec
from genretag.errors import TrainingError
from genretag.training.variants import KINDS, LOUDEST, QUIETEST, SEMITONES, Variant, variants

RATE = 16000
SPEC = FeatureSpec("waveform", RATE, n_fft=1, hop_length=1, frames=RATE, step_frames=RATE)


def tone(pitch: float = 1000.0) -> np.ndarray:
    time = np.arange(RATE) / RATE
    wave = 0.3 * np.sin(2 * np.pi * pitch * time)
    return wave.astype(np.float32)


def pitch_of(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax()) * RATE / len(wave)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_draw_gives_the_same_copy_and_another_one_another(kind: str) -> None:
    first, second = variants([kind], 2, seed=3)
    again = pickle.loads(pickle.dumps(first))  # as it reaches a worker
    altered = first(tone(), SPEC)
    assert altered.dtype == np.float32
    assert altered.shape == (RATE,)
    assert np.array_equal(altered, again(tone(), SPEC))
    for other in (second(tone(), SPEC), variants([kind], 1, seed=4)[0](tone(), SPEC), tone()):
        assert np.abs(altered - other).max() > 1e-3


def test_every_window_has_a_strength_of_its_own() -> None:
    (variant,) = variants(["noise"], 1, 0)
    levels = []
    for pitch in range(500, 2500, 100):
        wave = tone(pitch)
        noise = variant(wave, SPEC) - wave
        levels.append(10 * np.log10(np.square(wave).mean() / np.square(noise).mean()))
    assert LOUDEST - 0.5 < min(levels) < max(levels) < QUIETEST + 0.5
    assert np.ptp(levels) > 10


def test_pitch_moves_and_tempo_does_not_move_it() -> None:
    shifts = []
    for number in range(1, 9):
        shifted = Variant(("pitch-shift",), number, 0)(tone(), SPEC)
        shifts.append(12 * np.log2(pitch_of(shifted) / 1000.0))
        assert pitch_of(Variant(("time-stretch",), number, 0)(tone(), SPEC)) == pytest.approx(1000.0, abs=3)
    assert -SEMITONES - 0.1 < min(shifts) < -0.3
    assert 0.3 < max(shifts) < SEMITONES + 0.1


def test_changes_come_in_one_order_whatever_was_asked_first() -> None:
    assert variants(["noise", "time-stretch"], 1, 0) == variants(["time-stretch", "noise"], 1, 0)
    assert [variant.number for variant in variants(["noise"], 3, 0)] == [1, 2, 3]


def test_an_unknown_change_is_one_clear_line() -> None:
    with pytest.raises(TrainingError, match=r"'reverb'; there are time-stretch, pitch-shift, noise$"):
        variants(["noise", "reverb"], 1, 0)


def test_silence_stays_silent() -> None:
    (variant,) = variants(KINDS, 1, 0)
    assert not variant(np.zeros(RATE, np.float32), SPEC).any()
