"""Put `auto` together: broad genres of gtzan-musicnn, tags of musicnn-msd, a veto for speech, in one pass.

    python weights/build_auto.py --taggrams ../shared/data/gtzan/musicnn_msd_taggram_train.npz \\
        --speech speech/learn

where `benchmarks/speech.py` made the folder. Without --speech the veto of the present auto is kept.

What tells speech from music is a logistic regression on windows, by the tags' log-odds: those of the speech
against those of GTZAN's 443 train clips. Nothing else is trained here. The thresholds that `genretag tag`
decides by are

- broad genres: BROAD, which leaves out one clip in eight (see gtzan-musicnn's card for what is right above);
- genres that the ten lack ("electronic", "folk", "rnb", ...): the lowest score that at most SHARE of GTZAN's
  443 train clips reach, all of which have one of the ten, but at least FLOOR;
- finer genres: musicnn-msd's own;
- speech: SPEECH. In five folds, by artist and by speaker, the script prints how near both sides come to it.

The probabilities of the broad genres are multiplied by the probability that a track resembles the training
clips (models.familiarity). The distance at which it is one half is the FAMILIAR quantile of the distances
between a training clip and the clips of other artists. FAMILIAR was chosen on two packages of game music,
wesnoth and naev; docs/research/head-selection.md has the figures for these and for others.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genretag import checkpoint
from genretag.checkpoint import CheckpointMeta
from genretag.labels import LabelSet
from genretag.models.presets import COMPOSED
from genretag.predict.engine import EngineOptions, Job, predict

HERE = Path(__file__).resolve().parent
AUTO = HERE / "auto.safetensors"
PREFIX = "genre/"
VETO = "speech"
BROAD = 0.5
SHARE = 0.01
FLOOR = 0.3
SPEECH = 0.7
REGULARISATION = 0.1  # scikit-learn's C
FAMILIAR = 0.85
NEAREST = 5
STEEPNESS = 8.0


def two_levels(broad: LabelSet, tags: LabelSet) -> LabelSet:
    """Labels of both and the veto, the broad ones told from tags of the same name by a prefix."""
    names = tuple(PREFIX + name for name in broad.names)
    genres = {PREFIX + name: genre for name, genre in broad.genres.items()} | dict(tags.genres)
    return LabelSet((*names, *tags.names, VETO), "multi", genres, broad=names, vetoes=(VETO,))


def thresholds(labels: LabelSet, tags: CheckpointMeta, scores: NDArray[np.floating]) -> dict[str, float]:
    """Thresholds by the rules above; `scores` (clips, tags) are those of the train clips."""
    found = dict.fromkeys(labels.broad, BROAD) | dict(tags.thresholds) | {VETO: SPEECH}
    allowed = math.floor(SHARE * len(scores))
    for label in labels.beside_broad():
        highest = float(np.sort(scores[:, tags.labels.names.index(label)])[-allowed - 1])
        found[label] = max(FLOOR, math.floor(100 * highest + 1) / 100)
    return found


def music_windows(taggrams: Path) -> Windows:
    """Windows of the clips of a features file, in the groups of their artists."""
    with np.load(taggrams) as file:
        rows, ids = file["X"], file["IDS"]
    artists = json.loads((taggrams.parent / "artists.json").read_text(encoding="utf-8"))
    clips = [Path(name).stem for name in ids.tolist()]
    return Windows(rows, ids, np.array([artists.get(clip, clip) for clip in clips]))


def speech_windows(folder: Path) -> Windows:
    """Windows of the files of a folder; a speaker's files are SPEAKER-NUMBER."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    options = EngineOptions(device="cpu", coverage="full", keep_windows=True)
    heard = predict([Job(path.stem, path) for path in files], HERE / "musicnn-msd.safetensors", options)
    rows, names = [], []
    for name, scores in heard:
        if scores is None or scores.windows is None:
            raise SystemExit(f"{folder / name}: cannot be heard")
        rows.append(scores.windows)
        names += [name] * len(scores.windows)
    speakers = [name.rpartition("-")[0] for name in names]
    return Windows(np.concatenate(rows), np.array(names), np.array(speakers))


