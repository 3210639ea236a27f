"""Any scorer over any windows: features instead of scores, altered sounds, heads over whole tracks."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genretag import checkpoint as checkpoints
from genretag.audio.decode import decode_whole
from genretag.audio.extract import Extractor
from genretag.audio.features import FeatureSpec
from genretag.audio.statistics import statistics
from genretag.errors import CheckpointError
from genretag.labels import LabelSet
from genretag.models.registry import build, load_model, preset
from genretag.predict.engine import EngineOptions, Job, predict, run
from genretag.predict.machine import TrackRows
from genretag.predict.score import Scorer
from genretag.training.variants import Variant
from hostile_files import DeadlyOnce
from sounds import make_sound

WAVEFORM = FeatureSpec("waveform", 16000, n_fft=1, hop_length=1, frames=4000, step_frames=4000)
FULL = EngineOptions(workers=2, coverage="full")


class Levels:
    """Peak and root mean square of every window, twice over: rows (windows, 2, 2)."""

    batch_size = 3
    lanes = 2
    mixes = True

    def lane(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def score(self, waves: np.ndarray) -> np.ndarray:
        assert 0 < len(waves) < 20
        levels = np.stack([np.abs(waves).max(axis=1), np.sqrt(np.square(waves).mean(axis=1))], axis=1)
        return np.stack([levels, levels], axis=2)


class Fussy(Levels):
    """Gives no number for what is quiet."""

    def score(self, waves: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.log(super().score(waves) - 0.05)


def rows_of(
    paths: list[Path], spec: FeatureSpec, make: Callable[[], Levels] = Levels, **more: object
) -> list[TrackRows]:
    answers = list(run([Job(path, path) for path in paths], spec, make, FULL, **more))
    assert [path for path, _ in answers] == paths
    return [rows for _, rows in answers if rows is not None]


def waves_of(path: Path, spec: FeatureSpec) -> np.ndarray:
    return decode_whole(path, spec, "full")[0].waves


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sounds")
    return [make_sound(folder / f"{n}.wav", 3.1 + n, rate=16000, channels=1, seed=n) for n in range(4)]


def test_rows_have_any_shape_and_the_order_of_the_windows(sounds: list[Path]) -> None:
    for path, track in zip(sounds, rows_of(sounds, WAVEFORM), strict=True):
        expected = Levels().score(waves_of(path, WAVEFORM)[:19])
        assert track.error is None
        assert track.rows[:19] == pytest.approx(expected, abs=1e-7)
        assert track.starts.tolist() == [k * 0.25 for k in range(len(track.rows))]
        assert len(track.rows) == int((track.duration or 0) / 0.25)


def test_what_is_not_a_number_fails_its_own_file(sounds: list[Path], tmp_path: Path) -> None:
    quiet = make_sound(tmp_path / "quiet.wav", 3.0, rate=16000, level=0.01)
    first, second, third = rows_of([sounds[0], quiet, sounds[1]], WAVEFORM, Fussy)
    assert (first.error, third.error) == (None, None)
    assert second.error is not None
    assert second.error.code == "bad-scores"
    assert str(quiet) in second.error.message
    assert len(second.rows) == 0


def test_a_scorer_that_cannot_be_made_is_raised(sounds: list[Path]) -> None:
    def refuse() -> Levels:
        raise CheckpointError("no such weights")

    with pytest.raises(CheckpointError, match="no such weights"):
        rows_of(sounds, WAVEFORM, refuse)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("genretag")]


@pytest.mark.parametrize("windows", [1, 17, 40])
def test_a_second_attempt_gives_every_window_once(tmp_path: Path, windows: int) -> None:
    path = make_sound(tmp_path / "a.wav", 12, rate=16000, channels=1)
    short = make_sound(tmp_path / "b.wav", 1, rate=16000, channels=1)
    plain = rows_of([path, short], WAVEFORM)
    change = DeadlyOnce(tmp_path / "died", windows)
    tried = rows_of([path, short], WAVEFORM, change=change)
    assert (tmp_path / "died").exists()
    for one, other in zip(plain, tried, strict=True):
        assert other.error is None
        assert np.array_equal(one.rows, other.rows)
        assert np.array_equal(one.starts, other.starts)


def test_workers_alter_the_sound(sounds: list[Path]) -> None:
    change = Variant(("noise",), 1, 7)
    plain, altered = rows_of(sounds[:1], WAVEFORM), rows_of(sounds[:1], WAVEFORM, change=change)
    expected = np.stack([change(wave, WAVEFORM) for wave in waves_of(sounds[0], WAVEFORM)])
    assert altered[0].rows == pytest.approx(Levels().score(expected[:19]), abs=1e-7)
    assert np.abs(altered[0].rows - plain[0].rows).max() > 1e-3


def test_workers_compute_what_only_librosa_has(sounds: list[Path], tmp_path: Path) -> None:
    spec = FeatureSpec("fma-statistics", 44100, n_fft=2048, hop_length=512, frames=86, step_frames=86)
    (tmp_path / "text.wav").write_text("no music\n" * 500)

    class Handed(Levels):
        def score(self, waves: np.ndarray) -> np.ndarray:
            return waves.copy()

    track, broken = rows_of([sounds[0], tmp_path / "text.wav"], spec, Handed)
    clips = waves_of(sounds[0], spec)[:, spec.lead_samples : -spec.lead_samples]
    assert track.rows.shape == (3, 518)
    assert track.rows == pytest.approx(
        np.stack([statistics(clip, spec) for clip in clips]), rel=1e-4, abs=1e-4
    )
    assert broken.error is not None
    assert broken.error.code == "not-audio"


def test_workers_import_no_torch_for_windows_of_samples() -> None:
    script = "import sys, genretag.predict.worker; print(sorted({'torch', 'librosa'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


@pytest.fixture(scope="module")
def probe() -> checkpoints.Checkpoint:
    """A head over whole tracks, fitted to noise, on a small base that was never trained."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    config = {
        "base_preset": "vgg",
        "base_config": {"filters": 4},
        "base_labels": 3,
        "statistics": ["mean", "std", "max"],
        "logit": False,
    }
    labels = LabelSet(("calm", "loud"), "single", {})
    model: Any = build("probe", config, 2)
    fitted = make_pipeline(StandardScaler(), LogisticRegression())
    model.adopt(fitted.fit(random.uniform(0.4, 0.6, (40, 9)), random.integers(0, 2, 40)))
    meta = checkpoints.CheckpointMeta(
        "probe", "probe", config, preset("vgg").features, labels, aggregation="head", temperature=1.5
    )
    return checkpoints.Checkpoint(meta, model.state_dict())


