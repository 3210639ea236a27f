"""Compare what the shipped networks give as features for a genre head, on three genres of GTZAN.

    python -m benchmarks.encoders --data ../shared/data/gtzan --out encoders

fits the head of `gtzan-musicnn` (linear, on the mean over the windows) to the training clips of rock, jazz
and classical whose audio is in `genres`, and measures it on the validation clips there: all, and those by
artists who are not among the training clips. Only for these genres is there audio of the training clips.
Features are kept in `--out`.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from benchmarks import program
from benchmarks.head_candidates import Floats, Training, blend
from benchmarks.heads import LABELS, files_of, interval
from genretag import checkpoint
from genretag.audio.decode import decode_whole
from genretag.audio.extract import Extractor
from genretag.models.presets import PRESETS
from genretag.models.registry import for_inference, load_model

NETWORKS = ("musicnn-msd", "musicnn-mtt", "vgg-msd", "vgg-mtt")


def features(paths: Sequence[Path], names: Sequence[str], out: Path) -> dict[str, Floats]:
    """Return means over the windows of the networks' scores and embeddings, (clips, columns) each."""
    stored = out / f"features-{'-'.join(names)}.npz"
    if stored.is_file():
        return dict(np.load(stored))
    parts: dict[str, list[Floats]] = {}
    spec = replace(PRESETS["probe"].features, step_frames=PRESETS["musicnn"].features.step_frames)
    front = Extractor(spec).eval()
    networks: dict[str, Any] = {
        name: for_inference(load_model(checkpoint.load(checkpoint.resolve(name)))) for name in names
    }
    for path in paths:
        waves = decode_whole(path, spec, "fast")[0].waves
        with torch.inference_mode():
            rows = front(torch.from_numpy(waves))
            for name, network in networks.items():
                parts.setdefault(f"{name} scores", []).append(network(rows).sigmoid().mean(dim=0).numpy())
                if hasattr(network, "embed"):
                    parts.setdefault(f"{name} embedding", []).append(network.embed(rows).mean(dim=0).numpy())
    found = {name: np.stack(rows) for name, rows in parts.items()}
    if len(names) > 1:
        found["all scores"] = np.concatenate([found[f"{name} scores"] for name in names], axis=1)
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(stored, **found)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--network", action="append", choices=NETWORKS, help="may be repeated (all)")
    options = parser.parse_args(arguments)
    program.print_machine(program.machine())
    torch.set_num_threads(1)
    with gzip.open(options.data / "split_filtered.json.gz") as file:
        split = {row["extra"]["id"]: row["split"] for row in json.load(file).values()}
    owners = json.loads((options.data / "artists.json").read_text(encoding="utf-8"))
    clips = [
        clip
        for clip, paths in files_of(options.data).items()
        if paths[0].parts[-3] == "genres" and split.get(clip) in ("train", "valid")
    ]
    artists = np.array([owners.get(clip, clip) for clip in clips])
    genres = np.array([LABELS.index(clip.split(".")[0]) for clip in clips])
    train: NDArray[np.bool_] = np.array([split[clip] == "train" for clip in clips])
    new = ~train & ~np.isin(artists, artists[train])
    print(f"{train.sum()} training clips, {(~train).sum()} validation clips, {new.sum()} by other artists\n")
    print("| features | columns | valid, right | other artists, right | 95 % interval |")
    print("| --- | ---: | ---: | ---: | --- |")
    paths = [files_of(options.data)[clip][0] for clip in clips]
    for name, rows in features(paths, options.network or NETWORKS, options.out).items():
        scaler = StandardScaler().fit(rows[train])
        weights = Training([], [], genres[train], artists[train]).weights()
        model = blend(0.7)().fit(scaler.transform(rows[train]), genres[train], weights)
        right = model.predict(scaler.transform(rows)) == genres
        low, high = (100 * bound for bound in interval(right[new].astype(float), artists[new]))
        cells = (name, rows.shape[1], right[~train].sum(), right[new].sum(), f"{low:.1f}–{high:.1f}")
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
