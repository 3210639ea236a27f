"""Measure whether `auto` abstains on music unlike its training data.

    apt-get download wesnoth-1.16-music naev-data warzone2100-music planetblupi-music-ogg hyperrogue-music
    for deb in *.deb; do dpkg -x "$deb" "music/${deb%%_*}"; done
    python -m benchmarks.unlike --data ../shared/data/gtzan --music music --speech speech --out unlike

`--speech` is the folder that benchmarks.speech made. Two tables: the area under the ROC curve of several
measures of unlikeness between the development clips outside the training set and each folder, and the first
genre that is given to each file, with and without the model's measure. FAMILIAR in weights/build_auto.py was
chosen on wesnoth and naev alone. Sound effects (folders named "sounds") are counted apart.
"""

from __future__ import annotations

import argparse
import pickle
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from benchmarks import program
from benchmarks.head_candidates import SPACES, Floats, Training
from benchmarks.heads import LABELS, outside_clips, training_clips
from genretag import checkpoint
from genretag.audio.windows import parse_coverage
from genretag.labels import LabelSet
from genretag.predict.decide import DecisionRule, decide
from genretag.predict.engine import EngineOptions, Job, predict

SUFFIXES = (".ogg", ".opus", ".mp3", ".flac", ".wav")
COMPONENTS = 15

Score = tuple[Floats, Floats]
"""Scores (labels,) of a track, and those of its windows (windows, labels)."""
Measure = Callable[[Sequence[Floats]], Floats]
"""Give the unlikeness (tracks,) of tracks from the tag scores of their windows."""


def scored(paths: Sequence[Path], model: Path, coverage: str, stored: Path) -> list[Score]:
    """Return the scores of the files that hold enough sound, kept in a file from run to run."""
    known: dict[str, Score] = pickle.loads(stored.read_bytes()) if stored.is_file() else {}
    jobs = [Job(str(path), path) for path in paths if str(path) not in known]
    options = EngineOptions(device="cpu", coverage=parse_coverage(coverage), keep_windows=True)
    for name, answer in predict(jobs, model, options):
        if answer is not None and answer.scores is not None and answer.windows is not None:
            known[name] = (answer.scores.astype(np.float64), answer.windows.astype(np.float64))
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_bytes(pickle.dumps(known))
    return [known[str(path)] for path in paths if str(path) in known]


def folders_of(music: Path, speech: Path) -> dict[str, list[Path]]:
    """Return the sound files of each package, effects apart, and of the two folders of speech."""
    found: dict[str, list[Path]] = {}
    for folder in sorted(path for path in music.iterdir() if path.is_dir()):
        files = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
        effects = [path for path in files if "sounds" in path.parts]
        found[folder.name] = [path for path in files if path not in effects]
        if effects:
            found[f"{folder.name}, effects"] = effects
    for part in ("learn", "check"):
        found[f"speech, {part}"] = sorted((speech / part).iterdir())
    return found


def measures(training: Training) -> Mapping[str, Measure]:
    """Return measures of unlikeness, fitted to the published scores of the training clips."""
    found: dict[str, Measure] = {}
    for space, convert in SPACES.items():

        def means(clips: Sequence[Floats], convert: Callable[[Floats], Floats] = convert) -> Floats:
            return np.stack([convert(rows).mean(axis=0) for rows in clips])

        found |= {f"{name}, {space}": one for name, one in _fitted(training, means).items()}
    return found