@dataclass(frozen=True)
class Windows:
    """Scores (windows, tags), and for each window its track and the artist or speaker."""

    rows: NDArray[np.floating]
    tracks: NDArray[np.str_]
    groups: NDArray[np.str_]

    def means(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Means over the windows of each track, by name."""
        return np.stack([values[self.tracks == name].mean(axis=0) for name in np.unique(self.tracks)])

    def owners(self) -> NDArray[np.str_]:
        """Group of each track, in the order of `means`."""
        return self.groups[np.unique(self.tracks, return_index=True)[1]]


def fit_veto(offset: float, music: Windows, speech: Windows) -> tuple[dict[str, torch.Tensor], str]:
    """Weights of the layer `veto`, and what folds by artist and by speaker say of it."""
    both = np.concatenate([music.rows, speech.rows]).astype(np.float64)
    heard = np.log((both + offset) / (1 - both + offset))
    truth = np.repeat([0, 1], [len(music.rows), len(speech.rows)])
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=REGULARISATION, class_weight="balanced", max_iter=1000)
    )
    groups = np.concatenate([music.groups, speech.groups])
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    out = cross_val_predict(model, heard, truth, groups=groups, cv=folds, method="predict_proba")[:, 1]
    of_music, of_speech = music.means(out[truth == 0]), speech.means(out[truth == 1])
    scaler, fitted = (step for _, step in model.fit(heard, truth).steps)
    weight = fitted.coef_ / scaler.scale_
    bias = fitted.intercept_ - weight @ scaler.mean_
    said = (
        f"speech, out of fold: {np.sum(of_speech >= SPEECH)} of {len(of_speech)} tracks of speech reach "
        f"{SPEECH} (least {of_speech.min():.2f}), {np.sum(of_music >= SPEECH)} of {len(of_music)} clips of "
        f"music (most {of_music.max():.2f})"
    )
    tensors = {"weight": weight, "bias": bias}
    return {f"veto.{name}": torch.tensor(value, dtype=torch.float32) for name, value in tensors.items()}, said


def familiarity(music: Windows) -> dict[str, torch.Tensor]:
    """Tensors of the module `familiarity`: mean scores of the training clips, their scale and the limit."""
    means, owners = music.means(music.rows.astype(np.float64)), music.owners()
    scale = means.std(axis=0)
    rows = means / scale
    distances = np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(axis=2))
    distances[owners[:, None] == owners[None]] = np.inf
    limit = np.quantile(np.sort(distances, axis=1)[:, NEAREST - 1], FAMILIAR)
    tensors = {"tracks": means, "scale": scale, "limit": limit}
    return {
        f"familiarity.{name}": torch.tensor(value, dtype=torch.float32) for name, value in tensors.items()
    }


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--taggrams", type=Path, required=True)
    parser.add_argument("--speech", type=Path)
    options = parser.parse_args()
    music = music_windows(options.taggrams)
    head = checkpoint.load(HERE / "gtzan-musicnn.safetensors")
    tags = checkpoint.read_meta(HERE / "musicnn-msd.safetensors")
    labels = two_levels(head.meta.labels, tags.labels)
    preset = COMPOSED["two-level"]
    levels = {"broad": len(head.meta.labels), "temperature": head.meta.temperature, "vetoes": 1}
    references = {"references": len(np.unique(music.tracks)), "nearest": NEAREST, "steepness": STEEPNESS}
    config = {**head.meta.config, **levels, **references}
    if options.speech:
        veto, said = fit_veto(config["offset"], music, speech_windows(options.speech))
        print(said)
    else:
        before = checkpoint.load(AUTO).state
        veto = {name: tensor for name, tensor in before.items() if name.startswith("veto.")}
    meta = replace(
        head.meta,
        name="auto",
        preset=preset.name,
        config=config,
        features=preset.features,
        labels=labels,
        thresholds=thresholds(labels, tags, music.means(music.rows)),
        temperature=1.0,
        origin=f"{head.meta.name} and {tags.name}, put together by weights/build_auto.py",
    )
    checkpoint.save(AUTO, meta, head.state | veto | familiarity(music))
    for label, threshold in sorted(meta.thresholds.items()):
        print(f"{label:<20} {threshold:.2f}")


if __name__ == "__main__":
    main()
