"""What `genretag learn` learns from few files, and how much of other music it leaves alone.

    python -m benchmarks.learning curve TRAIN --held VALID
    python -m benchmarks.learning thirds FOLDER --held OUT
    python -m benchmarks.learning unlike ../shared/data/gtzan/musicnn_msd_taggram_train.npz

`curve`: TRAIN and VALID have a folder per genre. For each number of files a genre, drawn at random DRAWS
times, the command learns from a folder of links and is measured by `genretag eval` on all of VALID. `thirds`:
the same once, with every third file of FOLDER, in the order of their names, held back; links are made in OUT.
`unlike`: of the ten genres of the taggrams some are taken for a person's own, DRAWN times, and the veto of
`training.guards` is asked about the clips of the others. It needs no head and no audio.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.program import GENRETAG
from genretag.training.grouping import cut_folds
from genretag.training.guards import fit_familiar

FILES = (5, 10, 20, 40)
GENRES = (3, 5)
DRAWS, DRAWN = 3, 10
OFFSET = 1e-3  # of the log-odds, as in `auto`


def answer(*arguments: object) -> dict[str, Any]:
    """What a command prints with --json."""
    command = [*GENRETAG, *map(str, arguments), "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def some_of(train: Path, files: int, seed: int, folder: Path) -> Path:
    """A folder of links to at most `files` files of each genre of `train`, with what it says of artists."""
    draw = random.Random(seed)
    for genre in sorted(path for path in train.iterdir() if path.is_dir()):
        (folder / genre.name).mkdir(parents=True)
        there = sorted(genre.iterdir())
        for path in draw.sample(there, min(files, len(there))):
            (folder / genre.name / path.name).symlink_to(path.resolve())
    if (train / "artists.json").is_file():
        shutil.copy(train / "artists.json", folder)
    return folder


def learnt_and_measured(folder: Path, held: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `learn` says of a folder, and the scores of the model on another."""
    learnt = answer("learn", folder, "--from-folders", "--no-default", "--name", "benchmark")
    options = ["--dataset", "folder", "--data", held, "--split", "all", "--coverage", "fast"]
    measured: dict[str, Any] = answer("eval", "--model", learnt["path"], *options)["track"]
    return learnt, measured


def thirds(folder: Path, out: Path) -> Iterator[str]:
    """Two sentences: the folds of two thirds, and the last third."""
    for genre in sorted(path for path in folder.iterdir() if path.is_dir()):
        for number, path in enumerate(sorted(genre.iterdir())):
            link = out / ("held" if number % 3 == 2 else "learn") / genre.name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())
    learnt, measured = learnt_and_measured(out / "learn", out / "held")
    for name, one in (("folds", learnt), ("held back", measured)):
        low, high = (f"{100 * bound:.1f}" for bound in one["accuracy_ci"])
        yield f"{name}: {100 * one['accuracy']:.1f} % ({low} to {high})"
    yield f"always the same: {100 * learnt['chance']:.1f} %, folds by {learnt['held_back']['by']}"


def curve(train: Path, held: Path) -> Iterator[str]:
    """Rows of a table: files a genre, accuracy in the folds, accuracy on what was held back."""
    yield "| files a genre | in its folds, % | on held-out files, % | lowest and highest |"
    yield "| ---: | ---: | ---: | --- |"
    for files in FILES:
        inside, outside = [], []
        for seed in range(DRAWS):
            with tempfile.TemporaryDirectory() as where:
                folder = some_of(train, files, seed, Path(where) / "lessons")
                learnt, measured = learnt_and_measured(folder, held)
            inside.append(learnt["accuracy"])
            outside.append(measured["accuracy"])
        low, high = (f"{100 * bound:.1f}" for bound in (min(outside), max(outside)))
        yield f"| {files} | {100 * np.mean(inside):.1f} | {100 * np.mean(outside):.1f} | {low} to {high} |"


def unlike(taggrams: Path) -> Iterator[str]:
    """Rows of a table: own genres, files of each, share of other genres' clips that is left alone."""
    with np.load(taggrams) as file:
        scores, ids = file["X"].astype(np.float64), file["IDS"]
    artists = json.loads((taggrams.parent / "artists.json").read_text(encoding="utf-8"))
    names = np.unique(ids)
    odds = np.log((scores + OFFSET) / (1 - scores + OFFSET))
    rows = np.stack([odds[ids == name].mean(axis=0) for name in names])
    genre = np.array([name.split("/")[0] for name in names])
    artist = np.array([artists.get(Path(name).stem, name) for name in names])
    yield "| own genres | files of each | own left alone, % | others left alone, % |"
    yield "| ---: | ---: | ---: | ---: |"
    for count in GENRES:
        for files in FILES[1:]:
            draw = np.random.default_rng(0)
            own, others = [], []
            for _ in range(DRAWN):
                mine = draw.choice(np.unique(genre), count, replace=False)
                chosen = np.concatenate(
                    [draw.permutation(np.flatnonzero(genre == one))[:files] for one in mine]
                )
                labels = np.unique(genre[chosen], return_inverse=True)[1].astype(np.int64)
                groups = np.unique(artist[chosen], return_inverse=True)[1].astype(np.int64)
                familiar, strange = fit_familiar(rows[chosen], labels, cut_folds(labels, groups, 5, 0))
                own.append(np.mean(strange >= 0.5))
                alien = ~np.isin(genre, mine)
                distance = familiar.distance(_tensor(rows[alien])).numpy()
                others.append(np.mean(distance >= float(familiar.limit)))
            yield f"| {count} | {files} | {100 * np.mean(own):.0f} | {100 * np.mean(others):.0f} |"


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).float()


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["curve", "thirds", "unlike"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--held", type=Path)
    options = parser.parse_args()
    if options.what != "unlike" and options.held is None:
        parser.error("--held is missing")
    ways = {"curve": curve, "thirds": thirds}
    rows = (
        unlike(options.data) if options.what == "unlike" else ways[options.what](options.data, options.held)
    )
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
