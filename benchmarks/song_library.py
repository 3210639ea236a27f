"""A library of whole songs, all of one length, in the formats that people keep: what speed is measured on.

    python -m benchmarks.song_library --source music/wesnoth-1.16-music --source music/... --out songs

Excerpts of real music that is long enough, another place in every file, with plain names and tags.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import dress, mixed_library, sounds

KINDS = ("mp3-cbr", "flac", "ogg", "mp3-vbr", "m4a-aac", "opus", "mp3-cbr", "wma")
SECONDS = 240.0


def make(
    out: Path, tracks: int, sources: Sequence[Path], *, seconds: float = SECONDS, seed: int = 0
) -> list[Path]:
    """Fill the new folder `out` with `tracks` songs of `seconds`; without `sources` they are made sound."""
    rng = random.Random(seed)
    out.mkdir(parents=True)
    paths = []
    for n in range(tracks):
        if sources:
            source = sources[n % len(sources)]
            start = rng.uniform(0, max(0.0, (sounds.duration(source) or 0) - seconds))
            samples, title = sounds.excerpt(source, start, seconds), source.stem.replace("_", " ").title()
        else:
            samples, title = sounds.tune(n, seconds), f"Tune {n}"
        kind = KINDS[n % len(KINDS)]
        path = out / f"{n:02d} {kind}{sounds.suffix(kind)}"
        sounds.encode(samples, path, kind)
        dress.dress(path, dress.Song(f"Artist {n}", title, "Songs", n, 2000))
        paths.append(path)
        print(f"\r{n + 1}/{tracks} songs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, action="append", required=True, help="folder of real music")
    parser.add_argument("--out", type=Path, required=True, help="the library's new folder")
    parser.add_argument("--tracks", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    sources, _ = mixed_library.find_sources(options.source, options.seconds, options.seed)
    if not sources:
        folders = ", ".join(map(str, options.source))
        raise SystemExit(f"no music of {options.seconds:g} s in {folders}: see benchmarks/README.md")
    paths = make(options.out, options.tracks, sources, seconds=options.seconds, seed=options.seed)
    print(f"{len(paths)} songs of {options.seconds:g} s in {options.out}")


if __name__ == "__main__":
    main()
