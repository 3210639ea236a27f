"""FeatureSpec: the arithmetic of windows, and a record that survives JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from genretag.audio.features import FeatureSpec, table_features
from genretag.errors import FeatureError

MUSICNN = FeatureSpec("musicnn-logmel", 16000, 512, 256, frames=187, step_frames=62, n_mels=96)
WAVEFORM = FeatureSpec("waveform", 22050, 1, 1, frames=66150, step_frames=66150)


def test_window_of_an_stft() -> None:
    assert MUSICNN.window_samples == 186 * 256 + 512
    assert MUSICNN.lead_samples == 256
    assert MUSICNN.step_samples == 62 * 256
    assert MUSICNN.window_seconds == pytest.approx(2.992)
    assert MUSICNN.shape == (187, 96)


def test_window_of_a_waveform_is_its_samples() -> None:
    assert WAVEFORM.window_samples == 66150
    assert WAVEFORM.lead_samples == 0
    assert WAVEFORM.window_seconds == pytest.approx(3.0)
    assert WAVEFORM.shape == (66150,)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("mfcc", (187, 13)), ("chroma", (187, 12)), ("fma-statistics", (518,)), ("logmel", (187, 96))],
)
def test_shape_follows_the_kind(kind: str, shape: tuple[int, ...]) -> None:
    assert replace(MUSICNN, kind=kind, n_coefficients=13).shape == shape


def test_a_row_of_a_table_is_its_columns() -> None:
    assert table_features(57).shape == (57,)
    with pytest.raises(FeatureError):
        table_features(0)


def test_survives_json() -> None:
    for spec in (MUSICNN, WAVEFORM, table_features(57), replace(MUSICNN, f_min=125.0, f_max=7500.0)):
        assert FeatureSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "spectrum"},
        {"frames": 0},
        {"hop_length": -1},
        {"n_mels": 0},
        {"sample_rate": "16000"},
        {"n_fft": None},
        {"frames": True},
        {"n_mels": 96.0},
        {"extra": 1},
    ],
)
def test_odd_records_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(FeatureError):
        FeatureSpec.from_dict(MUSICNN.to_dict() | change)


def test_missing_keys_are_refused() -> None:
    with pytest.raises(FeatureError):
        FeatureSpec.from_dict({"kind": "waveform"})
    with pytest.raises(FeatureError, match="missing"):
        _ = replace(MUSICNN, n_mels=None).shape


def test_a_level_is_kept_and_its_absence_leaves_the_record_as_it_always_was() -> None:
    spec = replace(MUSICNN, level=-30.0)
    assert FeatureSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert "level" not in MUSICNN.to_dict()
    with pytest.raises(FeatureError, match="level cannot be 'loud'"):
        FeatureSpec.from_dict(MUSICNN.to_dict() | {"level": "loud"})