def _fitted(training: Training, means: Measure) -> dict[str, Measure]:
    known = means(training.clips)
    scaler = StandardScaler().fit(known)
    known = scaler.transform(known)
    centres = np.stack([known[training.genres == genre].mean(axis=0) for genre in range(len(LABELS))])
    precision = LedoitWolf(assume_centered=True).fit(known - centres[training.genres]).precision_
    components = PCA(COMPONENTS).fit(known)

    def nearest(count: int) -> Measure:
        def measure(clips: Sequence[Floats]) -> Floats:
            rows = scaler.transform(means(clips))
            between = np.sqrt(((rows[:, None] - known[None]) ** 2).sum(axis=2))
            return np.asarray(np.sort(between, axis=1)[:, count - 1])

        return measure

    def mahalanobis(clips: Sequence[Floats]) -> Floats:
        rows = scaler.transform(means(clips))
        away = rows[:, None] - centres[None]
        return np.asarray(np.einsum("tci,ij,tcj->tc", away, precision, away).min(axis=1))

    def reconstruction(clips: Sequence[Floats]) -> Floats:
        rows = scaler.transform(means(clips))
        rest = rows - components.inverse_transform(components.transform(rows))
        return np.asarray((rest**2).sum(axis=1))

    return {
        "5th nearest clip": nearest(5),
        "nearest clip": nearest(1),
        "Mahalanobis, nearest class": mahalanobis,
        f"reconstruction, {COMPONENTS} components": reconstruction,
    }


def given(
    scores: Sequence[Score], labels: LabelSet, thresholds: Mapping[str, float], *, alike: bool
) -> list[str]:
    """Return the first genre of each track; with `alike`, as if all were like the training clips."""
    found = []
    broad = len(labels.broad)
    for track, _ in scores:
        values = track.copy()
        if alike:
            values[:broad] /= values[:broad].sum()
        found.append((*decide(values, labels, thresholds, DecisionRule()).genres, "unsure")[0])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--music", type=Path, required=True)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--coverage", default="fast")
    options = parser.parse_args(arguments)
    program.print_machine(program.machine())
    path = checkpoint.resolve(options.model)
    meta = checkpoint.read_meta(path)
    labels, broad = meta.labels, len(meta.labels.broad)
    training = training_clips(options.data)
    outside = outside_clips(options.data, training)
    stored = options.out / f"scores-{options.coverage}-{(meta.tensors_sha256 or '')[:12]}.pickle"
    inside = scored(list(outside.files.values()), path, options.coverage, stored)
    folders = folders_of(options.music, options.speech)
    sets = {name: scored(files, path, options.coverage, stored) for name, files in folders.items()}

    def tags(some: Sequence[Score]) -> list[Floats]:
        return [windows[:, broad : broad + training.clips[0].shape[1]] for _, windows in some]

    def unsure(some: Sequence[Score]) -> Floats:
        return np.array([-(track[:broad] / track[:broad].sum()).max() for track, _ in some])

    print(f"| measure | {' | '.join(f'{name} ({len(some)})' for name, some in sets.items())} |")
    print(f"| --- |{' ---: |' * len(sets)}")
    table: dict[str, Callable[[Sequence[Score]], Any]] = {"1 - best probability": unsure}
    for name, measure in measures(training).items():
        table[name] = lambda some, measure=measure: measure(tags(some))
    for name, measure_of in table.items():
        known = measure_of(inside)
        cells = []
        for some in sets.values():
            values = measure_of(some)
            truth = np.repeat([0, 1], [len(known), len(values)])
            cells.append(f"{roc_auc_score(truth, np.concatenate([known, values])):.2f}")
        print(f"| {name} | {' | '.join(cells)} |")
    print("\n| folder | without the measure | with it |\n| --- | --- | --- |")
    for name, some in {"outside clips": inside, **sets}.items():
        cells = []
        for alike in (True, False):
            counts = Counter(given(some, labels, meta.thresholds, alike=alike))
            cells.append(", ".join(f"{genre} {count}" for genre, count in counts.most_common()))
        print(f"| {name} | {' | '.join(cells)} |")
    truth = [labels.genres[labels.broad[genre]] for genre in outside.genres]
    for alike in (True, False):
        answers = given(inside, labels, meta.thresholds, alike=alike)
        right = sum(answer == genre for answer, genre in zip(answers, truth, strict=True))
        silent = answers.count("unsure")
        print(
            f"\noutside clips, {'without' if alike else 'with'} it: right {right}, unsure {silent}, "
            f"wrong {len(answers) - right - silent}"
        )


if __name__ == "__main__":
    main()
