"""Does the answer survive what files do to music: coding, resampling, level, channels, silence, a late start?

    python -m benchmarks.robustness --data ../shared/data/gtzan/genres --out /tmp/robustness

makes a copy of GTZAN's clips under each of CONDITIONS in `--out` (those that are there are kept) and runs
`genretag eval` on every part that is here. The table shows the accuracy by part, and how many clips keep
their answer (genres outside the dataset are one answer).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import program, sounds
from benchmarks.sounds import RATE, Samples

CLIP_SECONDS = 40.0  # longer than any clip
AS_IS = "as it is"


@dataclass(frozen=True)
class Condition:
    """What is done to (samples, 2) at sounds.RATE, and how the result is encoded (a kind of sounds)."""

    kind: str = "flac"
    change: Callable[[Samples], Samples] = lambda samples: samples


def _gain(decibels: float) -> Callable[[Samples], Samples]:
    factor = 10 ** (decibels / 20)
    return lambda samples: np.asarray(np.clip(samples * factor, -32_768, 32_767), np.int16)


def _silence_first(seconds: float) -> Callable[[Samples], Samples]:
    return lambda samples: np.concatenate([np.zeros((round(seconds * RATE), 2), np.int16), samples])


def _later(seconds: float) -> Callable[[Samples], Samples]:
    return lambda samples: samples[round(seconds * RATE) :]


def _left_only(samples: Samples) -> Samples:
    return np.asarray(samples * np.array([1, 0]), np.int16)


CONDITIONS: Mapping[str, Condition] = {
    "44.1 kHz stereo": Condition(),
    "48 kHz stereo, 24 bit": Condition("flac-24"),
    "mp3 192 kbit/s": Condition("mp3-cbr"),
    "mp3 64 kbit/s mono": Condition("mp3-mono"),
    "opus 96 kbit/s": Condition("opus"),
    "opus 32 kbit/s": Condition("opus-low"),
    "aac 128 kbit/s": Condition("m4a-aac"),
    "vorbis 128 kbit/s": Condition("ogg"),
    "20 dB quieter": Condition(change=_gain(-20)),
    "40 dB quieter": Condition(change=_gain(-40)),
    "6 dB louder, clipped": Condition(change=_gain(6)),
    "left channel only": Condition(change=_left_only),
    "0.5 s later": Condition(change=_later(0.5)),
    "1.5 s later": Condition(change=_later(1.5)),
    "3 s of silence first": Condition(change=_silence_first(3)),
    "10 s of silence first": Condition(change=_silence_first(10)),
}


def make(data: Path, name: str, out: Path) -> Path:
    """The clips under a condition, as a folder that `--data` takes."""
    folder, condition = out / name.replace(" ", "-").replace("/", ""), CONDITIONS[name]
    for clip in sorted(path for path in data.rglob("*") if path.suffix in (".mp3", ".flac", ".wav", ".au")):
        copy = folder / clip.relative_to(data).with_suffix(sounds.suffix(condition.kind))
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            part = copy.with_name(f".part{copy.suffix}")
            sounds.encode(condition.change(sounds.excerpt(clip, 0, CLIP_SECONDS)), part, condition.kind)
            part.replace(copy)
    return folder


def evaluate(data: Path, model: str, dataset: str, report: Path, coverage: str) -> dict[str, Any]:
    """Evaluations by part, and in "guesses" the answer for every track."""
    line = ["--model", model, "--dataset", dataset, "--data", str(data), "--coverage", coverage]
    command = [*program.GENRETAG, "eval", *line, "--json", "--quiet", "--report", str(report)]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{data}: {done.stderr.strip()}")
    parts: dict[str, Any] = json.loads(done.stdout)["parts"]
    guesses = {}
    for part in parts:
        with (report / part / "tracks.csv").open(newline="", encoding="utf-8") as file:
            guesses |= {row["id"]: row["given"] for row in csv.DictReader(file)}
    return {"parts": parts, "guesses": guesses}


def header(first: str, found: Mapping[str, Any], last: str) -> str:
    """Head of the table; a part that the model was trained on is marked."""
    parts = [
        f"{part}, %" + ("" if evaluation["leak_free"] else " (inflated)")
        for part, evaluation in found["parts"].items()
    ]
    heads = [first, *parts, last]
    return f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}"


def row(name: str, found: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    """A line of the table."""
    cells = [name]
    for evaluation in found["parts"].values():
        low, high = evaluation["track"]["accuracy_ci"]
        cells.append(f"{100 * evaluation['track']['accuracy']:.1f} ({100 * low:.1f}–{100 * high:.1f})")
    same = sum(guess == reference["guesses"][track] for track, guess in found["guesses"].items())
    cells.append(f"{same} of {len(found['guesses'])}")
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dataset", default="gtzan")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--coverage", default="fast")
    parser.add_argument("--only", action="append", choices=list(CONDITIONS), help="may be repeated (all)")
    parser.add_argument("--no-eval", action="store_true", help="only make the copies")
    options = parser.parse_args(arguments)
    names = options.only or list(CONDITIONS)
    folders = {name: make(options.data, name, options.out) for name in names}
    if options.no_eval:
        return
    program.print_machine(program.machine())
    reference: dict[str, Any] = {}
    for name, folder in {AS_IS: options.data, **folders}.items():
        report = options.out / "reports" / name.replace(" ", "-").replace("/", "")
        found = evaluate(folder, options.model, options.dataset, report, options.coverage)
        if not reference:
            reference = found
            print(header("condition", found, "same answer"))
        print(row(name, found, reference))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
