"""Small music in three genres that anything can tell apart, as files to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
SECONDS = 4.0
GENRES = ("Drone", "Hiss", "Knocks")


def make_lesson(folder: Path, genre: str, files: int, *, first: int = 0) -> list[Path]:
    """Write `files` flac files of a genre, no two alike, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(first, first + files):
        path = folder / f"{genre} {number}.flac"
        soundfile.write(path, _wave(genre, number), RATE)
        paths.append(path)
    return paths


def make_lessons(root: Path, files: int, genres: tuple[str, ...] = GENRES) -> Path:
    """A folder per genre below `root`."""
    for genre in genres:
        make_lesson(root / genre, genre, files)
    return root


def _wave(genre: str, number: int) -> np.ndarray:
    random = np.random.default_rng([GENRES.index(genre), number])
    time = np.arange(round(SECONDS * RATE)) / RATE
    if genre == "Drone":
        root = random.uniform(80, 160)
        return 0.1 * sum(np.sin(2 * np.pi * root * part * time) for part in (1, 2, 3))
    noise = random.normal(0.0, 0.1, len(time))
    if genre == "Hiss":
        return noise * (1 + 0.5 * np.sin(2 * np.pi * random.uniform(0.1, 0.3) * time))
    return 3 * noise * np.exp(-60 * (time % random.uniform(0.3, 0.5)))
