"""Songs that sound like their artists and not like their genres, as features of two windows each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from trees import write_rows

GENRES = ("Jazz", "Metal", "Rock")
ARTISTS, SONGS = 9, 4  # of each genre, of each artist
COLUMNS = 8


def songs(root: Path, *, split: bool = True, signal: float = 0.0) -> tuple[Path, Path]:
    """list.csv and features.npz. Of each genre five artists are in train, two in valid and two in test.

    With `signal`, genres are told apart by as many standard deviations.
    """
    draw = np.random.default_rng(0)
    rows: list[tuple[str, ...]] = [("path", "label", "artist", "split")[: 3 + split]]
    X, y, ids = [], [], []
    for number, genre in enumerate(GENRES):
        for artist in range(ARTISTS):
            centre = 3 * draw.normal(size=COLUMNS)
            centre[number] += signal
            part = "train" if artist < 5 else "valid" if artist < 7 else "test"
            for song in range(SONGS):
                name = f"{genre}/{artist}-{song}.flac"
                rows.append((name, genre, f"{genre} {artist}", part)[: 3 + split])
                X += [centre + 0.2 * draw.normal(size=COLUMNS) for _ in range(2)]
                y += [number] * 2
                ids += [name] * 2
    root.mkdir(parents=True, exist_ok=True)
    features = root / "features.npz"
    np.savez(features, X=np.array(X, np.float32), Y=np.array(y), IDS=np.array(ids))
    return write_rows(root / "list.csv", rows), features
