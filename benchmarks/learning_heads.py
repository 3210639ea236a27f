"""Compare features and classifiers for `learn`, in folds by artist inside training sides only.

    python -m benchmarks.learning_heads ../shared/data/gtzan/genres

DRAWS times, twenty clips a genre of few artists are drawn, as in `benchmarks.learning artists` but with other
seeds; clips by other artists are not looked at. The log loss is that at the best temperature.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.learning import draw_artists
from genretag import checkpoint
from genretag.models.probe import log_odds
from genretag.predict.engine import EngineOptions
from genretag.training.calibration import calibrate
from genretag.training.copies import BASE, embed_files, encoder_config, probe_on
from genretag.training.grouping import cut_folds
from genretag.training.windows import FileWindows, StoredWindows

DRAWS = range(100, 110)
OFFSET = 1e-3  # of the log-odds, as in `auto`


def features(paths: list[Path]) -> dict[str, np.ndarray]:
    """Return the mean over the windows of each file, of the embedding and of the 50 tag scores."""
    host = checkpoint.load(checkpoint.resolve(BASE))
    stored = embed_files(host, paths, EngineOptions(device="cpu", workers=1))
    network: Any = probe_on(host, encoder_config(host), 2)
    found: dict[str, list[np.ndarray]] = {"embedding": [], "probabilities": [], "log-odds": []}
    for file in stored:
        assert isinstance(file, StoredWindows)
        rows = FileWindows([file], [np.arange(file.count)]).gather(np.arange(file.count))
        with torch.inference_mode():
            scores = network.base.output(torch.from_numpy(rows)).sigmoid()
        found["embedding"].append(rows.mean(axis=0))
        found["probabilities"].append(scores.mean(dim=0).numpy())
        found["log-odds"].append(log_odds(scores, OFFSET).mean(dim=0).numpy())
    return {name: np.stack(rows) for name, rows in found.items()}


def candidates() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Names of classifiers with what makes them."""
    for shrinkage in ("auto", 0.5, 0.9):
        name = f"LDA, shrinkage {shrinkage}"
        yield name, lambda s=shrinkage: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s)
    for c in (0.001, 0.003, 0.01, 0.03, 0.1):
        name = f"logistic regression, C {c}"
        yield name, lambda c=c: LogisticRegression(C=c, class_weight="balanced", max_iter=1000)


def compare(data: Path) -> Iterator[str]:
    """Rows of a table: features, classifier, accuracy and log loss, means over the draws."""
    artists = json.loads((data.parent / "artists.json").read_text(encoding="utf-8"))
    draws = [draw_artists(data, artists, seed)[0] for seed in DRAWS]
    paths = sorted({path for chosen in draws for path in chosen})
    rows = {path: number for number, path in enumerate(paths)}
    yield "| features | classifier | right, % | log loss |"
    yield "| --- | --- | ---: | ---: |"
    for name, X in features(paths).items():
        for classifier, make in candidates():
            figures = []
            for chosen in draws:
                mine = X[[rows[path] for path in chosen]]
                labels = np.unique([path.parent.name for path in chosen], return_inverse=True)[1]
                groups = np.unique([artists[path.stem] for path in chosen], return_inverse=True)[1]
                logits = np.zeros((len(mine), labels.max() + 1))
                for held in cut_folds(labels, groups, 5, 0):
                    fitted = make_pipeline(StandardScaler(), make()).fit(mine[~held], labels[~held])
                    logits[held] = fitted.decision_function(mine[held])
                loss = calibrate(logits, np.eye(logits.shape[1], dtype=bool)[labels], "single")[1]
                figures.append((100 * np.mean(logits.argmax(axis=1) == labels), loss))
            right, loss = np.mean(figures, axis=0)
            yield f"| {name} | {classifier} | {right:.1f} | {loss:.3f} |"


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    for row in compare(parser.parse_args().data):
        print(row, flush=True)


if __name__ == "__main__":
    main()
