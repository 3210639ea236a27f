"""`genretag eval` as a person uses it: figures, JSON, reports, comparisons, one line for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import SPEC, checkpoint, music

from command import Command
from genretag.datasets.registry import load

KEYS = {
    "model", "dataset", "split", "leak_free", "tracks_apart", "artists_apart", "track", "window", "baseline",
    "per_class", "confusion", "seconds_per_track",
}  # fmt: skip
SCORES = {"n", "accuracy", "accuracy_ci", "macro_f1", "roc_auc", "pr_auc"}
CPU = ("--device", "cpu", "--workers", 1)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return music(tmp_path / "music")


@pytest.fixture
def tiny(tmp_path: Path, listed: Path) -> Path:
    return checkpoint(tmp_path / "tiny.safetensors", load("folder", listed))


def test_figures_as_json(genretag: Command, tiny: Path, listed: Path) -> None:
    answer = genretag("eval", "--model", tiny, "--dataset", "folder", "--data", listed, "--json", *CPU)
    assert (answer.code, answer.err) == (0, "")
    (found,) = answer.records
    assert set(found) == KEYS
    assert set(found["track"]) == set(found["window"]) == SCORES
    assert (found["model"], found["dataset"], found["split"]) == ("tiny", "folder", "official test")
    assert found["leak_free"] is True
    assert found["track"]["n"] == 6
    assert found["confusion"]["labels"] == ["Jazz", "Metal", "Rock"]
    assert found["baseline"]["accuracy"] == pytest.approx(1 / 3)


def test_figures_for_a_person_and_a_report(
    genretag: Command, tiny: Path, listed: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    arguments = ("--dataset", "folder", "--data", listed, "--split", "train", "--report", report, *CPU)
    answer = genretag("eval", "--model", tiny, *arguments)
    assert answer.code == 0
    assert answer.out.startswith("Inflated: measured on clips that the model was trained on")
    assert "majority class (Jazz)" in answer.out
    assert (report / "report.md").read_text().startswith("**Inflated: measured on clips")
    assert json.loads((report / "evaluation.json").read_text())["leak_free"] is False


def test_a_shipped_model_on_music_with_other_labels(genretag: Command, listed: Path) -> None:
    arguments = ("--dataset", "folder", "--data", listed, "--split", "all", "--coverage", 1, "--json", *CPU)
    answer = genretag("eval", "--model", "musicnn-msd", *arguments)
    assert answer.code == 0
    (found,) = answer.records
    assert found["track"]["n"] == 15
    assert found["confusion"]["labels"] == ["Jazz", "Metal", "Rock", "another genre"]
    assert found["window"] is None  # one window a track


def test_a_clip_that_does_not_open_is_named_and_the_others_are_measured(
    genretag: Command, tiny: Path, listed: Path
) -> None:
    (listed.parent / "Jazz 4.flac").write_bytes(b"")
    answer = genretag("eval", "--model", tiny, "--dataset", "folder", "--data", listed, "--json", *CPU)
    assert answer.code == 1
    assert answer.records[0]["track"]["n"] == 5
    (line,) = answer.err.splitlines()
    assert line.startswith("genretag: [empty] ")
    assert "Jazz 4.flac" in line


def test_several_models_in_one_table(genretag: Command, tiny: Path, listed: Path, tmp_path: Path) -> None:
    other = checkpoint(tmp_path / "other.safetensors", load("folder", listed), temperature=0.5)
    arguments = ("--compare", tiny, other, "--dataset", "folder", "--data", listed, *CPU)
    shown = genretag("eval", *arguments, "--report", tmp_path / "both")
    assert shown.code == 0
    assert "tiny" in shown.out
    assert "Against tiny, on the same tracks" in shown.out
    assert (tmp_path / "both" / "comparison.json").is_file()
    (found,) = genretag("eval", *arguments, "--json").records
    assert [one["model"] for one in found["evaluations"]] == ["tiny", "other"]
    assert found["differences"][0]["test"] == "McNemar"
    assert found["untested"] == []


def test_models_with_different_answers_are_compared_on_what_is_true(
    genretag: Command, tiny: Path, listed: Path
) -> None:
    """One has the answer "another genre", which is true of no clip."""
    arguments = ("--dataset", "folder", "--data", listed, "--coverage", 1, "--json", *CPU)
    (found,) = genretag("eval", "--compare", tiny, "musicnn-msd", *arguments).records
    assert found["untested"] == []
    assert {one["row"] for one in found["differences"]} == {1}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--model", "musicn-msd"], "no model or file named 'musicn-msd'; models: musicnn-msd"),
        (["--model", "mlp"], "mlp is a preset: train it first"),
        ([], "give --model NAME or FILE"),
        (["--compare", "musicnn-msd"], "--compare takes two models or more"),
        (["musicnn-msd", "musicnn-mtt"], "--compare takes two models or more"),
        (["--model", "musicnn-msd", "--split", "dev"], "--split dev: give one of test, valid, train, all"),
        (["--model", "musicnn-msd", "--out", "x"], "--out and --epochs go with --splits"),
        (["--model", "musicnn-msd", "--coverage", "most"], "coverage 'most'"),
        (
            ["--model", "musicnn-msd", "--dataset", "gtsan"],
            "no dataset is called 'gtsan'; did you mean gtzan?",
        ),
        (["--model", "musicnn-msd", "--dataset", "gtzan"], "has no folder of a genre; expected DIR/genres"),
        (["--model", "musicnn-msd", "--variant", "big"], "folder: there is no variant 'big'"),
        (["--model", "musicnn-msd", "--features", "no.npz"], "no.npz: no such file"),
    ],
)
def test_what_cannot_be_is_one_line(genretag: Command, listed: Path, arguments: list[str], line: str) -> None:
    given = [] if "--dataset" in arguments else ["--dataset", "folder"]
    data = listed if not {"gtzan"} & set(arguments) else listed.parent
    answer = genretag("eval", *arguments, *given, "--data", data, *CPU)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert line in answer.err


def test_without_a_test_part_every_part_that_is_here_is_measured_and_named(
    genretag: Command, tiny: Path, listed: Path, tmp_path: Path
) -> None:
    lines = [line for line in listed.read_text().splitlines() if not line.endswith(",test")]
    listed.write_text("\n".join(lines) + "\n")
    arguments = ("eval", "--model", tiny, "--dataset", "folder", "--data", listed, *CPU)
    answer = genretag(*arguments, "--json", "--report", tmp_path / "report")
    assert answer.code == 0
    assert "no clip of the test part is here; measured on what is: valid, train" in answer.err
    ((parts,),) = [record.values() for record in answer.records]
    assert list(parts) == ["valid", "train"]
    assert [part["track"]["n"] for part in parts.values()] == [3, 6]
    assert parts["train"]["leak_free"] is False
    assert (tmp_path / "report" / "train" / "report.md").read_text().startswith("**Inflated: measured on")
    assert (tmp_path / "report" / "valid" / "report.md").is_file()


def test_a_part_that_is_asked_for_is_not_replaced_by_another(
    genretag: Command, tiny: Path, listed: Path
) -> None:
    lines = [line for line in listed.read_text().splitlines() if not line.endswith(",test")]
    listed.write_text("\n".join(lines) + "\n")
    asked = ("--dataset", "folder", "--data", listed, "--split", "test", *CPU)
    answer = genretag("eval", "--model", tiny, *asked)
    assert answer.code == 2
    assert "no clip of the test part of its official split is here (train 6, valid 3)" in answer.err
    assert "--split valid" in answer.err


def test_a_checkpoint_of_another_version_is_one_line(
    genretag: Command, tiny: Path, listed: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old.safetensors"
    old.write_bytes(tiny.read_bytes().replace(b'\\"format\\": 1', b'\\"format\\": 7'))
    answer = genretag("eval", "--model", old, "--dataset", "folder", "--data", listed, *CPU)
    assert answer.code == 2
    assert "checkpoint format 7, this genretag reads 1" in answer.err
    assert answer.err.count("\n") == 1


def test_windows_of_the_tiny_model_are_half_a_second() -> None:
    """What the other tests rely on."""
    assert SPEC.window_seconds == pytest.approx(0.48)


def test_real_music(genretag: Command, shared_data: Path) -> None:
    """Three genres of GTZAN, whose test part is not here."""
    data = shared_data / "gtzan" / "genres"
    arguments = ("--model", "musicnn-msd", "--dataset", "gtzan", "--data", data, "--device", "cpu")
    missing = genretag("eval", *arguments, "--split", "test")
    assert missing.code == 2
    assert "no clip of the test part of its official split is here (train 134, valid 61)" in missing.err
    answer = genretag("eval", *arguments, "--split", "valid", "--coverage", 1, "--json")
    assert answer.code == 0
    (found,) = answer.records
    assert found["track"]["n"] == 61
    assert found["per_class"]["classical"]["recall"] == 0.0  # no label of the model
    assert found["per_class"]["jazz"]["recall"] > 0.8
    assert found["track"]["accuracy"] > found["baseline"]["accuracy"]
