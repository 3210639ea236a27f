"""What the statistics need of a clip's spectrum: every feature from one spectrum, frame by frame in memory.

The numbers are those of librosa's functions of the same names, which take far longer: they build their filter
banks anew for every clip and go through the spectrum bin by bin in several passes.

librosa costs a second to import and is needed by few models: import this module where it is used.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import librosa
import numpy as np
import scipy.fft
from librosa.filters import chroma as chroma_filters
from librosa.filters import mel as mel_filters
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

BLOCK = 64  # frames whose spectra are computed together: they stay in a core's cache
MELS = 128
MEL_GROUPS = 8
SILENT = float(np.finfo(np.float32).tiny)
QUIET_SAMPLE = 1e-10  # counts as zero where crossings of zero are counted
ROLLOFF_SHARE = 0.85
CONTRAST_BANDS = 6
CONTRAST_LOWEST = 200.0  # Hz: upper end of the lowest band
CONTRAST_SHARE = 0.02  # of a band's bins: its peak and its valley


def magnitudes(samples: Floats, n_fft: int, hop: int) -> Floats:
    """Magnitudes of the centred STFT with a Hann window: (frames, bins)."""
    # A periodic window in double precision, as librosa has it.
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)
    padded = np.pad(samples, n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    found = np.empty((len(frames), n_fft // 2 + 1), np.float32)
    for start in range(0, len(frames), BLOCK):
        block = scipy.fft.rfft(frames[start : start + BLOCK] * window)
        found[start : start + BLOCK] = np.abs(block.astype(np.complex64))
    return found


def mel_power(power: Floats, sample_rate: float) -> Floats:
    """Slaney's mel bands of a power spectrum: (frames, 128)."""
    bands = _mel_bands(sample_rate, power.shape[1])
    return np.concatenate([power[:, bins] @ weights for bins, weights in bands], axis=1)


@lru_cache(maxsize=4)
def _mel_bands(sample_rate: float, bins: int) -> tuple[tuple[slice, Floats], ...]:
    """Groups of neighbouring bands: the bins that they hear, and their weights (bins, bands)."""
    filters = mel_filters(sr=sample_rate, n_fft=2 * (bins - 1), n_mels=MELS)
    groups = []
    for rows in np.array_split(filters, MEL_GROUPS):
        heard = np.flatnonzero(rows.any(axis=0))
        part = slice(int(heard[0]), int(heard[-1]) + 1)
        groups.append((part, np.ascontiguousarray(rows[:, part].T)))
    return tuple(groups)


def chroma(power: Floats, sample_rate: float, tuned: float) -> Floats:
    """Energy of the twelve pitch classes, the loudest 1: (12, frames); `tuned` in semitones."""
    raw = (power @ _chroma_filters(sample_rate, power.shape[1], tuned)).T
    return np.asarray(librosa.util.normalize(raw, norm=np.inf, axis=0))


@lru_cache(maxsize=128)
def _chroma_filters(sample_rate: float, bins: int, tuned: float) -> Floats:
    filters = chroma_filters(sr=sample_rate, n_fft=2 * (bins - 1), tuning=tuned)
    return np.ascontiguousarray(filters.T, np.float32)


def loudness(power: Floats) -> Floats:
    """Root mean square of each frame, from its power spectrum: (1, frames)."""
    n_fft = 2 * (power.shape[1] - 1)
    # The outermost bins stand for themselves alone, the others for a negative frequency too.
    whole = power.sum(axis=1) - 0.5 * (power[:, 0] + power[:, -1])
    loud: Floats = np.sqrt(2.0 * whole[None] / n_fft**2)
    return loud


def centroid_and_bandwidth(spectrum: Floats, bin_hertz: float) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation of frequency, by magnitude: both (1, frames), in Hz."""
    frequencies = bin_hertz * np.arange(spectrum.shape[1])
    powers = np.stack([np.ones_like(frequencies), frequencies, np.square(frequencies)], axis=1)
    sums = np.concatenate(
        # In double precision: the bandwidth is a small difference of large numbers.
        [
            spectrum[start : start + BLOCK].astype(np.float64) @ powers
            for start in range(0, len(spectrum), BLOCK)
        ]
    )
    whole = np.where(sums[:, 0] < SILENT, 1.0, sums[:, 0])
    mean, square = sums[:, 1] / whole, sums[:, 2] / whole
    return mean[None], np.sqrt(np.maximum(square - np.square(mean), 0.0))[None]


def rolloff(spectrum: Floats, bin_hertz: float) -> Doubles:
    """The frequency below which lies 85 % of a frame's magnitude: (1, frames), in Hz."""
    below = np.empty(len(spectrum))
    for start in range(0, len(spectrum), BLOCK):
        running = np.cumsum(spectrum[start : start + BLOCK], axis=1)
        short = running < ROLLOFF_SHARE * running[:, -1:]
        below[start : start + BLOCK] = np.count_nonzero(short, axis=1)
    return (bin_hertz * below)[None]


def contrast(spectrum: Floats, bin_hertz: float) -> Doubles:
    """Decibels between the strongest and the weakest bins of seven bands: (7, frames)."""
    frequencies = bin_hertz * np.arange(spectrum.shape[1])
    edges = np.concatenate([[0.0], CONTRAST_LOWEST * 2.0 ** np.arange(CONTRAST_BANDS + 1)])
    shape = (CONTRAST_BANDS + 1, len(spectrum))
    peaks, valleys = np.zeros(shape), np.zeros(shape)
    for band, (low, high) in enumerate(pairwise(edges)):
        first, end = np.searchsorted(frequencies, low), np.searchsorted(frequencies, high, side="right")
        # A band begins with the last bin of the one below; all but the highest give their own last bin away.
        first = max(first - 1, 0) if band else first
        end = spectrum.shape[1] if band == CONTRAST_BANDS else end
        count = max(round(CONTRAST_SHARE * (end - first)), 1)
        ordered = np.sort(spectrum[:, first : end if band == CONTRAST_BANDS else end - 1], axis=1)
        valleys[band], peaks[band] = ordered[:, :count].mean(axis=1), ordered[:, -count:].mean(axis=1)
    decibels: Doubles = librosa.power_to_db(peaks) - librosa.power_to_db(valleys)
    return decibels


def zero_crossing_rate(samples: Floats, frame: int, hop: int) -> Doubles:
    """Share of a frame's samples before which the sign changes: (1, frames)."""
    negative = samples < -QUIET_SAMPLE
    # Samples beyond either end repeat the outermost one: no sign changes there.
    changes = np.pad(negative[1:] != negative[:-1], (frame // 2 + 1, frame // 2))
    until = np.cumsum(changes, dtype=np.int32)
    starts = np.arange(0, len(samples) + 2 * (frame // 2) - frame + 1, hop)
    return (until[starts + frame - 1] - until[starts])[None] / frame
