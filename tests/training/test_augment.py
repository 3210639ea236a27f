"""Augmentation of batches: what may change, what may not, and the same draws for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from genretag.errors import TrainingError
from genretag.training.augment import Augmentation, Share, add_noise, crop, mask, mix


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def spectrograms(count: int = 40, frames: int = 30, bands: int = 12) -> np.ndarray:
    return draw(9).normal(size=(count, frames, bands)).astype(np.float32)


def test_masks_are_runs_of_bands_and_frames_set_to_the_mean() -> None:
    before = spectrograms()
    after = mask(before, 5, 8, draw(), Share(len(before)))
    assert after.dtype == np.float32
    widths = set()
    for old, new in zip(before, after, strict=True):
        hidden = old != new
        frames, bands = hidden.all(axis=1), hidden.all(axis=0)
        assert np.array_equal(hidden, frames[:, None] | bands[None, :])
        for run, most in ((frames, 8), (bands, 5)):
            places = np.flatnonzero(run)
            assert len(places) <= most
            assert len(places) < 2 or np.ptp(places) == len(places) - 1
        assert new[hidden] == pytest.approx(old.mean(), abs=1e-6)
        widths.add((int(frames.sum()), int(bands.sum())))
    assert {frames for frames, _ in widths} == set(range(9))
    assert {bands for _, bands in widths} == set(range(6))


def test_a_mask_may_be_wider_than_the_window() -> None:
    assert mask(spectrograms(4, 3, 2), 27, 100, draw(), Share(4)).shape == (4, 3, 2)


def test_mixup_mixes_features_and_truth_alike() -> None:
    features = np.arange(6, dtype=np.float32)[:, None]
    truth = np.eye(6, dtype=np.float32)
    mixed, says = mix(features, truth, 0.4, draw(3))
    assert mixed.dtype == says.dtype == np.float32
    assert says.sum(axis=1) == pytest.approx(np.ones(6))
    assert says @ features == pytest.approx(mixed, abs=1e-6)
    assert not np.array_equal(mixed, features)


def test_noise_follows_the_window() -> None:
    features = spectrograms(50) * np.array([1.0, 10.0], np.float32).repeat(25)[:, None, None]
    noise = add_noise(features, 0.1, draw(), Share(50)) - features
    assert noise.dtype == np.float32
    assert noise[:25].std() == pytest.approx(0.1, rel=0.05)
    assert noise[25:].std() == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("step", [8, 3])
def test_a_crop_is_what_lies_there_in_the_track(step: int) -> None:
    """Frames are numbered through two tracks, so that every window shows where it begins."""
    frames, windows = 8, 5
    starts = np.concatenate([np.arange(windows) * step, 1000 + np.arange(windows) * step])
    track = (starts[:, None] + np.arange(frames)).astype(np.float32)[:, :, None]
    following = np.array([1, 2, 3, 4, -1, 6, 7, 8, 9, -1])
    order = np.tile(np.arange(10), 30)
    cropped = crop(lambda rows: track[rows], order, following, step, draw(), Share(len(order)))[:, :, 0]
    begin = cropped[:, 0]
    assert np.array_equal(cropped, begin[:, None] + np.arange(frames))
    late = begin - starts[order]
    assert set(late[following[order] >= 0].tolist()) == set(range(step))
    assert not late[following[order] < 0].any()


def test_one_seed_one_result() -> None:
    everything = Augmentation(
        {
            "spec-augment": {"frequency": 3, "time": 5},
            "mixup": {"alpha": 0.3},
            "feature-noise": {"deviation": 0.2},
        }
    )
    features, truth = spectrograms(8), np.eye(8, dtype=np.float32)
    results = [everything(features.copy(), truth, draw(seed), Share(8)) for seed in (1, 1, 2)]
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])
    assert not np.array_equal(results[0][0], results[2][0])


def test_nothing_asked_nothing_done() -> None:
    features, truth = spectrograms(3), np.eye(3, dtype=np.float32)
    same = Augmentation({})(features, truth, draw(), Share(3))
    assert np.array_equal(same[0], features)
    assert np.array_equal(same[1], truth)


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(
        TrainingError, match="no augmentation is called 'mixdown'; there are spec-augment, mixup"
    ):
        Augmentation({"mixdown": {}})
