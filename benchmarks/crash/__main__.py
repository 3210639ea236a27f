"""Stop genretag at every point and look what is left.

    python -m benchmarks.crash --kills 2000 --out crash
    python -m benchmarks.crash --kills 200 --only kill-syscall --only power-cut --out crash
    python -m benchmarks.crash --kills 200 --only kill-syscall --in-place --out crash

Prints a table; `crash.json` in the folder tells every loss, leftover and untruth in words. Exits 1 if
anything went wrong, the comparison with mutagen aside. Modes that need `strace`, or the right to mount, are
there only where these are. "possible" counts the points of which `--kills` drew some; "half written" the
files that a stop of a write in place left so, with a whole copy beside them; "in the window" the files that
another program changed during a write in place, which was reported and is documented as not prevented.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.crash import attacks, faults, kills, links, power, specimens
from benchmarks.crash.judge import Bench, Findings

HARMLESS = {"mutagen"}
"""Modes whose losses are not ours."""


def table(results: dict[str, Findings]) -> str:
    """The findings for a person to read, as Markdown."""
    counted = ("formats", "possible", "trials", "kills", "half written", "in the window")
    heading = ("mode", *counted, "losses", "leftovers", "untruths")
    lines = [f"| {' | '.join(heading)} |", f"| --- |{' ---: |' * (len(heading) - 1)}"]
    for mode, found in results.items():
        counts = (
            found.possible or "",
            found.trials,
            found.kills or "",
            found.halves or "",
            found.windows or "",
        )
        wrong = (len(found.losses), len(found.leftovers), len(found.untruths))
        lines.append(f"| {' | '.join(map(str, (mode, len(found.formats), *counts, *wrong)))} |")
    return "\n".join(lines)


def save(path: Path, results: dict[str, Findings]) -> None:
    """All findings as JSON."""
    document = {mode: asdict(found) | {"formats": sorted(found.formats)} for mode, found in results.items()}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    modes = dict([*kills.modes(), *power.modes(), *faults.modes(), *attacks.modes(), *links.modes()])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="trials of every mode (100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=sorted(modes), help="this mode (repeatable)")
    parser.add_argument("--formats", nargs="+", help="only specimens whose names begin so, such as flac")
    parser.add_argument("--in-place", action="store_true", help="change the files themselves")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trials and crash.json")
    options = parser.parse_args(arguments)
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    bench = Bench(out, _chosen(specimens.make(out), options.formats), in_place=options.in_place)
    results = {}
    for mode in options.only or modes:
        begun = time.monotonic()
        results[mode] = modes[mode](bench, options.kills, random.Random(options.seed))
        print(f"{mode}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
        save(out / "crash.json", results)
    bench.clear()
    print(table(results))
    return int(not all(found.clean for mode, found in results.items() if mode not in HARMLESS))


def _chosen(made: dict[str, bytes], formats: Iterable[str] | None) -> dict[str, bytes]:
    if formats is None:
        return made
    return {name: content for name, content in made.items() if name.startswith(tuple(formats))}


if __name__ == "__main__":
    sys.exit(main())
