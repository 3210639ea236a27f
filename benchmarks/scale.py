"""One run over 100,000 different files: memory over time, rate from first to last, the store, a re-run.

    python -m benchmarks.scale --library /tmp/scale --tracks 100000 --source music/naev-data --out scale.json

The files are clips of one second, each another slice of music in a file of its own: the store knows files by
device and inode and recordings by their sound, so links or copies would be analysed once. A network of
musicnn's shape with few filters and random weights hears them, so that what grows with the number of files
shows and not the arithmetic. The first run writes genres, the others find them there; at the end they are
taken back, so the same library serves again. With --dry-run the clips are plain wav files and nothing is
written: writing waits for the disk, four times a file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import memory, mixed_library, program, small_library, tagging_report

SECONDS = 1.0
KINDS = ("mp3-mono", "opus")
FILTERS = {"timbral_filters": 4, "temporal_filters": 2, "mid_filters": 4, "dense_units": 8}
LABELS = ("Rock", "Jazz", "Classical", "Electronic")
LOOK_SECONDS = 1.0


def make_model(path: Path) -> None:
    """A checkpoint that costs next to nothing and finds a genre in everything."""
    from genretag import checkpoint
    from genretag.labels import genre_labels
    from genretag.models import registry

    features = registry.preset("musicnn").features
    network = registry.build("musicnn", FILTERS, len(LABELS))
    meta = checkpoint.CheckpointMeta(
        name="tiny",
        preset="musicnn",
        config=dict(FILTERS),
        features=features,
        labels=genre_labels(LABELS, "multi"),
        thresholds=dict.fromkeys(LABELS, 0.01),
    )
    checkpoint.save(path, meta, network.state_dict())


def measure(
    library: Path,
    count: int,
    runs: int,
    sources: Sequence[Path],
    model: Path | None,
    *,
    dry: bool,
) -> dict[str, Any]:
    """Everything this benchmark prints."""
    facts = program.machine()
    music, _ = mixed_library.find_sources(sources, 30.0, 0)
    if dry:
        folders = small_library.make_plain(library, count, music, seconds=SECONDS)
    else:
        folders = small_library.make(library, count, music, seconds=SECONDS, kinds=KINDS)
    folders = folders[: -(-count // small_library.PER_FOLDER)]
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=".scale-") as place:
        home = Path(place, "home")
        if model is None:
            model = Path(place, "tiny.safetensors")
            make_model(model)
        line = [*["--dry-run"] * dry, "--model", str(model), *map(str, folders)]
        first = watched(home, line)
        store = sum(path.stat().st_size for path in home.iterdir())
        again = [program.tag(home, line) for _ in range(runs)]
        replaced = watched(home, ["--existing", "replace", *line])
        undone = None if dry else undo(home)
    return {
        "machine": facts,
        "files": count,
        "clip_seconds": SECONDS,
        "model": model.stem,
        "first": first,
        "store_bytes": store,
        "again": {
            "seconds": statistics.median(run["seconds"] for run in again),
            "statuses": again[-1]["statuses"],
        },
        "again_replace": replaced,
        "undo": undone,
    }


def undo(home: Path) -> dict[str, Any]:
    """Take the last run back."""
    start = time.perf_counter()
    command = [*program.GENRETAG, "undo", "--quiet"]
    code = subprocess.run(command, env=program.environment(home), check=False).returncode
    return {"seconds": time.perf_counter() - start, "exit": code}


def watched(home: Path, line: Sequence[str]) -> dict[str, Any]:
    """One run: seconds, statuses, rates of its first and last tenth, memory at eleven moments and at most."""
    done = program.tag(home, line, watching=partial(memory.watching, interval=LOOK_SECONDS))
    series = done["seen"].series
    return {
        "seconds": done["seconds"],
        "statuses": done["statuses"],
        "rate": program.rate(done["arrivals"], 0.0, 1.0),
        "rate_first_tenth": program.rate(done["arrivals"], 0.0, 0.1),
        "rate_last_tenth": program.rate(done["arrivals"], 0.9, 1.0),
        "memory": [series[round(n * (len(series) - 1) / 10)] for n in range(11)],
        "peak_bytes": done["seen"].peak_bytes,
    }


def markdown(result: Mapping[str, Any]) -> str:
    """What was measured, as Markdown."""
    count, first, again = result["files"], result["first"], result["again"]
    replaced, undone = result["again_replace"], result["undo"]
    steadiness = first["rate_last_tenth"] / first["rate_first_tenth"]
    store = result["store_bytes"]
    rows = [
        ["first run", f"{first['seconds']:.1f} s, {first['rate']:.0f} files/s, {first['statuses']}"],
        ["rate of the last tenth over the first", f"{steadiness:.2f}"],
        ["store after it", f"{store / 1e6:.1f} MB, {store / count:.0f} bytes a file"],
        ["peak memory, all processes", f"{first['peak_bytes'] / 2**20:.0f} MiB"],
        ["unchanged, default policy", f"{again['seconds']:.2f} s, {again['statuses']}"],
        ["unchanged, `--existing replace`", f"{replaced['seconds']:.2f} s, {replaced['statuses']}"],
        ["its peak memory", f"{replaced['peak_bytes'] / 2**20:.0f} MiB"],
    ]
    if undone:
        rows.append(["`genretag undo` of the first", f"{undone['seconds']:.1f} s"])
    memories = [f"{size / 2**20:.0f}" for _, size in first["memory"]]
    return (
        f"Machine: {tagging_report.describe(result['machine'])}.\n\n"
        f"{count:,} files of {result['clip_seconds']:g} s, model {result['model']}.\n\n"
        + tagging_report.table(["what", "figure"], rows)
        + "\n\nMemory of the first run in MiB, at eleven moments from start to end:\n\n"
        + tagging_report.table([f"{10 * n} %" for n in range(11)], [memories])
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module; 1 when not everything was written and taken back."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, required=True, help="folder to fill, or filled before")
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5, help="unchanged re-runs to take the median of (5)")
    parser.add_argument("--model", type=Path, help="a checkpoint instead of the tiny one")
    parser.add_argument("--source", type=Path, action="append", default=[], help="real music to slice")
    parser.add_argument(
        "--dry-run", action="store_true", help="write nothing, so that the disk is not waited for"
    )
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    options = parser.parse_args(arguments)
    result = measure(
        options.library, options.tracks, options.runs, options.source, options.model, dry=options.dry_run
    )
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(markdown(result))
    done = "planned" if options.dry_run else "written"
    failed = result["undo"] is not None and result["undo"]["exit"] != 0
    return int(result["first"]["statuses"] != {done: options.tracks} or failed)


if __name__ == "__main__":
    sys.exit(main())
