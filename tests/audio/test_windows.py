"""Which windows are heard."""

from __future__ import annotations

import numpy as np
import pytest

from genretag.audio.features import FeatureSpec
from genretag.audio.windows import FAST_WINDOWS, full_count, parse_coverage, window_starts
from genretag.errors import UsageError

MUSICNN = FeatureSpec("musicnn-logmel", 16000, 512, 256, frames=187, step_frames=187, n_mels=96)
WAVEFORM = FeatureSpec("waveform", 16000, 1, 1, frames=8000, step_frames=8000)
OVERLAPPING = FeatureSpec("logmel", 16000, 512, 256, frames=187, step_frames=62, n_mels=96)


@pytest.mark.parametrize(("text", "coverage"), [("fast", "fast"), ("full", "full"), ("1", 1), ("250", 250)])
def test_coverage_is_parsed(text: str, coverage: object) -> None:
    assert parse_coverage(text) == coverage


@pytest.mark.parametrize("text", ["", "0", "-3", "1.5", "Fast", "²", "all"])
def test_other_coverage_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_coverage(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("samples", "spec", "count"),
    [
        (0, MUSICNN, 1),
        (186 * 256 - 1, MUSICNN, 1),  # one frame short of a window: alone, so it counts
        (186 * 256, MUSICNN, 1),
        (373 * 256 - 1, MUSICNN, 1),
        (373 * 256, MUSICNN, 2),  # the centred STFT has 374 frames
        (15999, WAVEFORM, 1),
        (16000, WAVEFORM, 2),
        ((186 + 62) * 256, OVERLAPPING, 2),
    ],
)
def test_full_counts_whole_windows(samples: int, spec: FeatureSpec, count: int) -> None:
    assert full_count(samples, spec) == count
    assert window_starts(samples, spec, "full").tolist() == [k * spec.step_samples for k in range(count)]


@pytest.mark.parametrize("minutes", [0.6, 4, 61])
@pytest.mark.parametrize("coverage", ["fast", 1, 5, 11])
def test_few_windows_stand_evenly_inside_the_track(minutes: float, coverage: str | int) -> None:
    samples = int(minutes * 60 * 16000)
    starts = window_starts(samples, MUSICNN, coverage)
    length = MUSICNN.frames * MUSICNN.hop_length
    assert len(starts) == (FAST_WINDOWS if coverage == "fast" else coverage)
    assert (starts % MUSICNN.hop_length == 0).all()
    assert starts[0] >= 0
    assert starts[-1] + length <= samples
    # As far from the start as from the end, and the same distance apart, to the hop.
    assert abs(starts[0] - (samples - starts[-1] - length)) <= 2 * MUSICNN.hop_length
    assert np.ptp(np.diff(starts)) <= 2 * MUSICNN.hop_length if len(starts) > 1 else True


@pytest.mark.parametrize("coverage", ["fast", 8, 400])
def test_a_short_track_gives_the_windows_of_full(coverage: str | int) -> None:
    samples = 20 * 16000
    assert (
        window_starts(samples, MUSICNN, coverage).tolist() == window_starts(samples, MUSICNN, "full").tolist()
    )
