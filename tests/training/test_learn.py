"""Learning own genres: what is kept together when it is measured, and what cannot be heard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from genretag import checkpoint
from genretag.datasets.base import Clip
from genretag.errors import TrainingError
from genretag.training.learn import LearnOptions, learn
from small_lessons import make_lesson

OPTIONS = LearnOptions("mine", min_files=4, device="cpu", workers=1, quiet=True)


def clips_of(root: Path, genre: str, files: int) -> list[Clip]:
    """Clips of a genre, two by each artist."""
    return [
        Clip(path.relative_to(root).as_posix(), path, (genre,), f"{genre} {number // 2}", path.name, None)
        for number, path in enumerate(make_lesson(root / genre, genre, files))
    ]


def test_what_belongs_together_is_measured_together(tmp_path: Path) -> None:
    drones, hisses = clips_of(tmp_path, "Drone", 8), clips_of(tmp_path, "Hiss", 8)
    learnt = learn(tmp_path, drones + hisses, OPTIONS)
    assert (learnt.grouped.by, learnt.grouped.unknown, learnt.grouped.doubtful) == (
        "artist and album",
        0,
        False,
    )
    assert learnt.path == checkpoint.resolve("mine")
    assert learnt.meta.labels.broad == ("genre/Drone", "genre/Hiss")
    assert learnt.evaluation.track.accuracy == 1.0
    assert learnt.above_chance
    # The same files give the same model; artists change what a file weighs.
    before = learnt.path.read_bytes()
    assert learn(tmp_path, drones + hisses, OPTIONS).path.read_bytes() == before
    # Where few artists are known the figure is doubted, where hardly any are it is by file.
    some = [replace(clip, artist=None) for clip in drones[:5]] + drones[5:] + hisses
    grouped = learn(tmp_path, some, OPTIONS).grouped
    assert (grouped.by, grouped.unknown, grouped.doubtful) == ("artist and album", 5, True)
    one = [replace(clip, artist="the only one") for clip in drones] + hisses
    grouped = learn(tmp_path, one, OPTIONS).grouped
    assert (grouped.by, grouped.doubtful) == ("file", True)


def test_genres_of_which_too_little_can_be_heard_are_left_out(tmp_path: Path) -> None:
    clips = [clip for genre in ("Drone", "Hiss", "Knocks") for clip in clips_of(tmp_path, genre, 4)]
    broken = clips[-1].path
    assert broken is not None
    broken.write_bytes(b"no music" * 200)
    learnt = learn(tmp_path, clips, OPTIONS)
    assert learnt.few == {"Knocks": 3}
    assert [failure.code for failure in learnt.failures] == ["not-audio"]
    assert learnt.evaluation.labels.names == ("Drone", "Hiss")
    with pytest.raises(TrainingError, match="two genres need 5 files each that can be heard, and there are"):
        learn(tmp_path, clips, replace(OPTIONS, min_files=5))
