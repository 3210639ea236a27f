"""What each stage of `genretag tag` takes for each file of a library: what simulation and model replay.

    OMP_NUM_THREADS=1 python -m benchmarks.stages --library songs --out stages.json

Of every file: bytes and calls of reading it, processor seconds of decoding, windows; and what looking at it
(whose recording it is, what genres it has) reads beside that. Of a window: seconds of features and network on
one core. Of a record: its bytes, and the processor seconds of the thread that looks at files, decides and
prints, taken from real runs over files that are linked often enough. The rates of those runs, on one core and
on more, are what the simulation is judged by; beside them stands how many cores they got. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import memory, pieces, program
from benchmarks.tagging import linked
from genretag import checkpoint
from genretag.audio.decode import decode
from genretag.audio.features import FeatureSpec
from genretag.audio.payload import identify
from genretag.audio.windows import Coverage
from genretag.tagging import tags

LOOK_SECONDS = 0.02


def reading() -> tuple[int, int]:
    """Bytes that this process has read so far, from the page cache or not, and in how many calls."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["rchar"]), int(lines["syscr"])


def read_by(work: Callable[[], object]) -> tuple[int, int, float]:
    """Bytes, calls and processor seconds of a piece of work, less those of looking."""
    own = reading()
    bytes_of_looking, calls_of_looking = (b - a for a, b in zip(own, reading(), strict=True))
    before, start = reading(), time.process_time()
    work()
    seconds, after = time.process_time() - start, reading()
    return after[0] - before[0] - bytes_of_looking, after[1] - before[1] - calls_of_looking, seconds


def of_file(path: Path, spec: FeatureSpec, coverage: Coverage) -> dict[str, Any]:
    """Reading and decoding of one file, and what looking at it reads beside that."""
    heard: list[Any] = []

    def hear() -> None:
        heard.append(decode(path, spec, coverage, lambda _: None, chunk_windows=pieces.CHUNK))

    def look() -> None:
        identify(path)
        tags.read(path)

    look_bytes, look_calls, look_seconds = read_by(look)
    read, calls, seconds = read_by(hear)
    return {
        "suffix": path.suffix,
        "size": path.stat().st_size,
        "look": look_bytes,
        "look_calls": look_calls,
        "look_seconds": look_seconds,
        "read": read,
        "calls": calls,
        "decode": seconds,
        "windows": heard[0].n_windows,
    }


def main_thread_seconds(process: int) -> float:
    """Processor seconds of the main thread of a process; see proc(5), fields 14 and 15."""
    stat = Path(f"/proc/{process}/task/{process}/stat").read_text(errors="replace")
    return sum(map(int, stat.rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Look:
    """Processor seconds so far, `seconds` after the start: of the main thread, and of all processes."""

    seconds: float
    main: float
    everything: float


@contextmanager
def looking(process: int) -> Iterator[list[Look]]:
    """Look at a running program and all that it starts, every LOOK_SECONDS."""
    series: list[Look] = []

    def look(seconds: float) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            main = main_thread_seconds(process)
            everything = sum(map(memory.processor_seconds, memory.processes_of(process)))
            series.append(Look(seconds, main, everything))

    with program.every(LOOK_SECONDS, look):
        yield series


def under_way(done: dict[str, Any]) -> dict[str, float]:
    """From a quarter of a run on: records a second, what one took, how many cores worked for it."""
    arrivals, series = done["arrivals"], done["seen"]
    between = arrivals[len(arrivals) // 4], arrivals[-1]
    begin, end = (next((look for look in series if look.seconds >= at), series[-1]) for at in between)
    records = sum(begin.seconds < arrival <= end.seconds for arrival in arrivals)
    return {
        "rate": program.rate(arrivals),
        "driver": (end.main - begin.main) / records,
        "processor": (end.everything - begin.everything) / records,
        "cores": (end.everything - begin.everything) / (end.seconds - begin.seconds),
    }


def runs(tracks: Sequence[Path], repeat: int, rounds: int, line: Sequence[str]) -> dict[str, Any]:
    """Real runs by the number of cores that they may use, and what a record takes: medians of the rounds."""
    found: dict[str, list[dict[str, float]]] = {}
    with linked(tracks, repeat) as many, tempfile.TemporaryDirectory() as place:
        for _ in range(rounds):
            for cores in range(1, len(os.sched_getaffinity(0)) + 1):
                with program.cores(cores):
                    done = program.tag(Path(place), [*line, *map(str, many)], watching=looking)
                found.setdefault(str(cores), []).append(under_way(done))
    lines = [len(json.dumps(record, ensure_ascii=False)) + 1 for record in done["records"]]
    return {
        "files": len(lines),
        "driver": statistics.median(one["driver"] for some in found.values() for one in some),
        "record_bytes": statistics.mean(lines),
        "cores": {
            cores: {name: statistics.median(one[name] for one in some) for name in some[0]}
            for cores, some in found.items()
        },
    }


def measure(
    tracks: Sequence[Path], model: str, coverage: Coverage, repeat: int, rounds: int
) -> dict[str, Any]:
    """Everything this benchmark writes."""
    facts = program.machine()
    torch.set_num_threads(1)
    spec = checkpoint.read_meta(checkpoint.resolve(model)).features
    of_file(tracks[0], spec, coverage)  # what only the first time takes
    with program.cores(1):
        files = [of_file(path, spec, coverage) for path in tracks]
        _, chunks = pieces.decoding(tracks, spec, "fast")
        window = statistics.median(pieces.arithmetic(model, chunks)["score"] for _ in range(rounds))
    line = ["--dry-run", "--no-cache", "--existing", "replace", "--device", "cpu", "--model", model]
    return {
        "machine": facts,
        "model": model,
        "coverage": str(coverage),
        "window": window,
        "files": files,
        "run": runs(tracks, repeat, rounds, [*line, "--coverage", str(coverage)]),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, required=True, help="a folder of music")
    parser.add_argument("--model", default="musicnn-msd")
    parser.add_argument("--coverage", default="fast", choices=("fast", "full"))
    parser.add_argument("--repeat", type=int, default=8, help="times each file is linked for the real runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    tracks = sorted(path for path in options.library.iterdir() if path.is_file())
    found = measure(tracks, options.model, options.coverage, options.repeat, options.rounds)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    mean = {
        name: statistics.mean(file[name] for file in found["files"]) for name in ("read", "decode", "windows")
    }
    print(json.dumps({**mean, "window": found["window"], **found["run"]}))


if __name__ == "__main__":
    main()
