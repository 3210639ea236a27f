"""Tensors and descriptions of checkpoints, presets, and names in run folders."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from tests.contract.program import Program
from tests.contract.recorded import recorded, require_recorded
from tests.contract.shapes import shape
from tests.legacy_files import REPOSITORY

CLIPS = ("--dataset", "folder", "--data", "clips/list.csv")
TABLE = ("--dataset", "folder", "--features", "tables/features.npz")
ON_CPU = ("--device", "cpu", "-q")
SHIPPED = ("auto", "gtzan-musicnn", "musicnn-msd", "musicnn-mtt", "vgg-msd", "vgg-mtt")
# Objects of a description whose keys depend on the data or on the preset.
FREE = ("thresholds", "labels.genres", "genres", "families", "config", "architecture", "extra", "recipe")
# The preset that is compared at every run, of the encoder that shipped and learnt models have in common;
# CONTRACT_PRESETS=all compares all.
PRESETS = ("musicnn",)


def tensors(path: Path, *, sizes: bool) -> dict[str, str]:
    """Return the type of each tensor of a safetensors file, with its shape or number of dimensions."""
    with safe_open(path, framework="numpy") as file:
        found = {}
        for name in sorted(file.keys()):
            part = file.get_slice(name)
            lengths = part.get_shape()
            found[name] = f"{part.get_dtype()} {lengths if sizes else len(lengths)}"
        return found


def metadata(path: Path) -> dict[str, str]:
    """Return the texts in the header of a safetensors file."""
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata())


def description(path: Path) -> dict[str, Any]:
    """Return the description in a checkpoint."""
    texts = metadata(path)
    assert list(texts) == ["genretag"]
    document: dict[str, Any] = json.loads(texts["genretag"])
    assert document["format"] == 1
    return document


@pytest.mark.parametrize("name", SHIPPED)
def test_tensors_of_shipped_weights(name: str) -> None:
    path = REPOSITORY / "weights" / f"{name}.safetensors"
    require_recorded("tensors", name, tensors(path, sizes=True))
    require_recorded("checkpoints", name, shape([description(path)], FREE))


def test_models_and_presets_are_those_recorded(shared_program: Program) -> None:
    rows = shared_program("models", "--json").document
    require_recorded("records", "models --json", shape(rows, ["scores"]))
    found = {
        row["name"]: {
            "kind": row["kind"],
            "parameters": row["parameters"],
            "for labels": row["parameters_for_labels"],
        }
        for row in rows
    }
    require_recorded("presets", "models", found)


@pytest.mark.parametrize("name", ["auto", "musicnn-msd"])
def test_the_document_of_a_model(shared_program: Program, name: str) -> None:
    document = shared_program("models", name, "--json").document
    require_recorded("records", f"models {name} --json", shape([document], ["scores", *FREE]))


@pytest.mark.parametrize(
    "name",
    sorted(name for name, about in recorded("presets").get("models", {}).items() if about["kind"] == "preset")
    if os.environ.get("CONTRACT_PRESETS") == "all"
    else PRESETS,
)
def test_the_document_of_a_preset(shared_program: Program, name: str) -> None:
    """Network, architecture, features and recipe go into checkpoints and keys of caches."""
    document = shared_program("models", name, "--json").document
    for text in ("summary", "source", "published"):
        document.pop(text)
    require_recorded("presets", name, document)


def test_an_old_training_is_resumed(program: Program) -> None:
    """The run of an earlier version was stopped in its third epoch; its cached features are used."""
    program.legacy("home", "clips", "run")
    run, cache = program.folder / "run", program.home / "features"
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    rows = (run / "history.csv").read_text()
    options = ("--set", "hidden=[2]", "--epochs", 5, "--batch-size", 3, "--lr", "0.01", "--workers", 1)
    program("train", *CLIPS, "--model", "mlp", *options, "--out", "run", *ON_CPU, "--resume")
    after = (run / "history.csv").read_text()
    assert after.startswith(rows)
    assert [row["epoch"] for row in csv.DictReader(after.splitlines())] == list("12345")
    now = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    assert before.items() <= now.items()
    # Only the search for copies of a recording, which the earlier version did not have, adds features.
    added = {path.relative_to(cache).parts[0] for path in now.keys() - before.keys()}
    require_recorded("checkpoints", "features added by the training", sorted(added))

    require_recorded("checkpoints", "run folder", sorted(path.name for path in run.iterdir()))
    require_recorded("checkpoints", "mlp", shape([description(run / "checkpoint.safetensors")], FREE))
    require_recorded("tensors", "mlp", tensors(run / "checkpoint.safetensors", sizes=True))
    require_recorded("tensors", "state of mlp", tensors(run / "state.safetensors", sizes=True))
    texts = metadata(run / "state.safetensors")
    assert list(texts) == ["genretag-run"]
    require_recorded("checkpoints", "state", shape([json.loads(texts["genretag-run"])], ["settings"]))
    for name in ("history", "labels", "tracks"):
        require_recorded("checkpoints", f"{name}.csv", (run / f"{name}.csv").read_text().splitlines()[0])
    document = json.loads((run / "evaluation.json").read_text())
    require_recorded("records", "evaluation.json", shape([document], ["per_class"]))


def test_a_fitted_preset_is_trained_and_evaluated(program: Program) -> None:
    program.legacy("tables")
    program("train", *TABLE, "--model", "svm", "--out", "run", *ON_CPU)
    path = program.folder / "run" / "checkpoint.safetensors"
    require_recorded("tensors", "svm", tensors(path, sizes=False))
    require_recorded("checkpoints", "svm", shape([description(path)], FREE))
    (evaluation,) = program("eval", "--model", path, *TABLE, "--json", *ON_CPU).records
    require_recorded("records", "eval --json", shape([evaluation], ["per_class"]))
    assert evaluation["track"] == json.loads((path.parent / "evaluation.json").read_text())["track"]
    assert (evaluation["split"], evaluation["leak_free"]) == ("artist test", True)


def test_old_checkpoints_of_every_kind_are_compared(program: Program) -> None:
    program.legacy("clips", "models")
    models = [f"models/{name}.safetensors" for name in ("mlp", "gru", "cnn", "probe")]
    document = program("eval", "--compare", *models, *CLIPS, "--json", "--workers", 1, *ON_CPU).document
    require_recorded("records", "eval --compare --json", shape([document], ["evaluations.per_class"]))
    assert [one["model"] for one in document["evaluations"]] == [
        *("legacy-mlp", "legacy-gru", "legacy-cnn", "legacy-probe")
    ]
    assert {one["split"] for one in document["evaluations"]} == {"official test"}
    assert document["evaluations"][0]["track"]["accuracy"] == 1.0


def test_a_learnt_model(program: Program) -> None:
    """The cached features of earlier versions are in folders of these names."""
    program.legacy("clips")
    document = program("learn", "clips", "--json", "--workers", 1, "-q").document
    free = ("files", "left_out.few", "left_out.more", "per_class")
    require_recorded("records", "learn --json", shape([document], free))
    path = program.home / "models" / "mine.safetensors"
    require_recorded("tensors", "mine", tensors(path, sizes=False))
    require_recorded("checkpoints", "mine", shape([description(path)], FREE))
    assert (program.home / "config.toml").read_text().strip() == '[tag]\nmodel = "mine"'
    folders = sorted((program.home / "features").iterdir())
    require_recorded(
        "checkpoints",
        "features",
        {path.name: json.loads((path / "front.json").read_text()) for path in folders},
    )
