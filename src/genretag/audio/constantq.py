"""The constant-Q spectrum of a clip and the pitch it is tuned to, as librosa computes them, in less time.

Source of the transform: C. Schörkhuber and A. Klapuri, "Constant-Q transform toolbox for music processing",
Sound and Music Computing 2010. From octave to octave the rate of the clip is halved, so that one octave of
filters serves all. Every step has librosa's precision, because some features sort these numbers into steps,
where the last bit may decide.

librosa costs a second to import and is needed by few models: import this module where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import librosa
import numpy as np
import scipy.fft
from librosa.filters import wavelet, wavelet_lengths
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Complex = NDArray[np.complex64]

OCTAVES, SEMITONES = 7, 12
BLOCK = 256  # frames transformed together: they stay in a core's cache, and in memory that is there already
WEAK = 0.01  # share of a filter's spectrum, its weakest bins, that is left out
TUNED_BAND = (150.0, 4000.0)  # Hz: where pitches are looked for
PEAK_FLOOR = np.float32(0.1)  # of a frame's loudest bin
TUNINGS = 100  # hundredths of a semitone: the steps in which the tuning is estimated


@dataclass(frozen=True, eq=False)
class _Filters:
    """An octave of filters: a sparse complex64 matrix (12, the bins `heard` of a transform of `size`)."""

    matrix: Any
    heard: slice
    size: int
    lengths: NDArray[np.float64]  # samples, (12,)


def constant_q(samples: Floats, sample_rate: float, hop: int, tuned: float) -> Floats:
    """Magnitudes of seven octaves of semitones from C1 up: (84, frames).

    `hop` in samples; `tuned`: semitones between the clip's A and 440 Hz.
    """
    lowest = librosa.note_to_hz("C1") * 2.0 ** (tuned / SEMITONES)
    top = lowest * 2.0 ** (OCTAVES - 1)
    for _ in range(_early_halvings(top, sample_rate, hop)):
        samples, sample_rate, hop = _halved(samples), sample_rate / 2, hop // 2
    octaves: list[Complex] = []
    first_rate = sample_rate
    for octave in range(OCTAVES):
        filters = _filters(top / 2.0**octave / sample_rate)
        octaves.insert(0, _respond(samples, hop, filters, first_rate / sample_rate))
        if hop % 2 == 0 and octave + 1 < OCTAVES:
            samples, sample_rate, hop = _halved(samples), sample_rate / 2, hop // 2
    frames = min(octave.shape[1] for octave in octaves)
    magnitudes: Floats = np.abs(np.concatenate([octave[:, :frames] for octave in octaves]))
    return magnitudes


def _halved(samples: Floats) -> Floats:
    """A clip at half its rate, louder by as much as keeps the energy."""
    half: Floats = librosa.resample(samples, orig_sr=2, target_sr=1, res_type="soxr_hq", scale=True)
    return half


def _early_halvings(top: float, sample_rate: float, hop: int) -> int:
    """How often the rate can be halved with the top octave left whole, and a hop left for every octave."""
    _, cut_off = wavelet_lengths(freqs=_semitones(top), sr=sample_rate, gamma=0.0)
    spare = int(np.ceil(np.log2(sample_rate / 2 / cut_off))) - 2
    halvings_of_hop = (hop & -hop).bit_length() - 1
    return max(0, min(spare, halvings_of_hop - OCTAVES + 1))


def _semitones(lowest: float) -> NDArray[np.float64]:
    steps: NDArray[np.float64] = lowest * 2.0 ** (np.arange(SEMITONES) / SEMITONES)
    return steps


@lru_cache(maxsize=2 * TUNINGS)
def _filters(lowest: float) -> _Filters:
    """The octave of semitones from `lowest` (in cycles a sample) up."""
    waves, lengths = wavelet(freqs=_semitones(lowest), sr=1.0, gamma=0.0)
    size = waves.shape[1]
    waves *= lengths[:, None] / size
    spectra = scipy.fft.fft(waves)[:, : size // 2 + 1]
    matrix = librosa.util.sparsify_rows(spectra, quantile=WEAK, dtype=np.complex64)
    heard = slice(int(matrix.indices.min()), int(matrix.indices.max()) + 1)
    return _Filters(matrix[:, heard], heard, size, lengths)


def _respond(samples: Floats, hop: int, filters: _Filters, halved: float) -> Complex:
    """What one octave says of each frame of a clip whose rate is one `halved`-th: (12, frames)."""
    padded = np.pad(samples, filters.size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, filters.size)[::hop]
    heard = np.empty((filters.heard.stop - filters.heard.start, len(frames)), np.complex64)
    for start in range(0, len(frames), BLOCK):
        block = frames[start : start + BLOCK].astype(np.float64)
        heard[:, start : start + BLOCK] = scipy.fft.rfft(block)[:, filters.heard].T
    response = (filters.matrix * np.sqrt(halved)).astype(np.complex64) @ heard
    scaled: Complex = (response / np.sqrt(filters.lengths * halved)[:, None]).astype(np.complex64)
    return scaled


def tuning(spectrum: Floats, bin_hertz: float) -> float:
    """How far the pitches of a magnitude or power spectrum (frames, bins) lie from 440 Hz for A: semitones.

    0 where there are none, as in silence. Between -0.5 and 0.5, in hundredths.
    """
    low, high = np.searchsorted(bin_hertz * np.arange(spectrum.shape[1]), TUNED_BAND)
    # A peak has a bin on either side.
    low, high = max(int(low), 1), min(int(high), spectrum.shape[1] - 1)
    here, below, above = (spectrum[:, low + by : high + by] for by in (0, -1, 1))
    floor = PEAK_FLOOR * spectrum.max(axis=1, keepdims=True)
    peaks = np.nonzero((here > floor) & (here > below) & (here >= above))
    if not len(peaks[0]):
        return 0.0
    at, before, after = here[peaks], below[peaks], above[peaks]
    # A parabola through the three bins has its top this far from the middle one.
    bend = (after + before) - 2.0 * at.astype(np.float64)
    slope = (after - before) / 2.0
    inside = np.abs(slope) < np.abs(bend)
    shift = np.where(inside, -slope / np.where(inside, bend, 1.0), 0.0).astype(np.float32)
    pitches = ((peaks[1] + low + shift.astype(np.float64)) * bin_hertz).astype(np.float32)
    heights = at + (slope * np.float32(0.5)) * shift
    return float(librosa.pitch_tuning(pitches[heights >= np.median(heights)], bins_per_octave=SEMITONES))
