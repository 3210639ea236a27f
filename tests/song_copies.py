"""Songs with random labels, each in several files: what a leak between folds would make look learnable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import mutagen
import numpy as np
import soundfile

from sounds import encode

RATE = 44100
SECONDS = 14.0  # four windows of the encoder

# What each kind of copy does to the samples (samples, 1), with the format it is written in.
COPIES: Mapping[str, tuple[str, Callable[[np.ndarray], np.ndarray], int | None]] = {
    "same bytes": (".flac", lambda wave: wave, None),
    "mp3 64": (".mp3", lambda wave: wave, 64_000),
    "m4a 64": (".m4a", lambda wave: wave, 64_000),
    "vorbis": (".ogg", lambda wave: wave, None),
    "1 dB quieter": (".flac", lambda wave: wave * 10 ** (-1 / 20), None),
    "0.2 s trimmed": (".flac", lambda wave: wave[round(0.2 * RATE) :], None),
}


def song(seed: int) -> np.ndarray:
    """Return random chords, beats and timbres of a song: float32 (samples, 1)."""
    random = np.random.default_rng(seed)
    time = np.arange(round(SECONDS * RATE)) / RATE
    wave = np.zeros_like(time)
    length = random.uniform(1.5, 4.0)
    chord = (time // length).astype(int)
    partials = random.integers(2, 9)
    for _ in range(3):
        pitch = 55.0 * 2 ** (random.integers(0, 40, chord.max() + 1) / 12)
        phase = 2 * np.pi * np.cumsum(pitch[chord]) / RATE
        for partial in range(1, partials + 1):
            wave += np.sin(partial * phase) / partial ** random.uniform(0.5, 2.0)
    beat = np.exp(-random.uniform(4, 30) * (time % (length / random.integers(1, 5))))
    wave += random.uniform(0.2, 3.0) * beat * random.normal(0.0, 1.0, len(time))
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)[:, None]


def write_copy(path: Path, wave: np.ndarray, kind: str) -> Path:
    """Write a copy of one kind; the suffix of its format is added to the path."""
    suffix, change, bit_rate = COPIES[kind]
    path = path.with_name(path.name + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix in (".flac", ".ogg"):
        soundfile.write(path, change(wave), RATE)
    else:
        path.write_bytes(encode(suffix, change(wave), RATE, bit_rate))
    return path


def make_random_labels(root: Path, songs: int, *kinds: str) -> Path:
    """Write each song as flac and in each kind of copy, all in the folder of a random genre.

    Every file names another artist, so that artists do not keep the copies together.
    """
    genres = np.random.default_rng(7).permutation(np.arange(songs) % 2)
    for number, genre in enumerate(genres):
        for copy, kind in enumerate(("same bytes", *kinds)):
            folder = root / ("Metal", "Pop")[genre]
            path = write_copy(folder / f"{number:02} {copy}", song(number), kind)
            file = mutagen.File(path, easy=True)
            if file.tags is None:
                file.add_tags()
            file["artist"] = [f"artist {number} {copy}"]
            file.save()
    return root
