"""The scores that users get are those of the original musicnn, through our own decoder and resampler."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genretag import checkpoint
from genretag.predict.engine import EngineOptions, Job, predict

NAMES = {"musicnn-msd": "MSD_musicnn", "vgg-mtt": "MTT_vgg"}


@pytest.mark.parametrize("model", NAMES)
def test_track_scores_of_real_clips(shared_data: Path, model: str) -> None:
    with np.load(shared_data / "musicnn" / "reference_gtzan.npz") as reference:
        expected = {
            key.partition("|")[2]: windows.mean(axis=0)
            for key, windows in reference.items()
            if key.startswith(NAMES[model])
        }
    clips = sorted((shared_data / "gtzan" / "genres").glob("*/*.flac"))
    assert {clip.name for clip in clips} == set(expected)
    jobs = [Job(clip.name, clip) for clip in clips]
    found = dict(predict(jobs, checkpoint.resolve(model), EngineOptions(coverage="full")))
    for name, scores in expected.items():
        track = found[name]
        assert track is not None
        assert track.scores is not None
        np.testing.assert_allclose(track.scores, scores, atol=1e-3)