def test_a_head_judges_all_windows_of_a_track_together(probe: checkpoints.Checkpoint, tmp_path: Path) -> None:
    path = make_sound(tmp_path / "a.wav", 10, rate=16000)
    checkpoint = tmp_path / "probe.safetensors"
    checkpoints.save(checkpoint, probe.meta, probe.state)
    model: Any = load_model(probe)
    with torch.inference_mode():
        features = Extractor(probe.meta.features)(torch.from_numpy(waves_of(path, probe.meta.features)))
        rows = model.rows(features)
        expected = (model.track(rows) / 1.5).softmax(dim=-1).numpy()
        alone = torch.stack([(model.track(row[None]) / 1.5).softmax(dim=-1) for row in rows]).numpy()
    options = replace(FULL, keep_windows=True)
    ((_, track),) = predict([Job(None, path)], checkpoint, options)
    assert track is not None
    assert track.scores == pytest.approx(expected, abs=1e-5)
    assert track.windows == pytest.approx(alone, abs=1e-5)
    assert track.n_windows == len(rows) == 3
    assert track.scores != pytest.approx(alone.mean(axis=0), abs=1e-3)
    ((_, track),) = predict([Job(None, path)], checkpoint, FULL)
    assert track is not None
    assert track.scores == pytest.approx(expected, abs=1e-5)
    assert (track.windows, track.n_windows) == (None, 3)


@pytest.mark.parametrize("aggregation", ["mean", "head"])
def test_a_checkpoint_and_its_preset_agree_about_the_head(
    probe: checkpoints.Checkpoint, aggregation: str
) -> None:
    if aggregation == "head":
        meta = replace(probe.meta, preset="vgg", config={"filters": 4})
        odd = checkpoints.Checkpoint(meta, build("vgg", {"filters": 4}, 2).state_dict())
    else:
        odd = replace(probe, meta=replace(probe.meta, aggregation="mean"))
    with pytest.raises(CheckpointError, match=f"aggregation '{aggregation}' does not fit preset"):
        Scorer(odd, "cpu")


def test_the_answers_can_be_closed(sounds: list[Path]) -> None:
    answers = run((Job(path, path) for path in sounds * 20), WAVEFORM, Levels, FULL)
    next(answers)
    answers.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("genretag")]
