"""Altered copies of training sounds: another tempo, another pitch, some noise; made once and cached.

Loaded by decode workers: imports no torch, and librosa only when it is used.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genretag.audio.features import FeatureSpec
from genretag.errors import TrainingError

KINDS = ("time-stretch", "pitch-shift", "noise")
TEMPO = 1.25  # at most this much faster or slower
SEMITONES = 2.0  # at most this much higher or lower
QUIETEST, LOUDEST = 40.0, 15.0  # signal to noise in decibels


@dataclass(frozen=True)
class Variant:
    """One altered copy of every window: all `kinds`, in the order of KINDS, with strengths drawn per window.

    The same seed, number and samples give the same copy. Time-stretch draws a tempo of 1/1.25 to 1.25 on a
    log scale, pitch-shift -2 to 2 semitones, noise a signal-to-noise ratio of 15 to 40 dB (white); ranges as
    in J. Salamon and J. P. Bello, IEEE Signal Processing Letters 24(3), 2017.
    """

    kinds: tuple[str, ...]
    number: int
    seed: int

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            known = ", ".join(KINDS)
            raise TrainingError(f"no change of the sound is called {unknown[0]!r}; there are {known}")

    def __call__(self, wave: NDArray[np.float32], spec: FeatureSpec) -> NDArray[np.float32]:
        """An altered copy of one window: float32 (samples,), of the same length."""
        # By what it sounds like and not by its file, which may be moved or renamed.
        draw = np.random.default_rng((self.seed, self.number, zlib.crc32(wave.tobytes())))
        tempo = TEMPO ** draw.uniform(-1.0, 1.0)
        semitones = draw.uniform(-SEMITONES, SEMITONES)
        decibels = draw.uniform(LOUDEST, QUIETEST)
        if "time-stretch" in self.kinds:
            wave = _stretched(wave, tempo)
        if "pitch-shift" in self.kinds:
            wave = _shifted(wave, semitones, spec.sample_rate)
        if "noise" in self.kinds:
            level = float(np.sqrt(np.square(wave, dtype=np.float64).mean())) / 10 ** (decibels / 20)
            wave = wave + draw.normal(0.0, level, len(wave)).astype(np.float32)
        return wave


def variants(kinds: Sequence[str], count: int, seed: int) -> tuple[Variant, ...]:
    """`count` different copies with the same changes; TrainingError for a change that does not exist."""
    ordered = tuple(kind for kind in KINDS if kind in kinds) + tuple(sorted(set(kinds) - set(KINDS)))
    return tuple(Variant(ordered, number, seed) for number in range(1, count + 1))


def _stretched(wave: NDArray[np.float32], tempo: float) -> NDArray[np.float32]:
    """The sound at another tempo, cut to its length or, where it has become shorter, begun again."""
    from librosa.effects import time_stretch

    return np.resize(time_stretch(wave, rate=tempo), len(wave)).astype(np.float32)


def _shifted(wave: NDArray[np.float32], semitones: float, rate: int) -> NDArray[np.float32]:
    from librosa.effects import pitch_shift

    return np.asarray(pitch_shift(wave, sr=rate, n_steps=semitones), np.float32)
