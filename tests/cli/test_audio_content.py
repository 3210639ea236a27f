"""The same music at another level, in cancelling channels or among silence, through the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from command import Command
from genretag.store import Store
from sounds import signal

RATE = 22050
OPTIONS = ("--json", "--device", "cpu", "--workers", 1)
# A mix without music gives one of these or noise; a published model keeps its own front end.
MODELS = ("auto", "musicnn-msd")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRETAG_HOME", str(tmp_path / "home"))


def music(seconds: float = 30.0, seed: int = 0) -> np.ndarray:
    return signal(seconds, RATE, 1, seed, 0.2)[:, 0]


def write(folder: Path, name: str, *channels: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    soundfile.write(path, np.stack(channels, axis=1), RATE)
    return path


def scores(genretag: Command, folder: Path, *options: object) -> dict[str, dict[str, float]]:
    """Scores of every file in a folder by its stem; none may fail."""
    answer = genretag("tag", "-n", *OPTIONS, *options, folder)
    assert answer.code == 0, answer.err
    assert all(record["status"] in ("planned", "unsure") for record in answer.records)
    return {Path(record["path"]).stem: record["scores"] for record in answer.records}


def distance(one: dict[str, float], other: dict[str, float]) -> float:
    return max(abs(one[label] - other[label]) for label in one)


def test_the_level_and_an_offset_do_not_change_the_scores(genretag: Command, tmp_path: Path) -> None:
    for decibels in (-20, -12, 0, 12):
        write(tmp_path / "music", f"{decibels}.flac", music() * 10 ** (decibels / 20))
    write(tmp_path / "music", "offset.wav", music() + 0.1)
    for coverage in ("fast", "full", 3):
        found = scores(genretag, tmp_path / "music", "--coverage", coverage)
        assert all(distance(found["0"], other) < 0.02 for other in found.values())


@pytest.mark.parametrize("model", MODELS)
def test_cancelling_channels_have_the_scores_of_one(genretag: Command, tmp_path: Path, model: str) -> None:
    left = music()
    write(tmp_path / "music", "mono.flac", left)
    write(tmp_path / "music", "inverted.flac", left, -left)
    write(tmp_path / "music", "six.flac", left, -left, *[0 * left] * 4)
    for coverage in ("fast", "full"):
        found = scores(genretag, tmp_path / "music", "--model", model, "--coverage", coverage)
        assert all(distance(found["mono"], other) < 1e-3 for other in found.values())


@pytest.mark.parametrize("model", MODELS)
def test_a_hidden_track_is_not_silent(genretag: Command, tmp_path: Path, model: str) -> None:
    gap = np.zeros(RATE * 600, np.float32)
    write(tmp_path / "music", "hidden.flac", np.concatenate([music(), gap, music(20.0, seed=1)]))
    for coverage in ("fast", 2):
        scores(genretag, tmp_path / "music", "--model", model, "--coverage", coverage)
    write(tmp_path / "silence", "silence.flac", gap)
    answer = genretag("tag", "-n", *OPTIONS, "--model", model, tmp_path / "silence")
    assert [record["error"]["code"] for record in answer.records] == ["silent"]


def test_full_coverage_of_music_before_silence_has_the_scores_of_the_music(
    genretag: Command, tmp_path: Path
) -> None:
    write(tmp_path / "music", "alone.flac", music())
    write(tmp_path / "music", "padded.flac", np.concatenate([music(), np.zeros(RATE * 40, np.float32)]))
    found = scores(genretag, tmp_path / "music", "--coverage", "full")
    assert distance(found["alone"], found["padded"]) < 0.1


def test_scores_of_another_front_end_are_not_used(genretag: Command, tmp_path: Path) -> None:
    write(tmp_path / "music", "a.flac", music())
    for model in MODELS:
        first = genretag("tag", "-n", *OPTIONS, "--model", model, tmp_path / "music")
        assert first.records[0]["seconds"] > 0
        again = genretag("tag", "-n", *OPTIONS, "--model", model, tmp_path / "music")
        assert again.records[0]["seconds"] == 0
    with Store.open() as store:
        # The key of a front end of version 1 is the one that it always was.
        assert sorted(store.rows("SELECT coverage FROM scores")) == [("fast",), ("fast v2",)]
        with store.transaction() as connection:
            connection.execute("UPDATE scores SET coverage = 'fast' WHERE coverage = 'fast v2'")
            connection.execute("DELETE FROM encodings")  # whose hash is of the front end too
    answer = genretag("tag", "-n", *OPTIONS, tmp_path / "music")
    assert answer.records[0]["seconds"] > 0
