"""Compare ten-genre heads in folds by artist and on development clips outside the training set.

    python -m benchmarks.heads --data ../shared/data/gtzan --out heads

evaluates each head of `benchmarks.head_candidates` on two samples:

- folds: the published tag scores of the 443 training clips, REPEATS times in 10 folds grouped by artist;
- outside: the other clips in `genres` and `genres16k`, each once, scored here through genretag's own decoder
  (`--coverage`), and of these the ones by artists who are not in the training set.

Intervals are 95 %, bootstrapped over artists. "folds, weighted" is the accuracy in the folds if genres were
as frequent as among the outside clips by other artists. Scores are cached in `--out`, which also receives
heads.json. `--only transfer` instead evaluates fitted heads on the published scores of training clips and on
our own scores of the same clips, both by fits without their artists.

The head is chosen by `chosen`, a rule that was written down before the comparison.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks import program
from benchmarks.head_candidates import EARLIER, SHIPPED, SPACES, Floats, Head, Training, candidates
from genretag import checkpoint
from genretag.audio.windows import parse_coverage
from genretag.models.presets import PRESETS
from genretag.predict.engine import EngineOptions, Job, predict
from genretag.training.calibration import fit_temperature

FOLDS, REPEATS = 10, 3
RESAMPLES = 4000
SUFFIXES = (".mp3", ".flac", ".wav", ".au")
LABELS = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")


@dataclass(frozen=True)
class Outside:
    """Clips that are not in the training set: files by clip, genres, artists, and which artists are new."""

    files: Mapping[str, Path]
    genres: NDArray[np.int64]
    artists: NDArray[np.str_]
    new: NDArray[np.bool_]


def training_clips(data: Path) -> Training:
    """Return the published tag scores of the training clips."""
    artists = json.loads((data / "artists.json").read_text(encoding="utf-8"))
    with np.load(data / "musicnn_msd_taggram_train.npz") as file:
        rows, ids = file["X"].astype(np.float64), file["IDS"]
    names = list(dict.fromkeys(ids.tolist()))
    clips = [Path(name).stem for name in names]
    genres = np.array([LABELS.index(clip.split(".")[0]) for clip in clips])
    owners = np.array([artists.get(clip, clip) for clip in clips])
    return Training([rows[ids == name] for name in names], names, genres, owners)


def files_of(data: Path) -> dict[str, list[Path]]:
    """Return the sound files of each clip, the ones in `genres` first."""
    found: dict[str, list[Path]] = {}
    for folder in ("genres", "genres16k"):
        for path in sorted((data / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                found.setdefault(path.stem, []).append(path)
    return found


def outside_clips(data: Path, training: Training) -> Outside:
    """Return each clip that is not in the training set once."""
    artists = json.loads((data / "artists.json").read_text(encoding="utf-8"))
    with gzip.open(data / "split_filtered.json.gz") as file:
        tested = {row["extra"]["id"] for row in json.load(file).values() if row["split"] == "test"}
    known = {Path(name).stem for name in training.names}
    files = {
        clip: paths[0] for clip, paths in files_of(data).items() if clip not in known and clip not in tested
    }
    owners = np.array([artists.get(clip, clip) for clip in files])
    genres = np.array([LABELS.index(clip.split(".")[0]) for clip in files])
    return Outside(files, genres, owners, ~np.isin(owners, training.artists))


def own_scores(paths: Sequence[Path], coverage: str, cache: Path) -> list[Floats]:
    """Return the tag scores (windows, tags) of files through genretag's decoder and a probe's front end."""
    base = checkpoint.load(checkpoint.resolve("musicnn-msd"))
    features = replace(PRESETS["probe"].features, step_frames=base.meta.features.step_frames)
    key = hashlib.sha256(json.dumps(features.to_dict(), sort_keys=True).encode()).hexdigest()[:12]
    stored = cache / f"scores-{coverage}-{key}.npz"
    known = dict(np.load(stored)) if stored.is_file() else {}
    missing = [path for path in paths if str(path) not in known]
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "base.safetensors"
            checkpoint.save(model, replace(base.meta, features=features), base.state)
            options = EngineOptions(device="cpu", coverage=parse_coverage(coverage), keep_windows=True)
            for name, scores in predict([Job(str(path), path) for path in missing], model, options):
                if scores is not None and scores.windows is not None:
                    known[name] = scores.windows.astype(np.float32)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(stored, **known)
    return [known[str(path)].astype(np.float64) for path in paths]


def folds(head: Head, training: Training, repeats: int = REPEATS) -> Floats:
    """Return the logits (repeats, clips, genres) of fits without the artist of each clip."""
    logits = np.zeros((repeats, len(training.clips), len(LABELS)))
    for seed in range(repeats):
        cut = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        for kept, held in cut.split(training.genres, training.genres, training.artists):
            logits[seed, held] = head(training.part(kept), seed)([training.clips[row] for row in held])
    return logits


def resampled(artists: NDArray[np.str_], seed: int = 0) -> NDArray[np.int64]:
    """Return how often each clip is drawn (RESAMPLES, clips) when artists are drawn with replacement."""
    _, artist = np.unique(artists, return_inverse=True)
    count = int(artist.max()) + 1
    drawn = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    counts: NDArray[np.int64] = np.stack([np.bincount(row, minlength=count) for row in drawn])[:, artist]
    return counts


def interval(right: Floats, artists: NDArray[np.str_]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of `right` (clips,)."""
    counts = resampled(artists)
    low, high = np.quantile(counts @ right / counts.sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def measure(head: Head, training: Training, outside: Outside, scores: Sequence[Floats]) -> dict[str, Any]:
    """Return the figures of one head; `scores` are those of the outside clips."""
    inside = folds(head, training)
    truth = np.eye(len(LABELS), dtype=bool)
    temperature = fit_temperature(inside[0], truth[training.genres], "single")
    right = (inside.argmax(axis=2) == training.genres).mean(axis=0)
    recall = np.array([right[training.genres == genre].mean() for genre in range(len(LABELS))])
    probs = softmax(head(training, 0)(scores) / temperature, axis=1)
    found = probs.argmax(axis=1) == outside.genres
    mix = np.bincount(outside.genres[outside.new], minlength=len(LABELS)) / outside.new.sum()
    return {
        "folds": float(right.mean()),
        "folds_ci": interval(right, training.artists),
        "folds_weighted": float(recall @ mix),
        "recall": [round(float(value), 3) for value in recall],
        "outside_new": int(found[outside.new].sum()),
        "outside_new_ci": interval(found[outside.new].astype(float), outside.artists[outside.new]),
        "outside_all": int(found.sum()),
        "outside_recall": [int(found[outside.genres == genre].sum()) for genre in range(len(LABELS))],
        "log_loss": float(-np.log(probs[np.arange(len(probs)), outside.genres]).mean()),
        "brier": float(((probs - truth[outside.genres]) ** 2).sum(axis=1).mean()),
        "temperature": temperature,
        "right": found[outside.new].astype(int).tolist(),
    }


def chosen(found: Mapping[str, Mapping[str, Any]], outside: Outside) -> tuple[str, list[str]]:
    """Return the chosen head, and those within one standard error of the best on outside clips.

    The standard error is that of the paired difference to the best, bootstrapped over artists. Of the heads
    within it, those that are a single linear layer on the mean over the windows are preferred ("mean,"), and
    of these the one with the highest accuracy in the folds is taken.
    """
    counts = resampled(outside.artists[outside.new])
    best = max(found, key=lambda name: (found[name]["outside_new"], found[name]["folds"]))
    eligible = []
    for name, head in found.items():
        difference = np.array(found[best]["right"]) - np.array(head["right"])
        error = np.std(counts @ difference / counts.sum(axis=1))
        if difference.mean() <= error:
            eligible.append(name)
    simple = [name for name in eligible if " mean, " in name and not name.startswith("average")]
    return max(simple or eligible, key=lambda name: found[name]["folds"]), eligible


def transfer(training: Training, data: Path, coverage: str, cache: Path, heads: Mapping[str, Head]) -> None:
    """Print how far our scores are from the published ones, and how heads do on both."""
    files = files_of(data)
    rows = np.array([row for row, name in enumerate(training.names) if Path(name).stem in files])
    own = own_scores([files[Path(training.names[row]).stem][0] for row in rows], coverage, cache)
    print(f"{len(rows)} training clips. Shift of a clip's mean, RMS, in spreads of the label:\n")
    print("| space | median label | largest | bias, mean of labels |\n| --- | ---: | ---: | ---: |")
    for name, space in SPACES.items():
        spread = np.std([space(clip).mean(axis=0) for clip in training.clips], axis=0)
        pairs = [(space(training.clips[row]), space(mine)) for row, mine in zip(rows, own, strict=True)]
        shift = np.stack([(mine.mean(axis=0) - theirs.mean(axis=0)) / spread for theirs, mine in pairs])
        rms, bias = np.sqrt((shift**2).mean(axis=0)), np.abs(shift.mean(axis=0)).mean()
        print(f"| {name} | {np.median(rms):.3f} | {rms.max():.3f} | {bias:.3f} |")
    print(
        "\n| head | right, published scores | right, our scores | same answer |\n| --- | ---: | ---: | ---: |"
    )
    for name, head in heads.items():
        theirs, mine = np.zeros(len(rows), int), np.zeros(len(rows), int)
        cut = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
        for kept, held in cut.split(training.genres, training.genres, training.artists):
            here = np.flatnonzero(np.isin(rows, held))
            if len(here):
                fitted = head(training.part(kept), 0)
                theirs[here] = fitted([training.clips[row] for row in rows[here]]).argmax(axis=1)
                mine[here] = fitted([own[place] for place in here]).argmax(axis=1)
        truth = training.genres[rows]
        print(f"| {name} | {(theirs == truth).sum()} | {(mine == truth).sum()} | {(theirs == mine).sum()} |")


def row(name: str, head: Mapping[str, Any], clips: int) -> str:
    """Return a line of the table."""
    low, high = (100 * bound for bound in head["folds_ci"])
    under, over = (100 * bound for bound in head["outside_new_ci"])
    cells = [
        name,
        f"{100 * head['folds']:.1f} ({low:.1f}–{high:.1f})",
        f"{100 * head['folds_weighted']:.1f}",
        f"{head['outside_new']} = {100 * head['outside_new'] / clips:.1f} ({under:.1f}–{over:.1f})",
        str(head["outside_all"]),
        f"{head['log_loss']:.2f}",
        " ".join(f"{100 * value:.0f}" for value in head["recall"]),
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--coverage", default="fast", help="of the outside clips (default: fast)")
    parser.add_argument("--only", choices=["table", "transfer"], default="table")
    options = parser.parse_args(arguments)
    program.print_machine(program.machine())
    training = training_clips(options.data)
    heads = candidates()
    if options.only == "transfer":
        compared = ("p mean, LDA 0.1", "log-odds mean, LDA 0.1", "p mean, logistic C=0.1", SHIPPED, EARLIER)
        few = {name: heads[name] for name in compared}
        transfer(training, options.data, options.coverage, options.out, few)
        return
    outside = outside_clips(options.data, training)
    scores = own_scores(list(outside.files.values()), options.coverage, options.out)
    clips = int(outside.new.sum())
    print(
        f"| head | folds, % | folds, weighted, % | outside, new artists, of {clips} | of {len(scores)} | "
        f"log loss | recall in the folds: {' '.join(LABELS)} |"
    )
    print("| --- | --- | ---: | --- | ---: | ---: | --- |")
    found: dict[str, dict[str, Any]] = {}
    for name, head in heads.items():
        found[name] = measure(head, training, outside, scores)
        print(row(name, found[name], clips), flush=True)
    best, eligible = chosen(found, outside)
    print(f"\nWithin one standard error of the best: {'; '.join(eligible)}\n\nChosen: {best}")
    (options.out / "heads.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
