"""Measure how far what files do to music moves the scores of musicnn-msd, on train clips of GTZAN.

    python -m benchmarks.robustness --data ../shared/data/gtzan/genres --out copies --no-eval
    python weights/measure_shifts.py --data ../shared/data/gtzan/genres --copies copies \\
        --taggrams ../shared/data/gtzan/musicnn_msd_taggram_train.npz

writes weights/shifts.npz: for each clip of the train part that is here and each of LEARNT, and for the clip
as it is through our decoder, the mean log-odds of its windows less those in the taggrams, (shifts, tags).
The other conditions of benchmarks.robustness are left to be measured on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genretag import checkpoint
from genretag.models.presets import PRESETS
from genretag.predict.engine import EngineOptions, Job, predict

HERE = Path(__file__).resolve().parent
OFFSET = 1e-3  # that of gtzan-musicnn's head
# One of each kind: resampler, codecs, level, channels, window offset, silence.
LEARNT = (
    "44.1-kHz-stereo",
    "mp3-64-kbits-mono",
    "opus-32-kbits",
    "aac-128-kbits",
    "20-dB-quieter",
    "6-dB-louder,-clipped",
    "left-channel-only",
    "1.5-s-later",
    "3-s-of-silence-first",
)


def mean_odds(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """What the head hears of (windows, tags), on average over the windows."""
    scores = rows.astype(np.float64)
    mean: NDArray[np.float64] = np.log((scores + OFFSET) / (1 - scores + OFFSET)).mean(axis=0)
    return mean


def write_base(path: Path) -> None:
    """musicnn-msd with the front end of a probe, which brings quiet music up."""
    base = checkpoint.load(HERE / "musicnn-msd.safetensors")
    features = replace(base.meta.features, level=PRESETS["probe"].features.level)
    checkpoint.save(path, replace(base.meta, features=features), base.state)


def heard(base: Path, folder: Path, clips: dict[str, str]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Clip and what the head hears of it, for the files of a folder that `clips` names by their stems."""
    files = sorted(path for path in folder.rglob("*") if path.stem in clips and path.is_file())
    options = EngineOptions(device="cpu", coverage="full", keep_windows=True)
    for path, scores in predict([Job(path, path) for path in files], base, options):
        if scores is not None and scores.windows is not None:
            yield clips[path.stem], mean_odds(scores.windows)


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--copies", type=Path, required=True)
    parser.add_argument("--taggrams", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "shifts.npz")
    options = parser.parse_args()
    with np.load(options.taggrams) as file:
        before = {name: mean_odds(file["X"][file["IDS"] == name]) for name in np.unique(file["IDS"]).tolist()}
    clips = {Path(name).stem: name for name in before}
    folders = [options.copies / name for name in LEARNT]
    shifts, names, conditions = [], [], []
    spread = np.std(np.stack(list(before.values())), axis=0)
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary) / "base.safetensors"
        write_base(base)
        for folder in [options.data, *folders]:
            condition = "as-it-is" if folder == options.data else folder.name
            found = [(name, odds - before[name]) for name, odds in heard(base, folder, clips)]
            shifts += [shift for _, shift in found]
            names += [name for name, _ in found]
            conditions += [condition] * len(found)
            moved = np.sqrt(np.mean([(shift / spread) ** 2 for _, shift in found]))
            print(f"{condition}: {len(found)} clips, moved by {moved:.2f} of the spread", flush=True)
    np.savez_compressed(
        options.out,
        shifts=np.stack(shifts).astype(np.float16),
        clips=np.array(names),
        conditions=np.array(conditions),
    )


if __name__ == "__main__":
    main()
