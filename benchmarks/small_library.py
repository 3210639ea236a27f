"""Thousands of short, different, real files: a large library that is cheap to make and to analyse."""

from __future__ import annotations

import sys
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import dress, sounds

KINDS = ("mp3-mono", "flac", "opus")
SECONDS = 3.5
PER_FOLDER = 50


def make(
    out: Path,
    count: int,
    sources: Sequence[Path] = (),
    *,
    seconds: float = SECONDS,
    kinds: Sequence[str] = KINDS,
) -> list[Path]:
    """Fill the folder `out` with `count` files, 50 to a sub-folder; the sub-folders, in order.

    Every file is another slice of real music (`sources`) or of made sound. A folder that this function filled
    before is used again when it holds at least as many files.
    """
    folders = [out / f"{number:03d}" for number in range(-(-count // PER_FOLDER))]
    if out.exists():
        if sum(path.is_file() for folder in folders for path in folder.glob("*")) >= count:
            return folders
        raise SystemExit(f"{out} holds fewer than {count} files: choose a new folder")
    sound = _long_sound(sources, count)
    length = round(seconds * sounds.RATE)
    starts = np.linspace(0, len(sound) - length, count).astype(int)
    for n, start in enumerate(starts):
        folder = folders[n // PER_FOLDER]
        folder.mkdir(parents=True, exist_ok=True)
        kind = kinds[n % len(kinds)]
        path = folder / f"{n:05d}{sounds.suffix(kind)}"
        sounds.encode(sound[start : start + length], path, kind)
        dress.dress(
            path, dress.Song(f"Artist {n // PER_FOLDER}", f"Slice {n}", "Slices", n % PER_FOLDER, 2000)
        )
        if n % 100 == 99:
            print(f"\r{n + 1}/{count} files made", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return folders


def make_plain(
    out: Path, count: int, sources: Sequence[Path] = (), *, seconds: float = SECONDS
) -> list[Path]:
    """As `make`, but wav files without tags, 11 kHz mono: a hundred thousand of them take a minute."""
    folders = [out / f"{number:03d}" for number in range(-(-count // PER_FOLDER))]
    sound = _long_sound(sources, count)[::4, 0]
    length = round(seconds * sounds.RATE / 4)
    for n, start in enumerate(np.linspace(0, len(sound) - length, count).astype(int)):
        folder = folders[n // PER_FOLDER]
        folder.mkdir(parents=True, exist_ok=True)
        with wave.open(str(folder / f"{n:06d}.wav"), "wb") as file:
            file.setparams((1, 2, sounds.RATE // 4, length, "NONE", "not compressed"))
            file.writeframes(sound[start : start + length].tobytes())
    return folders


def _long_sound(sources: Sequence[Path], count: int) -> sounds.Samples:
    """Sound to slice, (samples, 2): 20 s out of the middle of up to 40 sources, or as much made sound."""
    if not sources:
        return np.concatenate([sounds.tune(seed, 20.0) for seed in range(max(1, min(40, count // 50)))])
    sources = sources[:40]
    middles = [max(0.0, (sounds.duration(path) or 0) / 2 - 10) for path in sources]
    return np.concatenate(
        [sounds.excerpt(path, start, 20.0) for path, start in zip(sources, middles, strict=True)]
    )
