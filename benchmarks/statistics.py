"""Time the 518 statistics of a clip: by librosa, one call after another, and as genretag computes them.

    python -m benchmarks.statistics --data ../shared/data/gtzan/genres

librosa's side is the sequence of calls of FMA's published script, which itself computes the STFT and the
constant-Q spectrum once, with scipy's moments. Both sides take the same decoded clips in turn, in one
thread. Prints a table and one JSON line: the median over the runs of the CPU time for a clip (the wall
time, where no other program wants the core), the ratio, and the largest difference. A difference is
relative to the standard deviation of its statistic over the clips or, where that does not vary, to its
value.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import numpy as np
import scipy.stats
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks import program
from genretag.audio.decode import decode_whole
from genretag.audio.features import FeatureSpec
from genretag.audio.statistics import COLUMNS, MOMENTS, SERIES
from genretag.audio.statistics import statistics as ours
from genretag.models.ingredients import FMA_STATISTICS

Clip = NDArray[np.float32]
SAME = 1e-6  # of a statistic's value: what varies less from clip to clip does not vary


def one_by_one(clip: Clip, spec: FeatureSpec) -> NDArray[np.float32]:
    """What `genretag.audio.statistics.statistics` gives, by librosa and scipy alone."""
    feature, hop = librosa.feature, spec.hop_length
    scale = {"n_octaves": 7, "bins_per_octave": 12}
    found = {"zcr": feature.zero_crossing_rate(clip, frame_length=spec.n_fft, hop_length=hop)}
    cqt = np.abs(librosa.cqt(clip, sr=spec.sample_rate, hop_length=hop, n_bins=84, tuning=None))
    found["chroma_cqt"] = feature.chroma_cqt(C=cqt, **scale)
    found["chroma_cens"] = feature.chroma_cens(C=cqt, **scale)
    found["tonnetz"] = feature.tonnetz(chroma=found["chroma_cens"])
    stft = np.abs(librosa.stft(clip, n_fft=spec.n_fft, hop_length=hop))
    found["chroma_stft"] = feature.chroma_stft(S=stft**2)
    found["rmse"] = feature.rms(S=stft, frame_length=spec.n_fft)
    found["spectral_centroid"] = feature.spectral_centroid(S=stft)
    found["spectral_bandwidth"] = feature.spectral_bandwidth(S=stft)
    found["spectral_contrast"] = feature.spectral_contrast(S=stft, n_bands=6)
    found["spectral_rolloff"] = feature.spectral_rolloff(S=stft)
    mel = feature.melspectrogram(sr=spec.sample_rate, S=stft**2)
    found["mfcc"] = feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=20)
    return np.concatenate([_moment(found[name], moment) for name in SERIES for moment in MOMENTS])


def _moment(series: NDArray[np.floating], name: str) -> NDArray[np.float32]:
    function = getattr(scipy.stats if name in ("skew", "kurtosis") else np, name)
    with warnings.catch_warnings():
        # scipy has no skew and no kurtosis for what does not vary, and says so.
        warnings.filterwarnings("ignore", message="Precision loss", category=RuntimeWarning)
        values = function(series.astype(np.float64), axis=1)
    return np.nan_to_num(values, nan=0.0).astype(np.float32)


def difference(found: Sequence[Clip], wanted: Sequence[Clip]) -> tuple[float, str]:
    """The largest difference of statistics (clips, 518) as the module says, and which statistic it is of."""
    right, seen = np.stack(wanted).astype(np.float64), np.stack(found).astype(np.float64)
    value, spread = np.abs(right).max(axis=0), right.std(axis=0)
    scale = np.where(spread > SAME * value, spread, np.where(value > 0, value, 1.0))
    apart = (np.abs(seen - right) / scale).max(axis=0)
    worst = int(apart.argmax())
    return float(apart[worst]), "_".join(COLUMNS[worst])


def read_clips(data: Path, count: int) -> list[Clip]:
    """The first 30 s of `count` files spread over the folder, as decoded for the handcrafted models."""
    spec = FMA_STATISTICS
    files = sorted(path for path in data.rglob("*") if path.suffix in (".mp3", ".flac", ".au", ".wav"))
    if len(files) < count:
        raise SystemExit(f"{data}: {count} clips are wanted and there are {len(files)}")
    chosen = [files[number * len(files) // count] for number in range(count)]
    waves = [decode_whole(path, spec, "full")[0].waves[0] for path in chosen]
    return [wave[spec.lead_samples : spec.window_samples - spec.lead_samples] for wave in waves]


def seconds(compute: Callable[[Clip, FeatureSpec], Clip], clips: Sequence[Clip]) -> float:
    """CPU time for a clip."""
    start = time.process_time()
    for clip in clips:
        compute(clip, FMA_STATISTICS)
    return (time.process_time() - start) / len(clips)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of music files")
    parser.add_argument("--clips", type=int, default=12, metavar="N", help="files taken of it (12)")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="over all of them, by each side (5)")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", message="Trying to estimate tuning")
    facts = program.machine()
    program.print_machine(facts)
    clips = read_clips(given.data, given.clips)
    with threadpool_limits(1):
        worst, where = difference(
            [ours(clip, FMA_STATISTICS) for clip in clips],
            [one_by_one(clip, FMA_STATISTICS) for clip in clips],
        )
        times = [[seconds(side, clips) for side in (one_by_one, ours)] for _ in range(given.runs)]
    theirs, mine = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"librosa, call by call {1000 * theirs:7.1f} ms a clip")
    print(f"genretag              {1000 * mine:7.1f} ms a clip")
    print(f"ratio                 {theirs / mine:7.2f}")
    print(f"largest difference    {worst:7.1e} ({where})")
    figures = {
        "machine": facts,
        "clips": len(clips),
        "librosa_seconds": round(theirs, 4),
        "genretag_seconds": round(mine, 4),
        "ratio": round(theirs / mine, 2),
        "largest_difference": worst,
        "of": where,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
