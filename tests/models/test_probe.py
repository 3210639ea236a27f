"""A head over the windows of a track."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.pipeline import Pipeline

from classifiers import fitted
from genretag import checkpoint
from genretag.checkpoint import CheckpointMeta
from genretag.errors import ModelError
from genretag.labels import genre_labels
from genretag.models.presets import PRESETS
from genretag.models.pretrained import begin
from genretag.models.probe import Probe
from genretag.models.registry import build, load_model

LABELS = genre_labels(["blues", "jazz", "rock"], "single")
# A base that costs nothing.
SMALL = {"timbral_filters": 4, "temporal_filters": 2, "mid_filters": 4, "dense_units": 6}


def small(**config: object) -> Probe:
    torch.manual_seed(0)
    model = build("probe", {"base_config": SMALL, "base_labels": 5, **config}, 3)
    assert isinstance(model, Probe)
    return model


def head_of(model: Probe, tracks: int = 40) -> Pipeline:
    """A head fitted to tracks of seven windows, as training does it."""
    draw = np.random.default_rng(0)
    rows = torch.from_numpy(draw.uniform(size=(tracks, 7, model.width)).astype(np.float32))
    return fitted(model.summary(rows).numpy(), draw.integers(0, 3, tracks), "linear")


def test_statistics_are_those_of_numpy() -> None:
    model = small(statistics=["mean", "std", "max", "min", "p25", "p90"], logit=False)
    rows = np.random.default_rng(0).uniform(size=(2, 9, 5)).astype(np.float32)
    found = model.summary(torch.from_numpy(rows)).numpy()
    expected = [rows.mean(1), rows.std(1), rows.max(1), rows.min(1)]
    expected += [np.percentile(rows, 25, axis=1), np.percentile(rows, 90, axis=1)]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=1e-6)


def test_one_window_is_a_track_too() -> None:
    model = small(statistics=["mean", "std", "max"])
    summary = model.summary(torch.rand(1, 1, 5))
    assert summary.isfinite().all()
    assert torch.equal(summary[:, 5:10], torch.zeros(1, 5))


def test_logits_of_certain_scores_are_finite() -> None:
    rows = torch.tensor([[[0.0, 0.5, 1.0, 0.2, 0.8]]])
    heard = small(offset=0.01).heard(rows)[0, 0]
    expected = [np.log((p + 0.01) / (1.01 - p)) for p in (0.0, 0.5, 1.0, 0.2, 0.8)]
    np.testing.assert_allclose(heard.numpy(), expected, atol=1e-6)
    # An embedding is no probability: it is heard as it is.
    assert torch.equal(small(rows="embedding").heard(rows), rows)


def test_an_offset_of_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match="offset must be above 0"):
        small(offset=0.0)


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("windows", [1, 6])
def test_without_statistics_a_track_is_the_mean_of_what_is_said_of_windows(kind: str, windows: int) -> None:
    model = small(kind=kind)
    draw = np.random.default_rng(0)
    rows = torch.from_numpy(draw.uniform(size=(60, 5)).astype(np.float32))
    truth = draw.integers(0, 3, 60) if kind == "single" else draw.integers(0, 2, (60, 3))
    pipeline = fitted(model.heard(rows).numpy(), truth, "linear")
    model.adopt(pipeline)
    mean = pipeline.predict_proba(model.heard(rows[:windows]).numpy()).mean(axis=0)
    logits = model.track(rows[:windows])
    said = logits.softmax(0) if kind == "single" else logits.sigmoid()
    np.testing.assert_allclose(said.numpy(), mean, atol=1e-6)
    features = torch.rand(2, 187, 96)
    with torch.inference_mode():
        alone = torch.stack([model.track(row[None]) for row in model.rows(features)])
        torch.testing.assert_close(model(features), alone)


@pytest.mark.parametrize("rows", ["scores", "embedding"])
def test_a_track_is_judged_from_the_rows_of_its_windows(rows: str) -> None:
    model = small(rows=rows, statistics=["mean", "std", "max"])
    pipeline = head_of(model)
    model.adopt(pipeline)
    features = torch.rand(4, 187, 96)
    with torch.inference_mode():
        found = model.rows(features)
        assert found.shape == (4, 5 if rows == "scores" else 6)
        logits = model.track(found)
        assert logits.shape == (3,)
        # The order of windows does not matter, and each alone is what `forward` gives.
        torch.testing.assert_close(model.track(found.flip(0)), logits)
        alone = torch.stack([model.track(found[index : index + 1]) for index in range(4)])
        torch.testing.assert_close(model(features), alone)
    expected = pipeline.predict_proba(model.summary(found.unsqueeze(0)).numpy())[0]
    np.testing.assert_allclose(logits.softmax(0).numpy(), expected, atol=1e-5)


def test_the_base_is_heard_as_it_is_used() -> None:
    features = torch.rand(2, 187, 96)
    model = small(base_kind="single", base_temperature=2.0).train()
    with torch.inference_mode():
        logits = model.base.eval()(features)
        torch.testing.assert_close(model.rows(features), (logits / 2.0).softmax(dim=1))


def test_a_checkpoint_of_a_probe_needs_nothing_else(tmp_path: Path) -> None:
    base = checkpoint.read_meta(checkpoint.resolve("vgg-mtt"))
    config = {
        **PRESETS["probe"].config,
        "base": base.name,
        "base_preset": base.preset,
        "base_config": base.config,
        "base_labels": len(base.labels),
    }
    config["statistics"] = ["mean", "max"]
    model = build("probe", config, 3, base.features)
    assert isinstance(model, Probe)
    begin(model, PRESETS["probe"], source="vgg-mtt")
    model.adopt(head_of(model))
    meta = CheckpointMeta(
        name="test",
        preset="probe",
        config=config,
        features=base.features,
        labels=LABELS,
        aggregation="head",
    )
    checkpoint.save(tmp_path / "probe.safetensors", meta, model.state_dict())
    loaded = load_model(checkpoint.load(tmp_path / "probe.safetensors"))
    features = torch.rand(2, *base.features.shape)
    original = load_model(checkpoint.load(checkpoint.resolve("vgg-mtt")))
    with torch.inference_mode():
        assert torch.equal(loaded.rows(features), original(features).sigmoid())  # type: ignore[operator]
        torch.testing.assert_close(loaded(features), model(features))


def test_a_base_without_an_embedding_is_named() -> None:
    with pytest.raises(ModelError, match="svm has no embedding"):
        build(
            "probe",
            {"base_preset": "svm", "base_config": {}, "rows": "embedding"},
            3,
            PRESETS["svm"].features,
        )
