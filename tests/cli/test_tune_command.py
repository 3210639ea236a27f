"""`genretag tune` and `genretag eval --splits` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from artists import songs

from command import Command


@pytest.fixture
def source(tmp_path: Path) -> tuple[object, ...]:
    listed, features = songs(tmp_path / "songs", signal=4.0)
    return ("--dataset", "folder", "--data", listed, "--features", features, "--device", "cpu")


def test_tune_shows_the_trials_and_measures_the_best(
    genretag: Command, source: tuple[object, ...], tmp_path: Path
) -> None:
    out = tmp_path / "study"
    arguments = ("tune", *source, "--model", "svm", "--trials", 2, "--out", out)
    answer = genretag(*arguments)
    assert answer.code == 0
    assert "folder-svm-0-tuned on folder, split official test: 24 tracks" in " ".join(answer.out.split())
    assert "trial 2: c " in answer.err
    assert "best of 2 trials: number " in answer.err
    measured = genretag("eval", *source, "--model", out / "checkpoint.safetensors", "--json")
    assert measured.records[0]["track"] == json.loads((out / "evaluation.json").read_text())["track"]
    again = genretag(*arguments)
    assert again.code == 2
    assert "holds a study; go on with --resume" in again.err
    assert genretag(*arguments, "--resume", "-q").err == ""


def test_a_leakage_study(genretag: Command, source: tuple[object, ...], tmp_path: Path) -> None:
    out = tmp_path / "study"
    arguments = ("eval", *source, "--model", "svm", "--splits", "official,segment", "--out", out)
    (found,) = genretag(*arguments, "--json").records
    assert [row["kind"] for row in found["study"]] == ["official", "segment"]
    assert [one["split"] for one in found["evaluations"]] == ["official test", "segment test"]
    assert [one["leak_free"] for one in found["evaluations"]] == [True, False]
    shown = genretag(*arguments, "--report", tmp_path / "report")
    assert shown.code == 0
    assert shown.out.startswith("folder-svm-0 (segment test): Inflated: split by segment")
    assert found["sentences"][1] in " ".join(shown.out.split())
    assert found["sentences"][1].split(";")[0] in (tmp_path / "report" / "report.md").read_text()
    assert "already trained" in shown.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eval", "--model", "svm", "--splits", "official"], "two different splits"),
        (["eval", "--model", "svm", "--splits", "official,mine"], "--splits mine: give one of official"),
        (["eval", "--model", "swm", "--splits", "official,track"], "no preset named 'swm'"),
        (["eval", "--splits", "official,track"], "--splits takes one preset"),
        (["tune", "--model", "swm"], "no preset named 'swm'"),
        (["tune", "--model", "svm", "--split", "mine"], "--split mine: give one of official"),
        (["tune", "--model", "svm", "--variant", "mine"], "there is no variant 'mine'"),
        (["tune", "--model", "svm", "--study", "mine"], "--study names a study in --storage"),
    ],
)
def test_what_cannot_be_is_one_line(
    genretag: Command, source: tuple[object, ...], tmp_path: Path, arguments: list[str], said: str
) -> None:
    answer = genretag(*arguments, *source, "--out", tmp_path / "out", "-q")
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
