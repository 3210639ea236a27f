"""One preset on several splits: what leaks is inflated, and a killed study goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from artists import songs
from tiny import music

from genretag.errors import SplitError, TrainingError, UsageError
from genretag.predict.engine import EngineOptions
from genretag.training.history import Nobody
from genretag.training.leakage import Study, study
from genretag.training.options import TrainOptions
from genretag.training.splits import SplitKind

ENGINE = EngineOptions(device="cpu", workers=1, coverage="full")


class News(Nobody):
    """A watcher that remembers what it is told, and may end the work."""

    def __init__(self, until: str = "never") -> None:
        self.lines: list[str] = []
        self.until = until

    def news(self, line: str) -> None:
        self.lines.append(line)
        if self.until in line:
            raise KeyboardInterrupt


def options(tmp_path: Path, **more: Any) -> TrainOptions:
    listed, features = songs(tmp_path / "songs")
    given = {"data": listed, "features": features, "out": tmp_path / "study", "values": {"gamma": 0.1}}
    return TrainOptions("folder", "svm", device="cpu", quiet=True, **(given | more))


def of(asked: TrainOptions, *kinds: SplitKind, news: News | None = None) -> Study:
    return study(asked, kinds, "test", ENGINE, news)


def test_what_leaks_is_inflated(tmp_path: Path) -> None:
    """Songs sound like their artists only: whoever knows the artist knows the genre."""
    done = of(options(tmp_path), "official", "track", "segment")
    scores = {row.kind: row.score for row in done.rows}
    assert scores["track"] > 0.9
    assert scores["segment"] > 0.9
    assert scores["official"] < 0.7
    official, track, segment = done.rows
    assert official.excess is None
    assert track.excess == pytest.approx(scores["track"] - scores["official"])
    # The parts are as large as the official ones, so that only the leak differs.
    assert (official.train_clips, official.measured_clips) == (60, 24)
    assert abs(track.train_clips - 60) <= 4
    assert not segment.leak_free
    first, *others = done.sentences
    assert first.startswith("official: ")
    assert "is the figure to believe" in first
    assert all("inflated by +" in line and "beyond the 95 % intervals" in line for line in others)
    assert "12 test artists" not in first
    assert "artists, with" in others[0]  # how many of the tested artists stand in train
    found = done.to_json()
    assert [row["kind"] for row in found["study"]] == ["official", "track", "segment"]
    notes = [evaluation.note for evaluation in done.comparison.evaluations]
    assert notes[0] is None
    assert all(note is not None and note.startswith("Inflated") for note in notes[1:])


def test_a_killed_study_goes_on(tmp_path: Path) -> None:
    asked = options(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        of(asked, "official", "artist", news=News("split 2 of 2"))
    made = (tmp_path / "study" / "official" / "checkpoint.safetensors").stat().st_mtime_ns
    news = News()
    again = of(asked, "official", "artist", news=news)
    assert any(line.startswith("already trained") for line in news.lines)
    assert (tmp_path / "study" / "official" / "checkpoint.safetensors").stat().st_mtime_ns == made
    assert [row.kind for row in again.rows] == ["official", "artist"]
    with pytest.raises(TrainingError, match="started with --seed 0, not 1"):
        of(options(tmp_path, seed=1), "official", "artist")


def test_several_kinds_are_needed_and_a_part_that_is_here(tmp_path: Path) -> None:
    asked = options(tmp_path)
    for kinds in (("track",), ("track", "track")):
        with pytest.raises(UsageError, match="two different splits"):
            of(asked, *kinds)  # type: ignore[arg-type]
    listed = without_test(music(tmp_path / "music"))
    with pytest.raises(
        SplitError, match=r"no clip of the test part of its official split is here.*--split valid"
    ):
        of(options(tmp_path, data=listed, features=None), "official", "track")
    assert not (tmp_path / "study").exists()


def without_test(listed: Path) -> Path:
    lines = [line for line in listed.read_text().splitlines() if not line.endswith(",test")]
    listed.write_text("\n".join(lines) + "\n")
    return listed


def test_without_an_official_test_part_all_are_measured_on_valid(tmp_path: Path) -> None:
    """On audio, through the engine."""
    listed = without_test(music(tmp_path / "music", 3.2))
    asked = TrainOptions(
        "folder", "svm", data=listed, out=tmp_path / "study", device="cpu", workers=1, quiet=True
    )
    done = study(asked, ("official", "track"), "valid", ENGINE)
    assert [(row.train_clips, row.measured_clips) for row in done.rows] == [(6, 3), (6, 3)]
    assert {one.split for one in done.comparison.evaluations} == {"official valid", "track valid"}
