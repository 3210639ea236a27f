"""What a window costs one core, as the network was trained and as it is run, and what that changes.

    python -m benchmarks.arithmetic --library ../shared/data/gtzan/genres

times the front end and the networks on noise: median milliseconds of processor time a window, one thread, the
variants in turn so that all of them see the same machine. GFLOP are those of the products. With --library the
files are scored: the largest change of a track's score against the network as trained, and on how many tracks
the first genre of `auto` stays the same.

`trained` is the plain network, `run` its inference form; of the front end, `trained` is the power spectrum as
a sum over pairs. The others are here for comparison: channels last in memory, and both networks in bfloat16
(torch's autocast).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import program
from genretag import checkpoint
from genretag.audio.decode import decode_whole
from genretag.audio.extract import Extractor, PowerSpectrum
from genretag.errors import DecodeError
from genretag.models.registry import for_inference, load_model
from genretag.predict.decide import DecisionRule, decide
from genretag.predict.score import Scorer

MODELS = ("musicnn-msd", "musicnn-mtt", "vgg-msd", "vgg-mtt")
BATCHES = (1, 2, 4, 8)
COVERAGES = ("fast", "full")

Forward = Callable[[Tensor], Tensor]


def network(name: str) -> nn.Module:
    """A shipped network as it was trained."""
    return load_model(checkpoint.load(checkpoint.resolve(name)))


def half(forward: Forward) -> Forward:
    """The same in bfloat16 where torch thinks it safe."""

    def run(features: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return forward(features).float()

    return run


def variants(name: str) -> dict[str, Forward]:
    """All ways of running a network that are compared; `trained` is the first."""
    trained, quick = network(name), for_inference(network(name))
    last = network(name)
    last.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return {
        "trained": trained,
        "run": quick,
        "trained, channels last": last,
        "trained, bfloat16": half(trained),
        "run, bfloat16": half(quick),
    }


def milliseconds(forwards: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median processor time of each, taken in turn."""
    found: dict[str, list[float]] = {name: [] for name in forwards}
    for number in range(rounds + 2):
        for name, forward in forwards.items():
            start = time.process_time()
            forward()
            if number >= 2:  # the first ones fill caches
                found[name].append(time.process_time() - start)
    return {name: 1000 * statistics.median(times) for name, times in found.items()}


def gflop(forward: Forward, features: Tensor) -> float:
    """Multiplications and additions of all products."""
    with FlopCounterMode(display=False) as counter:
        forward(features)
    return counter.get_total_flops() / 1e9


def cost(name: str, rounds: int) -> list[dict[str, Any]]:
    """A row for each variant of a network and each number of windows at a time."""
    forwards, rows = variants(name), []
    for batch in BATCHES:
        features = torch.rand(batch, 187, 96, generator=torch.Generator().manual_seed(batch)) * 4
        calls = {name: functools.partial(forward, features) for name, forward in forwards.items()}
        times = milliseconds(calls, rounds)
        for variant, total in times.items():
            work = gflop(forwards[variant], features) / batch
            rows.append(
                {
                    "model": name,
                    "variant": variant,
                    "windows": batch,
                    "ms": round(total / batch, 2),
                    "times_as_fast": round(times["trained"] / total, 1),
                    "gflop": round(work, 2),
                    "gflop_per_second": round(1000 * work / (total / batch)),
                }
            )
    return rows


class SumOverPairs(nn.Module):
    """The power spectrum as it was once computed."""

    def __init__(self, power: PowerSpectrum) -> None:
        super().__init__()
        self.power = power

    def forward(self, waves: Tensor) -> Tensor:
        frames = waves.unfold(-1, self.power.n_fft, self.power.hop_length)
        return torch.view_as_real(torch.fft.rfft(frames * self.power.window)).square().sum(-1)


