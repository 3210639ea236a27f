"""The 518 statistics of a clip that come with the Free Music Archive, computed by librosa.

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
OCTAVES, SEMITONES = 7, 12
CONTRAST_BANDS = 6
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
    # Costs a second to import and is needed by few models.
    import librosa

    feature, hop = librosa.feature, spec.hop_length
    bins = {"n_octaves": OCTAVES, "bins_per_octave": SEMITONES}
    cqt = np.abs(
        librosa.cqt(samples, sr=spec.sample_rate, hop_length=hop, n_bins=SEMITONES * OCTAVES, tuning=None)
    )
    cens = feature.chroma_cens(C=cqt, **bins)
    stft = np.abs(librosa.stft(samples, n_fft=spec.n_fft, hop_length=hop))
    mel = feature.melspectrogram(S=stft**2, sr=spec.sample_rate)
    return {
        "chroma_cens": cens,
        "chroma_cqt": feature.chroma_cqt(C=cqt, **bins),
        "chroma_stft": feature.chroma_stft(S=stft**2),
        "mfcc": feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=SERIES["mfcc"]),
        "rmse": feature.rms(S=stft, frame_length=spec.n_fft),
        "spectral_bandwidth": feature.spectral_bandwidth(S=stft),
        "spectral_centroid": feature.spectral_centroid(S=stft),
        "spectral_contrast": feature.spectral_contrast(S=stft, n_bands=CONTRAST_BANDS),
        "spectral_rolloff": feature.spectral_rolloff(S=stft),
        "tonnetz": feature.tonnetz(chroma=cens),
        "zcr": feature.zero_crossing_rate(samples, frame_length=spec.n_fft, hop_length=hop),
    }


def moments(values: Matrix) -> dict[str, Matrix]:
    """Moments of each row over time, by name; kurtosis of a normal distribution is 0.

    The skew and kurtosis of a row that does not vary are 0 (scipy has no number for them).
    """
    values = values.astype(np.float64)
    mean = values.mean(axis=1)
    centred = values - mean[:, None]
    variance = np.square(centred).mean(axis=1)
    flat = variance <= FLAT * np.square(values).mean(axis=1)
    spread = np.sqrt(np.where(flat, 1.0, variance))
    scaled = np.where(flat[:, None], 0.0, centred / spread[:, None])
    return {
        "kurtosis": np.where(flat, 0.0, np.power(scaled, 4).mean(axis=1) - 3.0),
        "max": values.max(axis=1),
        "mean": mean,
        "median": np.median(values, axis=1),
        "min": values.min(axis=1),
        "skew": np.power(scaled, 3).mean(axis=1),
        "std": np.sqrt(variance),
    }
