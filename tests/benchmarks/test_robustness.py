"""What is done to clips before they are measured, and the folders of speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import robustness, sounds, speech

CLIP = sounds.tune(1, 4)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "genres" / "rock"
    folder.mkdir(parents=True)
    sounds.encode(CLIP, folder / "rock.00001.flac", "flac")
    return folder.parent


@pytest.mark.parametrize(
    ("name", "seconds", "level"),
    [
        ("44.1 kHz stereo", 4.0, 1.0),
        ("opus 32 kbit/s", 4.0, 1.0),
        ("20 dB quieter", 4.0, 0.1),
        ("1.5 s later", 2.5, 1.0),
        ("3 s of silence first", 7.0, np.sqrt(4 / 7)),
        ("left channel only", 4.0, np.sqrt(0.5)),
    ],
)
def test_a_condition_does_what_it_says(
    data: Path, tmp_path: Path, name: str, seconds: float, level: float
) -> None:
    folder = robustness.make(data, name, tmp_path / "copies")
    (copy,) = (path for path in folder.rglob("*") if path.is_file())
    assert copy.stem == "rock.00001"
    found = sounds.excerpt(copy, 0, 60).astype(float)
    assert len(found) / sounds.RATE == pytest.approx(seconds, abs=0.05)
    expected = level * np.sqrt(np.square(CLIP.astype(float)).mean())
    assert np.sqrt(np.square(found).mean()) == pytest.approx(expected, rel=0.1)


def test_a_copy_that_is_there_is_kept(data: Path, tmp_path: Path) -> None:
    folder = robustness.make(data, "0.5 s later", tmp_path)
    (copy,) = (path for path in folder.rglob("*") if path.is_file())
    before = copy.stat().st_mtime_ns
    robustness.make(data, "0.5 s later", tmp_path)
    assert copy.stat().st_mtime_ns == before


def test_a_speaker_s_sounds_are_joined_to_tracks_of_a_minute(tmp_path: Path) -> None:
    for number in range(5):
        sounds.encode(sounds.tune(number, 20), tmp_path / f"{number}.wav", "wav")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    (only,) = speech.tracks(tmp_path)
    assert len(only) / sounds.RATE == pytest.approx(60, abs=1.5)
