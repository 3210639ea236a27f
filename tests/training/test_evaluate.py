"""A checkpoint measured on real sounds, on a features file, and on windows in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import SPEC, checkpoint, music

from genretag import checkpoint as checkpoints
from genretag.audio.features import table_features
from genretag.checkpoint import CheckpointMeta
from genretag.datasets.base import Dataset
from genretag.datasets.registry import load
from genretag.errors import FeatureError, SplitError, TrainingError
from genretag.labels import genre_labels
from genretag.models.records import Fit
from genretag.models.registry import build, load_model, preset
from genretag.predict.engine import EngineOptions, Job, predict
from genretag.training.distributed import World
from genretag.training.evaluate import evaluate_checkpoint, evaluate_examples, evaluate_features
from genretag.training.examples import load_parts
from genretag.training.fit import fit_classical
from genretag.training.splits import make_split
from genretag.training.translate import ELSEWHERE

FULL = EngineOptions(device="cpu", workers=1, coverage="full")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load("folder", music(tmp_path / "music"))


@pytest.fixture
def path(tmp_path: Path, dataset: Dataset) -> Path:
    return checkpoint(tmp_path / "tiny.safetensors", dataset)


def test_what_is_measured_is_what_prediction_gives(path: Path, dataset: Dataset) -> None:
    measured = evaluate_checkpoint(path, dataset, "test", FULL)
    found = measured.evaluation
    assert not measured.failures
    assert (found.model, found.dataset, found.split) == ("tiny", "folder", "official test")
    assert found.leak_free
    assert found.track.n == 6
    assert found.window is not None
    assert found.window.n == 24  # four windows in each of six songs
    assert found.baseline.name == "majority class (Jazz)"
    assert found.seconds_per_track is not None
    tagged = {
        clip.id: scores.scores
        for clip, scores in predict((Job(clip, clip.path) for clip in dataset.clips), path, FULL)
        if scores is not None and scores.scores is not None
    }
    for clip, probs in zip(found.ids, found.y_prob, strict=True):
        np.testing.assert_allclose(probs, tagged[clip], atol=1e-6)


def test_features_in_memory_give_the_same_figures(path: Path, dataset: Dataset) -> None:
    plan = make_split(dataset)
    parts = load_parts(dataset, plan, SPEC, workers=1, device="cpu", quiet=True)
    assert parts.test is not None
    loaded = checkpoints.load(path)
    found = evaluate_examples(
        load_model(loaded),
        loaded.meta,
        parts.test,
        dataset="folder",
        plan=plan,
        part="test",
        train=parts.train,
        device=torch.device("cpu"),
    )
    heard = evaluate_checkpoint(path, dataset, "test", FULL).evaluation
    assert found.track == heard.track
    assert found.window == heard.window
    assert (found.note, found.baseline) == (heard.note, heard.baseline)
    np.testing.assert_allclose(found.y_prob, heard.y_prob, atol=1e-5)


def test_a_clip_that_does_not_open_is_named_and_left_out(path: Path, dataset: Dataset) -> None:
    broken = next(clip for clip in dataset.clips if clip.split == "test")
    assert broken.path is not None
    broken.path.write_bytes(b"no music" * 100)
    measured = evaluate_checkpoint(path, dataset, "test", FULL)
    assert list(measured.failures) == [broken.id]
    assert measured.failures[broken.id].code == "not-audio"
    assert measured.evaluation.unscored == (broken.id,)
    assert measured.evaluation.track.n == 5
    for clip in dataset.clips:
        assert clip.path is not None
        clip.path.write_bytes(b"")
    with pytest.raises(TrainingError, match=r"no clip of the official test part can be heard \(.*empty"):
        evaluate_checkpoint(path, dataset, "test", FULL)


def test_a_model_with_other_labels_answers_by_genre(tmp_path: Path, dataset: Dataset) -> None:
    labels = genre_labels(("Hip-Hop", "Heavy Metal", "Rock"), "single")
    path = checkpoint(tmp_path / "other.safetensors", dataset, None, labels, dataset="elsewhere")
    found = evaluate_checkpoint(path, dataset, "all", FULL).evaluation
    assert found.labels.names == ("Jazz", "Metal", "Rock", ELSEWHERE)
    assert found.note is not None
    assert "other cannot say Jazz: 5 of 15 clips count as wrong" in found.note
    assert "its other genres (Hip-Hop) are wrong answers here" in found.note
    assert found.per_class["Jazz"].recall == 0.0
    assert found.baseline.name == "majority class of the measured part (Jazz)"


def test_windows_of_a_split_by_segment_are_dealt_out(tmp_path: Path, dataset: Dataset) -> None:
    path = checkpoint(tmp_path / "seg.safetensors", dataset, "segment")
    found = evaluate_checkpoint(path, dataset, "train", FULL).evaluation
    plan = make_split(dataset, "segment")
    counts = [len(plan.windows("train", clip.id, 4)) for clip in dataset.clips]
    assert found.window is not None
    assert found.window.n == sum(counts) < 60
    assert not found.leak_free
    with pytest.raises(SplitError, match="full coverage"):
        evaluate_checkpoint(path, dataset, "train", EngineOptions(device="cpu", workers=1))


def test_a_model_of_whole_tracks_answers_for_the_track(tmp_path: Path, dataset: Dataset) -> None:
    """The same from audio, from features, and from the rows that it takes."""
    config = {
        "base_preset": "mlp",
        "base_config": {"hidden": [8], "dropout": 0.0},
        "base_labels": 3,
        "base_kind": "single",
    }
    torch.manual_seed(1)
    model = build("probe", config, 3, SPEC)
    plan = make_split(dataset)
    parts = load_parts(dataset, plan, SPEC, workers=1, device="cpu", quiet=True)
    assert parts.test is not None
    cpu = torch.device("cpu")
    whole = {**preset("probe").config, **config}
    fit_classical(model, parts.train, Fit(c=100.0), whole, World(cpu))
    meta = CheckpointMeta(
        "probe",
        "probe",
        config,
        SPEC,
        dataset.labels,
        aggregation="head",
        dataset="folder",
        split="official",
        split_hash=plan.hash,
    )
    path = tmp_path / "probe.safetensors"
    checkpoints.save(path, meta, model.state_dict())
    heard = evaluate_checkpoint(path, dataset, "test", FULL).evaluation
    assert heard.whole
    about = {"dataset": "folder", "plan": plan, "part": "test", "train": parts.train}
    found = evaluate_examples(model, meta, parts.test, device=cpu, **about)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.y_prob, heard.y_prob, atol=1e-5)
    assert found.window == heard.window


def features_file(path: Path, dataset: Dataset, columns: int = 4) -> Path:
    """Two windows a clip; the first columns tell the label."""
    ids = [clip.id for clip in dataset.clips for _ in range(2)]
    y = np.array([dataset.labels.names.index(clip.labels[0]) for clip in dataset.clips]).repeat(2)
    X = np.zeros((len(y), columns), np.float32)
    X[np.arange(len(y)), y] = 1.0
    np.savez(path, X=X, Y=y, IDS=np.array(ids))
    return path


def test_a_features_file_in_place_of_audio(tmp_path: Path, dataset: Dataset) -> None:
    config = {"hidden": [], "dropout": 0.0}
    spec = table_features(4)
    model = build("mlp", config, 3, spec)
    plan = make_split(dataset)
    meta = CheckpointMeta(
        "table", "mlp", config, spec, dataset.labels, dataset="folder", split="official", split_hash=plan.hash
    )
    path = tmp_path / "table.safetensors"
    checkpoints.save(path, meta, model.state_dict())
    features = features_file(tmp_path / "features.npz", dataset)
    listed = tmp_path / "music" / "list.csv"
    found = evaluate_features(path, features, "folder", "test", data=listed, device="cpu")
    assert found.track.n == 6
    assert found.window is not None
    assert found.window.n == 12
    assert found.leak_free
    assert found.seconds_per_track is None
    assert evaluate_features(path, features, "folder", "all", data=listed, device="cpu").track.n == 15
    with pytest.raises(FeatureError, match="trained on a features file"):
        evaluate_checkpoint(path, dataset, "test", FULL)
    other = features_file(tmp_path / "other.npz", dataset, columns=7)
    with pytest.raises(FeatureError, match="features of another model"):
        evaluate_features(path, other, "folder", "test", data=listed, device="cpu")


def test_windows_of_another_shape_are_refused(path: Path, dataset: Dataset) -> None:
    from small_examples import parts

    loaded = checkpoints.load(path)
    some = parts()
    with pytest.raises(FeatureError, match="takes windows of 30 x 13 numbers and these have 6 x 4"):
        evaluate_examples(
            load_model(loaded),
            loaded.meta,
            some.train,
            dataset="folder",
            plan=some.split,
            part="train",
            train=some.train,
            device=torch.device("cpu"),
        )
