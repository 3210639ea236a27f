"""What `genretag learn` learns from few files, and how much of other music it leaves alone.

    python -m benchmarks.learning curve TRAIN --held VALID
    python -m benchmarks.learning thirds FOLDER --held OUT
    python -m benchmarks.learning unlike ../shared/data/gtzan/musicnn_msd_taggram_train.npz
    python -m benchmarks.learning artists ../shared/data/gtzan/genres
    python -m benchmarks.learning scale

`curve`: TRAIN and VALID have a folder per genre. For each number of files a genre, drawn at random DRAWS
times, the command learns from a folder of links and is measured by `genretag eval` on all of VALID. `thirds`:
the same once, with every third file of FOLDER, in the order of their names, held back; links are made in OUT.
`unlike`: of the ten genres of the taggrams some are taken for a person's own, DRAWN times, and the veto of
`training.guards` is asked about the clips of the others. It needs no head and no audio.

`artists`: the folder has a folder per genre and `artists.json` beside it. SPLITS times, artists are drawn
until each genre has CLIPS clips; the command learns from these and tags all clips by other known artists.
Clips whose artist is unknown are not used. `scale`: fit and estimate a model of GENRE_COUNT genres from
synthetic embeddings of CLIPS files each, with time and peak memory.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.program import GENRETAG
from genretag.training.copies import similar_pairs
from genretag.training.grouping import cut_folds
from genretag.training.guards import HostScores, fit_familiar
from genretag.training.learn import RECIPE
from genretag.training.nested import TrainingSet, fit_head, nested_estimate

FILES = (5, 10, 20, 40)
GENRES = (3, 5)
DRAWS, DRAWN = 3, 10
SPLITS, CLIPS = 5, 20
GENRE_COUNT = 300
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


def draw_artists(data: Path, artists: dict[str, str], seed: int) -> tuple[list[Path], list[Path]]:
    """Draw CLIPS clips a genre, artist by artist; return them and the clips by other artists."""
    draw = random.Random(seed)
    chosen, used = list[Path](), set[str]()
    known = [path for path in sorted(data.glob("*/*")) if path.stem in artists]
    for genre in sorted({path.parent for path in known}):
        by_artist = defaultdict(list)
        for path in known:
            if path.parent == genre:
                by_artist[artists[path.stem]].append(path)
        mine = list[Path]()
        for artist in draw.sample(sorted(by_artist), len(by_artist)):
            if len(mine) >= CLIPS:
                break
            mine += draw.sample(by_artist[artist], len(by_artist[artist]))
            used.add(artist)
        chosen += mine[:CLIPS]
    return chosen, [path for path in known if artists[path.stem] not in used]


def other_artists(data: Path) -> Iterator[str]:
    """Rows of a table: a split, what its estimate promises, and what other artists' clips got."""
    artists = json.loads((data.parent / "artists.json").read_text(encoding="utf-8"))
    yield (
        "| split | artists | clips held out | answered, % | expected | right of these, % | expected (95 %) "
        "| by `auto` | right of all, % |"
    )
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: |"
    sums = Counter[str]()
    for seed in range(SPLITS):
        chosen, held = draw_artists(data, artists, seed)
        with tempfile.TemporaryDirectory() as where:
            for part, paths in (("learn", chosen), ("held", held)):
                for path in paths:
                    link = Path(where) / part / path.parent.name / path.name
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(path.resolve())
            names = {f"{path.parent.name}/{path.stem}": artists[path.stem] for path in chosen}
            (Path(where) / "learn" / "artists.json").write_text(json.dumps(names), encoding="utf-8")
            learnt = answer("learn", Path(where) / "learn", "--no-default", "--name", "benchmark")
            records = tagged(Path(where) / "held")
        answered = [record for record in records if record["genres"]]
        right = [record for record in answered if _genre_of(record) == record["genres"][0].casefold()]
        promised = learnt["answered"] / learnt["tracks"]
        low, high = (100 * bound for bound in learnt["right_ci"])
        by_auto = sum(record.get("reason") == "auto" for record in answered)
        yield (
            f"| {seed + 1} | {len({artists[path.stem] for path in chosen})} | {len(held)} "
            f"| {100 * len(answered) / len(held):.1f} | {100 * promised:.1f} "
            f"| {100 * len(right) / len(answered):.1f} "
            f"| {100 * learnt['right'] / learnt['answered']:.1f} ({low:.0f}-{high:.0f}) "
            f"| {by_auto} | {100 * len(right) / len(held):.1f} |"
        )
        sums.update(held=len(held), answered=len(answered), right=len(right))
    yield (
        f"all: {100 * sums['answered'] / sums['held']:.1f} % answered, "
        f"{100 * sums['right'] / sums['answered']:.1f} % of these right"
    )


def tagged(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a dry run of `tag` with the learnt model."""
    options = [
        "-n",
        "--json",
        "--quiet",
        "--existing",
        "replace",
        "--follow-symlinks",
        "--model",
        "benchmark",
    ]
    command = [*GENRETAG, "tag", *options, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _genre_of(record: dict[str, Any]) -> str:
    return Path(record["path"]).parent.name.casefold()


def scale() -> Iterator[str]:
    """Fit and estimate a model of many genres on synthetic embeddings; time and peak memory."""
    draw = np.random.default_rng(0)
    count = GENRE_COUNT * CLIPS
    labels = np.arange(count) % GENRE_COUNT
    groups = np.arange(count) // (4 * GENRE_COUNT) * GENRE_COUNT + labels  # four files an artist
    rows = draw.normal(size=(GENRE_COUNT, 200))[labels] + draw.normal(size=(count, 200))
    odds = draw.normal(size=(GENRE_COUNT, 50))[labels] + draw.normal(size=(count, 50))
    host = HostScores(odds, np.zeros(count), 0.7, np.full(count, -1))
    data = TrainingSet(rows, labels, groups, GENRE_COUNT, host)
    start = time.perf_counter()
    folds = cut_folds(labels, groups, 5, 0)
    found = nested_estimate(data, folds, RECIPE, 0)
    fit_head(rows, labels, groups, RECIPE)
    fit_familiar(odds, labels, folds, groups)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # in KiB on Linux
    files = draw.normal(size=(count, 8, 200)).astype(np.float32)
    start = time.perf_counter()
    pairs = sum(len(some) for some in similar_pairs(files, count))
    grouping = time.perf_counter() - start
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield (
        f"{GENRE_COUNT} genres, {count:,} files: fit and estimate {seconds:.0f} s, peak memory "
        f"{memory:.2f} GiB; {np.mean(found.answers == labels):.1%} right"
    )
    yield f"copies among them: {grouping:.0f} s, peak memory {most:.2f} GiB, {pairs} pairs"


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).float()


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["curve", "thirds", "unlike", "artists", "scale"])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--held", type=Path)
    options = parser.parse_args()
    if options.what in ("curve", "thirds") and options.held is None:
        parser.error("--held is missing")
    if options.what != "scale" and options.data is None:
        parser.error("data is missing")
    ways = {
        "curve": lambda: curve(options.data, options.held),
        "thirds": lambda: thirds(options.data, options.held),
        "unlike": lambda: unlike(options.data),
        "artists": lambda: other_artists(options.data),
        "scale": scale,
    }
    for row in ways[options.what]():
        print(row, flush=True)


if __name__ == "__main__":
    main()
