"""Copies of recordings: found in other formats and levels, and never among different songs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from genretag import checkpoint
from genretag.datasets.base import Clip
from genretag.errors import FileError
from genretag.predict.engine import EngineOptions
from genretag.training.copies import (
    BASE,
    embed_files,
    name_conflicts,
    one_per_recording,
    recording_groups,
    similar_pairs,
    with_two_labels,
)
from genretag.training.windows import StoredWindows
from song_copies import COPIES, RATE, song, write_copy

SONGS = 4


def groups_of(paths: Sequence[Path]) -> list[int]:
    """Return the number of the recording of each file."""
    host = checkpoint.load(checkpoint.resolve(BASE))
    found = embed_files(host, paths, EngineOptions(device="cpu", workers=1), quiet=True)
    stored = [file for file in found if isinstance(file, StoredWindows)]
    assert len(stored) == len(paths)
    return recording_groups(stored).tolist()


@pytest.mark.parametrize("kind", COPIES)
def test_every_kind_of_copy_is_found(tmp_path: Path, kind: str) -> None:
    paths = []
    for number in range(SONGS):
        paths.append(write_copy(tmp_path / f"{number} original", song(number), "same bytes"))
        paths.append(write_copy(tmp_path / f"{number} copy", song(number), kind))
    groups = groups_of(paths)
    assert groups[::2] == groups[1::2]
    assert len(set(groups)) == SONGS


def test_a_short_file_is_no_copy_of_a_longer_one(tmp_path: Path) -> None:
    wave = song(1)
    short = write_copy(tmp_path / "short", wave[: 4 * RATE], "same bytes")
    whole = write_copy(tmp_path / "whole", wave, "same bytes")
    again = write_copy(tmp_path / "again", wave[: 4 * RATE], "same bytes")
    first, second, third = groups_of([short, whole, again])
    assert first == third != second


def test_files_that_cannot_be_read_are_returned_as_errors(tmp_path: Path) -> None:
    broken = tmp_path / "broken.flac"
    broken.write_bytes(b"no music" * 200)
    host = checkpoint.load(checkpoint.resolve(BASE))
    (found,) = embed_files(host, [broken], EngineOptions(device="cpu", workers=1), quiet=True)
    assert isinstance(found, FileError)
    assert found.code == "not-audio"


def test_pairs_are_found_across_blocks() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(1200, 4, 30)).astype(np.float32)
    rows[1100] = rows[3] + 0.01 * draw.normal(size=(4, 30))
    pairs = {tuple(pair) for some in similar_pairs(rows, len(rows)) for pair in some.tolist()}
    assert pairs == {(3, 1100), (1100, 3)}


def clip(name: str, label: str, artist: str | None = None) -> Clip:
    """Return a clip without a file."""
    return Clip(name, None, (label,), artist, name, None)


def test_copies_become_one_clip_with_what_is_known_of_any() -> None:
    clips = [clip("a", "Jazz"), clip("b", "Rock"), clip("c", "Jazz", "someone")]
    groups = np.array([0, 1, 0])
    first, second = one_per_recording(clips, groups)
    assert (first.id, first.labels, first.artist) == ("a", ("Jazz",), "someone")
    assert second == clips[1]
    assert with_two_labels(clips, groups) == []


def test_recordings_with_two_labels_are_named() -> None:
    clips = [clip(f"{number}{kind}", kind) for number in range(5) for kind in ("Jazz", "Rock")]
    conflicts = with_two_labels(clips, np.arange(10) // 2)
    assert len(conflicts) == 5
    line = name_conflicts(conflicts, "and are left out")
    assert line == (
        "5 recordings have different genres in different files, and are left out: "
        "0Jazz and 0Rock; 1Jazz and 1Rock; 2Jazz and 2Rock and 2 more"
    )
    one = name_conflicts(conflicts[:1], "and are left out")
    assert one.startswith("1 recording has different genres in different files")
