"""How far coding, level, channels or a later start move what a network says of a clip: measured, then learnt.

A head that is fitted to stored scores never hears audio. Shifts that were measured on some clips are added to
the windows of all of them, so that it meets what real files do to music (augmentation in the space of the
rows).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genretag.errors import FeatureError


@dataclass(frozen=True, eq=False)
class Shifts:
    """`values` (shifts, width), in the space in which a head hears rows, and the `clips` they come from."""

    values: NDArray[np.float64]
    clips: tuple[str, ...]
    path: Path

    def of(self, clips: Collection[str]) -> NDArray[np.float64]:
        """The shifts that were measured on these clips; FeatureError if there are none."""
        known = frozenset(clips)
        own = self.values[[clip in known for clip in self.clips]]
        if not len(own):
            raise FeatureError(f"{self.path}: no shift was measured on a clip of the train part")
        return own


def read_shifts(path: Path, width: int) -> Shifts:
    """Read an npz of `shifts` (shifts, width) and `clips` (shifts,); FeatureError on anything else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            values, clips = file["shifts"].astype(np.float64), tuple(file["clips"].tolist())
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise FeatureError(f"{path}: not an npz of shifts and clips ({error})") from None
    if values.shape != (len(clips), width) or not np.isfinite(values).all():
        raise FeatureError(f"{path}: shifts must be {len(clips)} rows of {width} numbers, one for each clip")
    return Shifts(values, clips, path)


def moved(
    rows: NDArray[np.float64], tracks: NDArray[np.int64], shifts: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Rows (rows, width) with one random shift for all rows of a track; the same for the same seed."""
    _, own = np.unique(tracks, return_inverse=True)
    drawn = np.random.default_rng(seed).integers(len(shifts), size=int(np.max(own)) + 1)
    return rows + shifts[drawn[own]]
