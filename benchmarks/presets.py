"""Train every preset on the GTZAN clips at hand and put the figures side by side.

    python -m benchmarks.presets --data ../shared/data/gtzan/genres --out /tmp/runs

Each run is `genretag train` with the options that the table shows, one thread. A finished run is not run
again; --no-train prints the table of those. Columns come from each run's evaluation.json and checkpoint,
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import program

# Beside --dataset, --data and --out. Epochs are what two shared cores have time for, not what is best.
RUNS: dict[str, tuple[str, ...]] = {
    "svm": ("--model", "svm"),
    "mlp": ("--model", "mlp", "--epochs", "200"),
    "cnn": ("--model", "cnn", "--epochs", "4"),
    "lstm": ("--model", "lstm", "--epochs", "40"),
    "bilstm": ("--model", "bilstm", "--epochs", "20"),
    "gru": ("--model", "gru", "--epochs", "40", "--monitor", "score"),
    "resnet18": ("--model", "resnet18", "--epochs", "40"),
    "resnet18-chroma": ("--model", "resnet18-chroma", "--epochs", "50"),
    "wavenet": ("--model", "wavenet", "--epochs", "2"),
    "handcrafted": ("--model", "handcrafted"),
    "kostrzewa": ("--model", "kostrzewa"),
    "kostrzewa-tuned": ("--model", "kostrzewa-tuned"),
    "efficientnet-svm": ("--model", "efficientnet-svm"),
    "vggish": ("--model", "vggish", "--epochs", "3"),
    "musicnn-scratch": ("--model", "musicnn", "--epochs", "4"),
    "musicnn-finetuned": ("--model", "musicnn", "--init", "published", "--epochs", "3", "--lr", "0.0001"),
    "vgg-scratch": ("--model", "vgg", "--epochs", "2"),
    "vgg-finetuned": ("--model", "vgg", "--init", "published", "--epochs", "2", "--lr", "0.0001"),
    "short-chunk-resnet": ("--model", "short-chunk-resnet", "--epochs", "4"),
    "probe": ("--model", "probe"),
}


def train(name: str, dataset: str, data: Path, out: Path) -> None:
    """One run, unless it is there; its seconds are noted beside it."""
    folder, line = out / name, ["--dataset", dataset, "--data", str(data), *RUNS[name]]
    if (folder / "evaluation.json").is_file():
        return
    start = time.perf_counter()
    command = [*program.GENRETAG, "train", *line, "--out", str(folder)]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return
    (folder / "seconds.txt").write_text(f"{time.perf_counter() - start:.0f}\n")


def row(name: str, out: Path) -> str | None:
    """The run's line of the table; None where there is none."""
    folder = out / name
    if not (folder / "evaluation.json").is_file():
        return None
    found = json.loads((folder / "evaluation.json").read_text())
    seconds = folder / "seconds.txt"
    minutes = f"{int(seconds.read_text()) / 60:.1f}" if seconds.is_file() else "–"
    parameters = _described(folder / "checkpoint.safetensors")["parameters"]
    cells = [
        name,
        f"`{' '.join(RUNS[name])}`",
        found["split"],
        _percent(found["window"], "accuracy"),
        _percent(found["track"], "accuracy"),
        _interval(found["track"]),
        f"{parameters:,}",
        minutes,
    ]
    return f"| {' | '.join(cells)} |"


def _described(checkpoint: Path) -> dict[str, Any]:
    command = [*program.GENRETAG, "models", "--json", str(checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    described: dict[str, Any] = json.loads(done.stdout)
    return described


def _percent(scores: dict[str, Any] | None, key: str) -> str:
    return "–" if scores is None else f"{100 * scores[key]:.1f}"


def _interval(scores: dict[str, Any]) -> str:
    low, high = scores["accuracy_ci"]
    return f"{100 * low:.1f}–{100 * high:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dataset", default="gtzan")
    parser.add_argument("--only", action="append", choices=list(RUNS), help="may be repeated (all)")
    parser.add_argument("--no-train", action="store_true", help="print what is there")
    options = parser.parse_args(arguments)
    names = options.only or list(RUNS)
    if not options.no_train:
        for name in names:
            train(name, options.dataset, options.data, options.out)
    program.print_machine(program.machine())
    print("| run | options | split | window, % | track, % | 95 % interval | parameters | minutes |")
    print("| --- | --- | --- | ---: | ---: | --- | ---: | ---: |")
    for name in names:
        if (line := row(name, options.out)) is not None:
            print(line)


if __name__ == "__main__":
    main()
