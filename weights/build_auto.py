"""Put `auto` together: the broad genres of gtzan-musicnn and the tags of musicnn-msd, in one pass.

    python weights/build_auto.py --taggrams ../shared/data/gtzan/musicnn_msd_taggram_train.npz

Nothing is trained here. The thresholds that `genretag tag` decides by are

- broad genres: BROAD, which leaves out one clip in eight (see gtzan-musicnn's card for what is right above);
- genres that the ten lack ("electronic", "folk", "rnb", ...): the lowest score that at most SHARE of GTZAN's
  443 train clips reach, all of which have one of the ten, but at least FLOOR;
- finer genres: musicnn-msd's own.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genretag import checkpoint
from genretag.checkpoint import CheckpointMeta
from genretag.labels import LabelSet, parents
from genretag.models.presets import COMPOSED

HERE = Path(__file__).resolve().parent
PREFIX = "genre/"
BROAD = 0.5
SHARE = 0.01
FLOOR = 0.3


def two_levels(broad: LabelSet, tags: LabelSet) -> LabelSet:
    """Labels of both, the broad ones told from tags of the same name by a prefix."""
    names = tuple(PREFIX + name for name in broad.names)
    genres = {PREFIX + name: genre for name, genre in broad.genres.items()} | dict(tags.genres)
    return LabelSet((*names, *tags.names), "multi", genres, broad=names)


def thresholds(labels: LabelSet, tags: CheckpointMeta, scores: NDArray[np.floating]) -> dict[str, float]:
    """Thresholds by the rules above; `scores` (clips, tags) are those of the train clips."""
    covered = {labels.genres[label] for label in labels.broad}
    found = dict.fromkeys(labels.broad, BROAD) | dict(tags.thresholds)
    for column, label in enumerate(tags.labels.names):
        genre = labels.genre(label)
        if genre is not None and genre not in covered and not parents(genre):
            allowed = math.floor(SHARE * len(scores))
            highest = float(np.sort(scores[:, column])[-allowed - 1])
            found[label] = max(FLOOR, math.floor(100 * highest + 1) / 100)
    return found


def track_scores(taggrams: Path) -> NDArray[np.float64]:
    """Mean scores (clips, tags) of the clips of a features file."""
    with np.load(taggrams) as file:
        rows, ids = file["X"], file["IDS"]
    return np.stack([rows[ids == name].mean(axis=0) for name in np.unique(ids)])


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--taggrams", type=Path, required=True)
    options = parser.parse_args()
    head = checkpoint.load(HERE / "gtzan-musicnn.safetensors")
    tags = checkpoint.read_meta(HERE / "musicnn-msd.safetensors")
    labels = two_levels(head.meta.labels, tags.labels)
    preset = COMPOSED["two-level"]
    config = {**head.meta.config, "broad": len(head.meta.labels), "temperature": head.meta.temperature}
    meta = replace(
        head.meta,
        name="auto",
        preset=preset.name,
        config=config,
        features=preset.features,
        labels=labels,
        thresholds=thresholds(labels, tags, track_scores(options.taggrams)),
        temperature=1.0,
        origin=f"{head.meta.name} and {tags.name}, put together by weights/build_auto.py",
    )
    checkpoint.save(HERE / "auto.safetensors", meta, head.state)
    for label, threshold in sorted(meta.thresholds.items()):
        print(f"{label:<20} {threshold:.2f}")


if __name__ == "__main__":
    main()
