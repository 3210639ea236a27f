"""The heads tried on the taggrams of GTZAN: folds by artist beside plain ones, and a learning curve.

    python -m benchmarks.heads --taggrams ../shared/data/gtzan/musicnn_msd_taggram_train.npz --out heads

Each figure is a `genretag train --model probe --inner-folds 10`; finished runs in `--out` are not run again.
Plain folds are the same command on a copy of the file without `artists.json` beside it, so that every clip is
its own artist; they are inflated, which is why they are shown.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks import program

STATISTICS = ("--set", 'statistics=["mean","std","max"]')
UNWEIGHTED = ("--set", "artist_exponent=0", "--no-class-weights")
HEADS: Mapping[str, tuple[str, ...]] = {
    "windows, linear": (),
    "windows, linear, without weights": UNWEIGHTED,
    "windows, linear SVM": ("--set", "head=svm-linear", "--set", "c=0.1"),
    "statistics, linear": STATISTICS,
    "statistics of scores, linear, without weights": (*STATISTICS, "--set", "logit=false", *UNWEIGHTED),
    "statistics, SVM (RBF)": (*STATISTICS, "--set", "head=svm-rbf"),
    "statistics, MLP, without weights": (*STATISTICS, "--set", "head=mlp", *UNWEIGHTED),
}
SHARES = (0.25, 0.5, 0.75)


def train(taggrams: Path, out: Path, more: Sequence[str]) -> tuple[float, float, float]:
    """Accuracy of the folds, and its interval."""
    if not (out / "evaluation.json").is_file():
        line = ["--dataset", "gtzan", "--model", "probe", "--features", str(taggrams), "--inner-folds", "10"]
        command = [*program.GENRETAG, "train", "--quiet", *line, *more, "--out", str(out)]
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{out.name}: {done.stderr.strip()}")
    track = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))["track"]
    return track["accuracy"], *track["accuracy_ci"]


def without_artists(taggrams: Path, folder: Path) -> Path:
    """A copy that stands alone."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(taggrams, folder))


def share_of_artists(taggrams: Path, folder: Path, share: float) -> Path:
    """A copy with the clips of some artists, drawn at random within each genre."""
    folder.mkdir(parents=True, exist_ok=True)
    artists = json.loads((taggrams.parent / "artists.json").read_text(encoding="utf-8"))
    shutil.copy(taggrams.parent / "artists.json", folder)
    with np.load(taggrams) as file:
        arrays = dict(file)
    owners = np.array([artists.get(Path(name).stem, name) for name in arrays["IDS"].tolist()])
    drawn: list[str] = []
    random = np.random.default_rng(0)
    for genre in np.unique(arrays["Y"]):
        known = np.setdiff1d(owners[arrays["Y"] == genre], drawn)
        drawn += random.permutation(known)[: math.ceil(share * len(known))].tolist()
    rows = np.isin(owners, drawn)
    np.savez(folder / taggrams.name, **{name: values[rows] for name, values in arrays.items()})
    return folder / taggrams.name


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--taggrams", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    program.print_machine(program.machine())
    plain = without_artists(options.taggrams, options.out / "plain")
    print("| head | by artist, % | 95 % interval | plain, % (inflated) |\n| --- | --- | --- | --- |")
    for name, more in HEADS.items():
        folder = options.out / name.replace(" ", "-").replace(",", "")
        accuracy, low, high = train(options.taggrams, folder, more)
        inflated, _, _ = train(plain, options.out / "plain" / folder.name, more)
        print(f"| {name} | {100 * accuracy:.1f} | {100 * low:.1f}–{100 * high:.1f} | {100 * inflated:.1f} |")
    print("\n| share of the artists | by artist, % | 95 % interval |\n| --- | --- | --- |")
    for share in (*SHARES, 1.0):
        folder = options.out / f"share-{share}"
        source = options.taggrams if share == 1 else share_of_artists(options.taggrams, folder, share)
        accuracy, low, high = train(source, folder / "run", ())
        print(f"| {share:.0%} | {100 * accuracy:.1f} | {100 * low:.1f}–{100 * high:.1f} |")


if __name__ == "__main__":
    main()
