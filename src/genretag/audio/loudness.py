"""Loudness of a track, from some of its windows: the gain to a fixed level, and which windows are silence.

The measurement is that of ITU-R BS.1770-5, annex 1: the mean power of blocks of 400 ms that pass an absolute
gate and then one 10 dB below the mean of those that passed it. Fades, pauses and quiet passages thus do not
count. Unlike there, blocks do not overlap, are not weighted by frequency, and the absolute gate is at -80 dB
and not at -70 dB, so that quiet recordings are measured too.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

BLOCK_SECONDS = 0.4
ABSOLUTE_GATE = 1e-8  # power: -80 dB
RELATIVE_GATE = 0.1  # of the mean power: -10 dB
QUIET = 1e-3  # of the track's power, below which a window is silence: -30 dB
FAINT = 1e-5  # power (-50 dB) below which a track may be the noise between two pieces of music
MOST_GAIN = 100.0  # 40 dB


def block_samples(sample_rate: int) -> int:
    """Return the length of a block in samples."""
    return max(1, round(BLOCK_SECONDS * sample_rate))


def block_powers(wave: Samples, sample_rate: int) -> NDArray[np.float64]:
    """Return the mean power of the blocks of some samples; what is left over at the end is not measured."""
    length = min(block_samples(sample_rate), len(wave))
    blocks = wave[: len(wave) // length * length].reshape(-1, length)
    powers = np.einsum("bs,bs->b", blocks, blocks) / length
    return np.asarray(powers, np.float64)


def power_of(wave: Samples) -> float:
    """Return the mean power of some samples."""
    return float(np.dot(wave, wave)) / len(wave)


def track_power(windows: Iterable[Samples], sample_rate: int) -> float | None:
    """Return the mean power of the loud parts of a track, None if nothing passes the absolute gate."""
    powers = np.concatenate([np.zeros(0), *(block_powers(wave, sample_rate) for wave in windows)])
    audible = powers[powers > ABSOLUTE_GATE]
    if not len(audible):
        return None
    return float(audible[audible >= RELATIVE_GATE * audible.mean()].mean())


def gain_to(level: float, power: float) -> float:
    """Return the factor that brings samples of this mean power to an RMS of `level` dB; at most 40 dB."""
    return min(float(10 ** (level / 20) / np.sqrt(power)), MOST_GAIN)


def remove_offset(wave: Samples) -> Samples:
    """Return the window with a mean of zero; zeros at its ends, as before and after a track, stay zeros."""
    first, end = 0, len(wave)
    if wave[0] == 0.0 or wave[-1] == 0.0:
        sounding = np.flatnonzero(wave)
        if not len(sounding):
            return wave
        first, end = int(sounding[0]), int(sounding[-1]) + 1
    centred = wave.copy()
    centred[first:end] -= wave[first:end].mean()
    return centred
