"""The 518 statistics of a clip that come with the Free Music Archive, with librosa's numbers.

No torch, so that decode workers can compute them. Source: M. Defferrard et al., "FMA: a dataset for music
analysis", 2017 (https://arxiv.org/abs/1612.01840), and the script that made its features.csv
(https://github.com/mdeff/fma). That script gives librosa's spectral features no sample rate, so that they
count in Hz of 22,050; this is kept, for the columns of both to agree.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from genretag.audio.features import FeatureSpec

# Rows and moments stand in the order of features.csv: by name.
SERIES = {
    "chroma_cens": 12,
    "chroma_cqt": 12,
    "chroma_stft": 12,
    "mfcc": 20,
    "rmse": 1,
    "spectral_bandwidth": 1,
    "spectral_centroid": 1,
    "spectral_contrast": 7,
    "spectral_rolloff": 1,
    "tonnetz": 6,
    "zcr": 1,
}
MOMENTS = ("kurtosis", "max", "mean", "median", "min", "skew", "std")
COLUMNS = tuple(
    (name, moment, f"{row + 1:02d}")
    for name, rows in SERIES.items()
    for moment in MOMENTS
    for row in range(rows)
)
ASSUMED_RATE = 22050  # Hz: what librosa takes where no sample rate is given
FLAT = 1e-12  # of the mean square: what varies less does not vary

Matrix = NDArray[np.floating]


def statistics(samples: NDArray[np.float32], spec: FeatureSpec) -> NDArray[np.float32]:
    """The 518 numbers of one clip (samples,), in the order of COLUMNS; float32."""
    with warnings.catch_warnings():
        # librosa guesses the tuning, and says so where a clip is silent.
        warnings.filterwarnings("ignore", message="Trying to estimate tuning")
        found = series(samples, spec)
    by_moment = {name: moments(found[name]) for name in SERIES}
    parts = [by_moment[name][moment] for name in SERIES for moment in MOMENTS]
    return np.concatenate(parts).astype(np.float32)


def series(samples: NDArray[np.float32], spec: FeatureSpec) -> dict[str, Matrix]:
    """The features over time of one clip: name to (rows, frames)."""
    # librosa costs a second to import and is needed by few models.
    import librosa

    from genretag.audio import constantq, spectrum

    feature, hop = librosa.feature, spec.hop_length
    magnitude = spectrum.magnitudes(samples, spec.n_fft, hop)  # (frames, bins)
    power = np.square(magnitude)
    decibels = librosa.power_to_db(spectrum.mel_power(power, spec.sample_rate))
    assumed = ASSUMED_RATE / spec.n_fft  # Hz a bin
    centroid, bandwidth = spectrum.centroid_and_bandwidth(magnitude, assumed)
    pitch = constantq.tuning(magnitude, spec.sample_rate / spec.n_fft)
    cqt = constantq.constant_q(samples, spec.sample_rate, hop, pitch)
    bins = {"n_octaves": constantq.OCTAVES, "bins_per_octave": constantq.SEMITONES}
    cens = feature.chroma_cens(C=cqt, **bins)
    return {
        "chroma_cens": cens,
        "chroma_cqt": feature.chroma_cqt(C=cqt, **bins),
        "chroma_stft": spectrum.chroma(power, ASSUMED_RATE, constantq.tuning(power, assumed)),
        "mfcc": feature.mfcc(S=decibels.T, n_mfcc=SERIES["mfcc"]),
        "rmse": spectrum.loudness(power),
        "spectral_bandwidth": bandwidth,
        "spectral_centroid": centroid,
        "spectral_contrast": spectrum.contrast(magnitude, assumed),
        "spectral_rolloff": spectrum.rolloff(magnitude, assumed),
        "tonnetz": feature.tonnetz(chroma=cens),
        "zcr": spectrum.zero_crossing_rate(samples, spec.n_fft, hop),
    }


def moments(values: Matrix) -> dict[str, Matrix]:
    """Moments of each row over time, by name; kurtosis of a normal distribution is 0.

    The skew and kurtosis of a row that does not vary are 0 (scipy has no number for them).
    """
    ordered = np.sort(values.astype(np.float64), axis=1)
    mean = ordered.mean(axis=1)
    centred = ordered - mean[:, None]
    squares = np.square(centred)
    variance = squares.mean(axis=1)
    flat = variance <= FLAT * np.square(ordered).mean(axis=1)
    spread = np.sqrt(np.where(flat, 1.0, variance))
    middle = ordered.shape[1] // 2
    return {
        "kurtosis": np.where(flat, 0.0, np.square(squares).mean(axis=1) / spread**4 - 3.0),
        "max": ordered[:, -1],
        "mean": mean,
        "median": (ordered[:, middle] + ordered[:, -1 - middle]) / 2.0,
        "min": ordered[:, 0],
        "skew": np.where(flat, 0.0, (squares * centred).mean(axis=1) / spread**3),
        "std": np.sqrt(variance),
    }
