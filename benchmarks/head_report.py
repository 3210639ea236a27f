"""Measure a ten-genre checkpoint on the development clips outside the training set.

    python -m benchmarks.head_report --data ../shared/data/gtzan --out heads --model gtzan-musicnn
    python -m benchmarks.head_report --data ../shared/data/gtzan --out heads --robustness

prints accuracy, Brier score and log loss, reliability in three bins, what `--min-confidence 0.8` answers,
accuracy by the share of clips answered, and the confusion matrix. Intervals are 95 %, bootstrapped over
artists. Scores come through genretag's decoder and are shared with benchmarks.heads in `--out`. With
`--robustness` it prints the accuracy under each condition of benchmarks.robustness instead; the copies are
made in `--out`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import program, robustness
from benchmarks.head_candidates import Floats
from benchmarks.heads import LABELS, Outside, outside_clips, own_scores, resampled, training_clips
from genretag import checkpoint
from genretag.models.registry import load_model

BINS = ((0.0, 0.5), (0.5, 0.8), (0.8, 1.01))
CONFIDENT = 0.8
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25)


def probabilities(model: Path, scores: Sequence[Floats]) -> Floats:
    """Return the calibrated probabilities (clips, genres) of a probe from the tag scores of windows."""
    loaded = checkpoint.load(model)
    network: Any = load_model(loaded)
    with torch.inference_mode():
        logits = [network.track(torch.from_numpy(rows.astype(np.float32))) for rows in scores]
    found: Floats = (torch.stack(logits).double() / loaded.meta.temperature).softmax(dim=1).numpy()
    return found


def mean_of(values: NDArray[Any], chosen: NDArray[np.bool_], counts: NDArray[np.int64]) -> str:
    """Return the mean of `values` over the chosen clips, with its interval."""
    drawn = counts[:, chosen]
    drawn = drawn[drawn.sum(axis=1) > 0]
    low, high = np.quantile(drawn @ values[chosen] / drawn.sum(axis=1), [0.025, 0.975])
    return f"{values[chosen].mean():.3f} ({low:.3f}–{high:.3f})"


def copies(outside: Outside, name: str, out: Path) -> list[Path]:
    """Return the outside clips under a condition, made in `out` if they are not there yet."""
    linked = out / "clips"
    for path in outside.files.values():
        link = linked / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(path.resolve())
    folder = robustness.make(linked, name, out / "copies")
    made = {path.stem: path for path in folder.rglob("*") if path.is_file()}
    return [made[clip] for clip in outside.files]


def conditions(outside: Outside, model: Path, coverage: str, out: Path) -> None:
    """Print the accuracy under each condition."""
    print(f"| condition | new artists, of {outside.new.sum()} | % | of {len(outside.new)} | same answer |")
    print("| --- | ---: | ---: | ---: | ---: |")
    clean: NDArray[np.intp] | None = None
    for name in (robustness.AS_IS, *robustness.CONDITIONS):
        as_is = name == robustness.AS_IS
        files = list(outside.files.values()) if as_is else copies(outside, name, out)
        best = probabilities(model, own_scores(files, coverage, out)).argmax(axis=1)
        clean = best if clean is None else clean
        right = best == outside.genres
        new = right[outside.new]
        cells = (name, new.sum(), f"{100 * new.mean():.1f}", right.sum(), (best == clean).sum())
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="gtzan-musicnn")
    parser.add_argument("--coverage", default="fast")
    parser.add_argument("--robustness", action="store_true", help="measure under each condition")
    options = parser.parse_args(arguments)
    program.print_machine(program.machine())
    outside = outside_clips(options.data, training_clips(options.data))
    model = checkpoint.resolve(options.model)
    if options.robustness:
        conditions(outside, model, options.coverage, options.out)
        return
    scores = own_scores(list(outside.files.values()), options.coverage, options.out)
    probs = probabilities(model, scores)
    truth, best = outside.genres, probs.argmax(axis=1)
    right, sure = (best == truth).astype(float), probs.max(axis=1)
    brier = ((probs - np.eye(len(LABELS))[truth]) ** 2).sum(axis=1)
    loss = -np.log(probs[np.arange(len(probs)), truth])
    counts = resampled(outside.artists)
    every = np.ones(len(probs), bool)
    print("| clips | right | accuracy | Brier score | log loss |\n| --- | ---: | --- | --- | --- |")
    for name, chosen in {"new artists": outside.new, "all": every}.items():
        cells = [mean_of(values, chosen, counts) for values in (right, brier, loss)]
        print(f"| {name}, {chosen.sum()} | {right[chosen].sum():.0f} | {' | '.join(cells)} |")
    print("\n| probability | clips | mean probability | right |\n| --- | ---: | ---: | --- |")
    for low, high in BINS:
        chosen = (sure >= low) & (sure < high)
        print(
            f"| {low:g} to {min(high, 1):g} | {chosen.sum()} | {sure[chosen].mean():.2f} | "
            f"{mean_of(right, chosen, counts)} |"
        )
    confident = sure >= CONFIDENT
    print(
        f"\n--min-confidence {CONFIDENT}: {confident.sum()} of {len(sure)} clips answered, "
        f"{right[confident].sum():.0f} right: {mean_of(right, confident, counts)}"
    )
    print("\n| clips answered | right | lowest probability |\n| --- | ---: | ---: |")
    order = np.argsort(-sure, kind="stable")
    for share in SHARES:
        kept = order[: round(share * len(order))]
        print(f"| {share:.0%} | {right[kept].mean():.3f} | {sure[kept[-1]]:.2f} |")
    print(f"\n| true | {' | '.join(LABELS)} |\n| --- |{' ---: |' * len(LABELS)}")
    for genre, label in enumerate(LABELS):
        row = np.bincount(best[truth == genre], minlength=len(LABELS))
        print(f"| {label} | {' | '.join(str(value) if value else '·' for value in row)} |")


if __name__ == "__main__":
    main()
