"""Ways to compute musicnn's timbral convolutions and their maxima over frequency, on one core.

    python -m benchmarks.convolutions

times each on noise, for two windows at a time: median milliseconds of processor time a window, the ways in
turn. For all 204 filters of a timbral block and for those that musicnn-msd has left of them. GFLOP/s count
what the plain convolution multiplies and adds, whatever a way computes on top.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import program
from benchmarks.arithmetic import MODELS, milliseconds
from genretag import checkpoint
from genretag.predict.score import Scorer

WINDOWS, FRAMES, MELS, REACH = 2, 187, 96, 7
# Filters and their height in mel bands.
BLOCKS = ((204, 38), (204, 67), (23, 38), (14, 67))
LAST = torch.channels_last


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7)).to(dtype)


def as_it_is(filters: int, height: int, dtype: torch.dtype) -> Callable[[], Tensor]:
    """One channel, frames by bands."""
    image = noise(WINDOWS, 1, FRAMES + REACH - 1, MELS, dtype=dtype)
    weight = noise(filters, 1, REACH, height, dtype=dtype)
    return lambda: F.conv2d(image, weight).amax(dim=3)


def turned(filters: int, height: int, dtype: torch.dtype) -> Callable[[], Tensor]:
    """One channel, bands by frames."""
    image = noise(WINDOWS, 1, MELS, FRAMES + REACH - 1, dtype=dtype)
    weight = noise(filters, 1, height, REACH, dtype=dtype)
    return lambda: F.conv2d(image, weight).amax(dim=2)


def in_groups(group: int, filters: int, height: int, dtype: torch.dtype) -> Callable[[], Tensor]:
    """Channels are a group of bands in all frames of a filter, outputs the filters at each of the bands."""
    rows, taps = -(-(MELS - height + 1) // group), -(-(height + group - 1) // group)
    image = noise(WINDOWS, group * REACH, rows - 1 + taps, FRAMES, dtype=dtype).to(memory_format=LAST)
    weight = noise(group * filters, group * REACH, taps, 1, dtype=dtype).to(memory_format=LAST)
    return lambda: F.conv2d(image, weight).permute(0, 2, 3, 1).amax(dim=1)


def by_rows(filters: int, height: int, dtype: torch.dtype) -> Callable[[], Tensor]:
    """A matrix product for each band, and the maximum as it goes: nothing larger leaves the cache."""
    bands = noise(WINDOWS * FRAMES, MELS * REACH, dtype=dtype)
    weight = noise(filters, height * REACH, dtype=dtype)

    def run() -> Tensor:
        loudest = F.linear(bands[:, : height * REACH], weight)
        for start in range(REACH, (MELS - height + 1) * REACH, REACH):
            found = F.linear(bands[:, start : start + height * REACH], weight)
            torch.maximum(loudest, found, out=loudest)
        return loudest

    return run


def by_rows_of_bytes(filters: int, height: int) -> Callable[[], Tensor]:
    """The same in whole numbers of eight bits."""
    bands = (noise(WINDOWS * FRAMES, MELS * REACH) * 30).to(torch.int8)
    weight = (noise(filters, height * REACH) * 30).to(torch.int8).t()

    def run() -> Tensor:
        loudest = torch._int_mm(bands[:, : height * REACH], weight)
        for start in range(REACH, (MELS - height + 1) * REACH, REACH):
            found = torch._int_mm(bands[:, start : start + height * REACH], weight)
            torch.maximum(loudest, found, out=loudest)
        return loudest

    return run


def as_one_product(filters: int, height: int, dtype: torch.dtype) -> Callable[[], Tensor]:
    """All places of a filter written out beside each other, then one matrix product."""
    places = MELS - height + 1
    bands = noise(WINDOWS * FRAMES, MELS * REACH, dtype=dtype)
    weight = noise(filters, height * REACH, dtype=dtype)

    def run() -> Tensor:
        columns = bands.unfold(1, height * REACH, REACH).transpose(0, 1).reshape(-1, height * REACH)
        return F.linear(columns, weight).view(places, WINDOWS * FRAMES, -1).amax(dim=0)

    return run


def ways(filters: int, height: int) -> dict[str, Callable[[], Tensor]]:
    """Every way of computing one block; the plain one is the first."""
    found: dict[str, Callable[[], Tensor]] = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        found[f"convolution, {name}"] = as_it_is(filters, height, dtype)
        found[f"turned, {name}"] = turned(filters, height, dtype)
        for group in (1, 2, 4, 8):
            found[f"bands in groups of {group}, {name}"] = in_groups(group, filters, height, dtype)
        found[f"product by rows, {name}"] = by_rows(filters, height, dtype)
        found[f"one product, {name}"] = as_one_product(filters, height, dtype)
    found["product by rows, int8"] = by_rows_of_bytes(filters, height)
    return found


def measure(filters: int, height: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each way."""
    forwards = ways(filters, height)
    work = 2e-9 * FRAMES * (MELS - height + 1) * REACH * height * filters
    rows = []
    for name, total in milliseconds(forwards, rounds).items():
        each = total / WINDOWS
        row = {"filters": filters, "height": height, "ms": round(each, 2)}
        rows.append(row | {"gflop_per_second": round(1000 * work / each), "way": name})
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="of every measurement (%(default)s)")
    options = parser.parse_args(arguments)
    facts = program.machine() | {"capability": torch.backends.cpu.get_cpu_capability()}
    program.print_machine(facts)
    # Memory is kept between layers as in the program.
    Scorer(checkpoint.load(checkpoint.resolve(MODELS[0])), "cpu")
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with torch.inference_mode():
        for filters, height in BLOCKS:
            rows += measure(filters, height, options.rounds)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    print(json.dumps({"machine": facts, "ways": rows}))


if __name__ == "__main__":
    main()