def front_end_cost(rounds: int) -> list[dict[str, Any]]:
    """The log-mel that all four networks hear."""
    spec = checkpoint.read_meta(checkpoint.resolve(MODELS[0])).features
    forwards = {"trained": Extractor(spec), "run": Extractor(spec)}
    mel: Any = forwards["trained"].front.mel
    mel.power = SumOverPairs(mel.power)
    rows = []
    for batch in BATCHES:
        waves = torch.randn(batch, spec.window_samples, generator=torch.Generator().manual_seed(batch)) / 10
        calls = {name: functools.partial(forward, waves) for name, forward in forwards.items()}
        for variant, total in milliseconds(calls, rounds).items():
            row = {"model": "log-mel", "variant": variant, "windows": batch, "ms": round(total / batch, 2)}
            rows.append(row)
    return rows


def features_of(library: Path, coverage: str) -> dict[Path, Tensor]:
    """Log-mel of the windows of every file that can be decoded."""
    spec = checkpoint.read_meta(checkpoint.resolve(MODELS[0])).features
    extractor, found = Extractor(spec), {}
    for path in sorted(path for path in library.rglob("*") if path.is_file()):
        with contextlib.suppress(DecodeError):
            waves = decode_whole(path, spec, "full" if coverage == "full" else "fast")[0].waves
            found[path] = torch.cat([extractor(torch.from_numpy(wave[None])) for wave in waves])
    if not found:
        raise SystemExit(f"{library}: nothing in it can be decoded")
    return found


def probabilities(forward: Forward, tracks: dict[Path, Tensor]) -> list[Tensor]:
    """Of the windows of every track, (windows, labels)."""
    return [torch.cat([forward(part) for part in windows.split(4)]).sigmoid() for windows in tracks.values()]


def first_genres(of_tracks: Sequence[Tensor]) -> list[tuple[str, ...]]:
    """The first genre that `auto` gives each track for what its base says; none for the unsure."""
    loaded = checkpoint.load(checkpoint.resolve("auto"))
    meta, auto = loaded.meta, load_model(loaded)
    genres = []
    for rows in of_tracks:
        scores = auto.track(rows).div(meta.temperature).sigmoid().numpy()  # type: ignore[operator]
        genres.append(decide(scores, meta.labels, meta.thresholds, DecisionRule()).genres[:1])
    return genres


def changes(name: str, tracks: dict[Path, Tensor], coverage: str) -> list[dict[str, Any]]:
    """A row for each variant: what it changes against the network as trained."""
    forwards, rows = variants(name), []
    expected = probabilities(forwards["trained"], tracks)
    for variant in ("run", "run, bfloat16"):
        found = probabilities(forwards[variant], tracks)
        change = torch.stack([(a.mean(0) - b.mean(0)).abs() for a, b in zip(found, expected, strict=True)])
        row = {"model": name, "variant": variant, "coverage": coverage, "tracks": len(tracks)}
        row |= {"largest": float(change.max()), "mean": float(change.mean())}
        if name == MODELS[0]:
            pairs = zip(first_genres(found), first_genres(expected), strict=True)
            row["same_genre"] = sum(one == other for one, other in pairs)
        rows.append(row)
    return rows


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """A table for a person."""
    for row in rows:
        cells = (f"{value:.1e}" if name in ("largest", "mean") else f"{value}" for name, value in row.items())
        print("  ".join(f"{name} {cell}" for name, cell in zip(row, cells, strict=True)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, help="also compare answers on these files")
    parser.add_argument("--model", action="append", choices=MODELS, help="may be repeated (all four)")
    parser.add_argument("--rounds", type=int, default=15, help="of every measurement (%(default)s)")
    options = parser.parse_args(arguments)
    facts = program.machine() | {"capability": torch.backends.cpu.get_cpu_capability()}
    program.print_machine(facts)
    # Memory is kept between layers as in the program.
    Scorer(checkpoint.load(checkpoint.resolve(MODELS[0])), "cpu")
    torch.set_num_threads(1)
    names = options.model or MODELS
    with torch.inference_mode():
        costs = front_end_cost(options.rounds) + [row for name in names for row in cost(name, options.rounds)]
        print_rows(costs)
        differences: list[dict[str, Any]] = []
        for coverage in COVERAGES if options.library else ():
            tracks = features_of(options.library, coverage)
            for name in names:
                differences += changes(name, tracks, coverage)
        print_rows(differences)
    print(json.dumps({"machine": facts, "cost": costs, "changes": differences}))


if __name__ == "__main__":
    main()
