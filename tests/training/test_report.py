"""The exact JSON, what a terminal of 80 columns shows, and a folder that is written whole or not at all."""

from __future__ import annotations

import csv
import json
import resource
from pathlib import Path

import pytest
from evaluations import multi, single
from rich.console import Console, RenderableType

from genretag.errors import TrainingError
from genretag.training.compare import compare
from genretag.training.report import (
    comparison_json,
    comparison_terminal,
    terminal,
    to_json,
    write_comparison,
    write_report,
)

SCORES = ["n", "accuracy", "accuracy_ci", "macro_f1", "roc_auc", "pr_auc"]
LEAK = {"leak_free": False, "split": "segment", "note": "windows of one track stand in train and in test"}
FIRST = "Inflated: windows of one track stand in train and in test"


def shown(part: RenderableType, width: int = 80) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(part)
    return captured.get()


@pytest.mark.parametrize("evaluation", [single(seconds_per_track=0.5), multi(), single(windows=1)])
def test_json_is_the_record_of_the_contract(evaluation: object) -> None:
    found = json.loads(json.dumps(to_json(evaluation), allow_nan=False))
    assert list(found) == [
        "model",
        "dataset",
        "split",
        "leak_free",
        "tracks_apart",
        "artists_apart",
        "track",
        "window",
        "baseline",
        "per_class",
        "confusion",
        "seconds_per_track",
    ]
    assert list(found["track"]) == SCORES
    assert found["window"] is None or list(found["window"]) == SCORES
    assert list(found["baseline"]) == ["name", "accuracy", "roc_auc", "pr_auc"]
    assert list(found["per_class"]) == list(evaluation.labels.names)
    for one in found["per_class"].values():
        assert list(one) == ["precision", "recall", "f1", "n"]
    assert found["track"]["accuracy_ci"] == list(evaluation.track.accuracy_ci)


def test_what_does_not_apply_is_null() -> None:
    one, tags = to_json(single(windows=1)), to_json(multi())
    assert (one["window"], one["seconds_per_track"]) == (None, None)
    assert (one["track"]["roc_auc"], one["track"]["pr_auc"]) == (None, None)
    assert (one["baseline"]["roc_auc"], one["baseline"]["pr_auc"]) == (None, None)
    assert one["confusion"]["labels"] == ["blues", "jazz", "rock"]
    assert sum(map(sum, one["confusion"]["matrix"])) == 60
    assert tags["confusion"] is None
    assert tags["baseline"]["roc_auc"] == 0.5
    assert tags["per_class"]["weird"] == {"precision": None, "recall": None, "f1": None, "n": 0}


def test_comparison_as_json() -> None:
    found = comparison_json(compare([single("a"), single("b", seed=1), single("c", split="track")]))
    assert json.loads(json.dumps(found, allow_nan=False))["evaluations"][1] == to_json(single("b", seed=1))
    assert {d["row"] for d in found["differences"]} == {1}
    assert found["untested"] == [{"row": 2, "reason": "another dataset or split"}]


def test_terminal_fits_80_columns_and_cuts_no_number() -> None:
    for evaluation in (single(), multi()):
        text = shown(terminal(evaluation))
        assert "…" not in text.replace("… 2 more", "")
        low, high = evaluation.track.accuracy_ci
        digits = 2 if evaluation.labels.kind == "multi" else 1
        assert f"({100 * low:.{digits}f}–{100 * high:.{digits}f})" in text
        assert evaluation.baseline.name in " ".join(text.split())
    both = compare([multi("musicnn-mtt"), multi("vgg-mtt", seed=1)])
    text = shown(comparison_terminal(both))
    for evaluation in both.evaluations:
        low, high = evaluation.track.pr_auc_ci
        assert f"({100 * low:.2f}–{100 * high:.2f})" in text


def test_inflated_stands_in_the_first_line_of_every_rendering(tmp_path: Path) -> None:
    leaking = single(**LEAK)
    both = compare([single(), leaking])
    assert shown(terminal(leaking)).splitlines()[0] == FIRST
    assert FIRST in shown(comparison_terminal(both), width=120).splitlines()[0]
    assert write_report(leaking, tmp_path / "one").read_text().splitlines()[0] == f"**{FIRST}**"
    assert FIRST in write_comparison(both, tmp_path / "two").read_text().splitlines()[0]
    assert to_json(leaking)["leak_free"] is False
    assert shown(terminal(single())).startswith("gru on gtzan, split artist: 60 tracks, 240 windows")


def test_report_folder_holds_the_page_and_all_it_links_to(tmp_path: Path) -> None:
    evaluation = single()
    page = write_report(evaluation, tmp_path / "new" / "report")
    text = page.read_text()
    files = sorted(path.name for path in page.parent.iterdir())
    pictures = ["confusion.png", "coverage.png", "labels.png", "reliability.png"]
    assert files == sorted([*pictures, "evaluation.json", "labels.csv", "report.md", "tracks.csv"])
    for picture in pictures:
        assert f"]({picture})" in text
    captions = [line for line in text.splitlines() if line.startswith("**Figure")]
    assert len(captions) == len(pictures)
    for caption in captions:
        assert "n = 60 tracks" in caption
        assert "95 % interval" in caption
    assert json.loads((page.parent / "evaluation.json").read_text()) == to_json(evaluation)


def test_tracks_and_labels_can_be_counted_again(tmp_path: Path) -> None:
    tags = multi(ids=[f"clip{k}" for k in range(79)] + ["caf\udce9.mp3"])
    write_report(tags, tmp_path)
    with (tmp_path / "tracks.csv").open(newline="", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == list(tags.ids)
    names = tags.labels.names
    for row, truth, given in zip(rows, tags.y_true, tags.y_guess, strict=True):
        assert row["true"] == "; ".join(name for name, yes in zip(names, truth, strict=True) if yes)
        assert row["given"] == "; ".join(name for name, yes in zip(names, given, strict=True) if yes)
    with (tmp_path / "labels.csv").open(newline="") as file:
        labels = {row["label"]: row for row in csv.DictReader(file)}
    assert float(labels["slow"]["roc_auc"]) == tags.per_class["slow"].roc_auc
    assert labels["weird"]["pr_auc"] == ""


def test_comparison_folder(tmp_path: Path) -> None:
    page = write_comparison(compare([single("a"), single("b", seed=1)]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "comparison.json",
        "comparison.png",
        "report.md",
    ]
    assert "a n = 60, b n = 60 tracks" in page.read_text()
    assert "## Against a, on the same tracks" in page.read_text()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TrainingError, match="file: the report cannot be written") as caught:
        write_report(single(), tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_no_room_leaves_the_last_report_whole(tmp_path: Path) -> None:
    write_comparison(compare([single("a"), single("b", seed=1)]), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # room for the texts, not for the picture
    try:
        with pytest.raises(TrainingError, match="cannot be written"):
            write_comparison(compare([single("c"), single("d", seed=1)]), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_bad_history_leaves_nothing(tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    history.write_text("loss\n0.5\n")
    with pytest.raises(TrainingError, match="column epoch"):
        write_report(single(), tmp_path / "report", history=history)
    assert not (tmp_path / "report").exists()
