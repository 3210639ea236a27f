"""Which windows of a track are heard: all of them, or some spread over its length."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genretag.audio.features import FeatureSpec
from genretag.errors import UsageError

Coverage = Literal["fast", "full"] | int

FAST_WINDOWS = 8


def parse_coverage(text: str) -> Coverage:
    """`fast`, `full` or a number of windows from 1 up; UsageError for anything else."""
    if text == "fast":
        return "fast"
    if text == "full":
        return "full"
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    raise UsageError(f"coverage {text!r}: give fast, full or a number of windows from 1 up")


def windows_wanted(coverage: Coverage) -> int | None:
    """The most windows that a coverage asks for; None where it asks for all."""
    if coverage == "full":
        return None
    return FAST_WINDOWS if coverage == "fast" else coverage


def full_count(samples: int, spec: FeatureSpec) -> int:
    """Windows that `samples` at the model's rate hold; the last partial one counts only if it is alone."""
    # Frames of a centred STFT of the whole track.
    frames = (samples + 2 * spec.lead_samples - spec.n_fft) // spec.hop_length + 1
    return max(1, (frames - spec.frames) // spec.step_frames + 1)


def window_starts(samples: int, spec: FeatureSpec, coverage: Coverage) -> NDArray[np.int64]:
    """Nominal starts of the windows of a track, in samples at the model's rate: ascending, on the hop grid.

    `full` is every consecutive window. Fewer windows stand in the middle of as many equal parts of the track,
    which keeps them off its first and last seconds. A track that has no more windows than asked for gives the
    windows of `full`.
    """
    count = full_count(samples, spec)
    wanted = windows_wanted(coverage)
    if wanted is None or count <= wanted:
        return np.arange(count, dtype=np.int64) * spec.step_samples
    part = samples / wanted
    centred = (np.arange(wanted) + 0.5) * part - spec.frames * spec.hop_length / 2
    return np.maximum(np.rint(centred / spec.hop_length), 0).astype(np.int64) * spec.hop_length
