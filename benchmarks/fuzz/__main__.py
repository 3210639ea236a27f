"""Feed odd bytes to what reads strangers' files, and look what comes out.

    python -m benchmarks.fuzz plan --seconds 300 --out fuzz
    python -m benchmarks.fuzz all --seconds 120 --out fuzz
    python -m benchmarks.fuzz mutate --files 5000 --out fuzz

Targets are guided by coverage where atheris is installed (`pip install atheris`, CPython 3.11 or 3.12 on
Linux), else damaged by chance. The first wrong answer of a target ends it; the input is kept in the folder.
`mutate` damages real music files of all formats and lets the whole of `tag`, `apply` and `undo` work on them.
Exits 1 where anything went wrong.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fuzz.mutate import mutated

TARGETS = (
    *("map", "plan", "features", "arrays", "table", "checkpoint", "description", "labels", "ogg"),
    *("payload", "tags"),
)
PATIENCE = 20
"""Seconds that one input may take."""


def guided(name: str, seconds: int, seed: int, folder: Path) -> tuple[int, bool]:
    """Inputs tried by atheris, and whether every answer was right."""
    log = folder / "log.txt"
    flags = [f"-max_total_time={seconds}", f"-seed={seed + 1}", f"-timeout={PATIENCE}", "-rss_limit_mb=4096"]
    line = [sys.executable, "-m", "benchmarks.fuzz.guided", name, str(folder / "corpus"), *flags]
    line += [f"-artifact_prefix={folder}/", "-max_len=65536", "-len_control=0"]
    with log.open("w", encoding="utf-8") as output:
        code = subprocess.run(line, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    said = log.read_text(encoding="utf-8", errors="replace")
    tried = [int(number) for number in re.findall(r"^#(\d+)\s", said, re.MULTILINE)]
    if code:
        print(f"{name}: see {log}", file=sys.stderr)
    return max(tried, default=0), code == 0


def by_chance(name: str, seconds: float, seed: int, folder: Path) -> tuple[int, bool]:
    """The same without guidance: the seeds, each damaged anew, until the time is up."""
    from benchmarks.fuzz.targets import TARGETS as FEEDS
    from benchmarks.fuzz.targets import feed

    target, chance, tried = FEEDS[name], random.Random(seed), 0
    seeds = list(target.seeds(folder))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content = mutated(chance.choice(seeds), chance, seeds)
        tried += 1
        try:
            feed(target, content, folder / "input")
        except Exception:  # noqa: BLE001 - finding them is what this is for
            (folder / f"crash-{tried}").write_bytes(content)
            traceback.print_exc()
            return tried, False
    return tried, True


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=(*TARGETS, "all", "mutate"))
    parser.add_argument("--seconds", type=int, default=60, help="for every target (60)")
    parser.add_argument("--files", type=int, default=1000, help="damaged music files for mutate (1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--chance", action="store_true", help="without atheris")
    parser.add_argument("--out", type=Path, required=True, help="folder for inputs, logs and music")
    options = parser.parse_args(arguments)
    out = options.out.absolute()
    if options.target == "mutate":
        from benchmarks.fuzz import music

        return music.report(music.trials(out, options.files, options.seed))
    attempt = by_chance if options.chance or importlib.util.find_spec("atheris") is None else guided
    right = True
    print("| target | inputs | wrong answers |\n| --- | ---: | ---: |")
    for name in TARGETS if options.target == "all" else (options.target,):
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        tried, fine = attempt(name, options.seconds, options.seed, folder)
        print(f"| {name} | {tried} | {0 if fine else 1} |", flush=True)
        right = right and fine
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
