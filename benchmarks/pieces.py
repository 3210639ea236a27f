"""The parts of an analysis by themselves, on one core: decoding, features, network, a plain matrix product.

    python -m benchmarks.pieces --model musicnn-msd FILE...

Prints one JSON object. Times are processor time, which other work on the machine hardly moves. The matrix
product says what the core really does in a second; the operations of a window are those of the network as it
is written, whatever way it is computed. This imports the package; `benchmarks.tagging` starts it as a process
of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import torch
from torch.utils.flop_counter import FlopCounterMode

from genretag import checkpoint
from genretag.audio.decode import Chunk, decode
from genretag.audio.features import FeatureSpec
from genretag.audio.windows import Coverage
from genretag.models.registry import load_model
from genretag.predict.score import Scorer, front_end

CHUNK = 8
"""Windows that a decode worker hands over at once."""
SIDE = 2048
"""Rows and columns of the matrices."""
REPEATS = 5


def decoding(
    paths: Sequence[Path], spec: FeatureSpec, coverage: Coverage
) -> tuple[dict[str, Any], list[Chunk]]:
    """Seconds a track by suffix and over all, windows a track; and the windows of a `fast` run."""
    seconds: dict[str, list[float]] = {}
    windows = 0
    chunks: list[Chunk] = []
    keep = chunks.append if coverage == "fast" else _drop
    for path in paths:
        start = time.process_time()
        heard = decode(path, spec, coverage, keep, chunk_windows=CHUNK)
        seconds.setdefault(path.suffix, []).append(time.process_time() - start)
        windows += heard.n_windows
    every = [value for values in seconds.values() for value in values]
    return {
        "seconds": statistics.mean(every),
        "windows": windows / len(paths),
        "by_suffix": {suffix: statistics.mean(values) for suffix, values in sorted(seconds.items())},
    }, chunks


def bare(paths: Sequence[Path], seconds: float) -> dict[str, float]:
    """Seconds, by suffix, of nothing but decoding the first `seconds` of a track: no seek, no resampling."""
    spent: dict[str, list[float]] = {}
    for path in paths:
        start = time.process_time()
        heard = 0.0
        with av.open(str(path)) as container:
            for frame in container.decode(audio=0):
                heard += frame.samples / frame.sample_rate
                if heard >= seconds:
                    break
        spent.setdefault(path.suffix, []).append(time.process_time() - start)
    return {suffix: statistics.mean(values) for suffix, values in spent.items()}


def _drop(_: Chunk) -> None:
    """What `full` gives is too much to keep."""


def arithmetic(model: str, chunks: Sequence[Chunk]) -> dict[str, float]:
    """Seconds a window of the features alone and of all that scoring does; operations a window."""
    loaded = checkpoint.load(checkpoint.resolve(model))
    spec = loaded.meta.features
    front, scorer = front_end(spec).eval(), Scorer(loaded, "cpu")
    step = scorer.batch_size

    def features(chunk: Chunk) -> None:
        for first in range(0, len(chunk.waves), step):
            front(torch.from_numpy(chunk.waves[first : first + step]))

    def score(chunk: Chunk) -> None:
        scorer.score(chunk.waves)

    with scorer.lane(), torch.inference_mode():
        figures = {"features": _a_window(features, chunks), "score": _a_window(score, chunks)}
    network = load_model(loaded)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        window = torch.zeros((1, *spec.shape))
        network.rows(window) if loaded.meta.aggregation == "head" else network(window)
    return {**figures, "flop": float(counter.get_total_flops())}


def _a_window(work: Callable[[Chunk], None], chunks: Sequence[Chunk]) -> float:
    work(chunks[0])
    start = time.process_time()
    for chunk in chunks:
        work(chunk)
    return (time.process_time() - start) / sum(len(chunk.waves) for chunk in chunks)


def matrix_product(dtype: torch.dtype) -> float:
    """Operations a second of one core in a product of two large matrices, the median of REPEATS."""
    left, right = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    torch.mm(left, right)
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        torch.mm(left, right)
        seconds.append(time.process_time() - start)
    return 2 * SIDE**3 / statistics.median(seconds)


def measure(paths: Sequence[Path], model: str) -> dict[str, Any]:
    """Everything this benchmark prints."""
    torch.set_num_threads(1)
    spec = checkpoint.read_meta(checkpoint.resolve(model)).features
    fast, chunks = decoding(paths, spec, "fast")
    full, _ = decoding(paths, spec, "full")
    needed = fast["windows"] * spec.window_samples / spec.sample_rate
    return {
        "bare": bare(paths, needed),
        "decode": {"fast": fast, "full": full},
        "window": arithmetic(model, chunks),
        "operations_a_second": {
            "fp32": matrix_product(torch.float32),
            "bf16": matrix_product(torch.bfloat16),
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="musicnn-msd")
    parser.add_argument("files", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    print(json.dumps(measure(options.files, options.model)))


if __name__ == "__main__":
    main()
