"""What a copy of a dataset holds: parts, baselines, verdicts on splits; mini trees and real annotations."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from trees import fma_tree, folder_tree, gtzan_tree, write_rows

from genretag.datasets import registry
from genretag.training.survey import survey


def test_the_real_tags_are_mostly_no(shared_data: Path, tmp_path: Path) -> None:
    """To say no to each of the 188 tags is 98.16 % accurate, and is called the baseline."""
    packed = (shared_data / "magnatagatune" / "magnatagatune.json.gz").read_bytes()
    clips = [clip for clip in json.loads(gzip.decompress(packed)).values() if clip["y_all"] is not None]
    tags = sorted({tag for clip in clips for tag in clip["y_all"]})
    rows = [
        (clip["extra"]["clip_id"], *(int(tag in clip["y_all"]) for tag in tags), clip["extra"]["mp3_path"])
        for clip in clips
    ]
    write_rows(tmp_path / "annotations_final.csv", [("clip_id", *tags, "mp3_path"), *rows], delimiter="\t")
    paths = [row[-1] for row in rows]
    found = survey(registry.load("magnatagatune:188", tmp_path, ids=paths), kinds=("official",))
    parts = {part.part: part for part in found.parts}
    assert [parts[name].clips for name in ("train", "valid", "test")] == [18706, 1825, 5329]
    baseline = parts["all"].baseline
    assert baseline is not None
    assert (baseline.name, f"{100 * baseline.accuracy:.2f}") == ("all-zeros", "98.16")
    assert 100 * found.density == pytest.approx(1.84, abs=0.005)


def test_parts_of_a_published_split(tmp_path: Path) -> None:
    found = survey(registry.load("gtzan", gtzan_tree(tmp_path)))
    assert {part.part: part.clips for part in found.parts} == {"train": 6, "valid": 6, "test": 6, "all": 18}
    assert found.labels == {"blues": 6, "jazz": 6, "rock": 6}
    assert found.density == pytest.approx(1 / 3)
    # No artist is known here.
    assert all(part.unknown == part.clips for part in found.parts)
    assert found.splits["artist"].leak_free is None
    assert "no artist is known" in found.splits["artist"].reason
    assert found.splits["segment"].leak_free is False


def test_without_a_split_of_its_own(tmp_path: Path) -> None:
    found = survey(registry.load("folder", folder_tree(tmp_path)))
    (everything,) = found.parts
    assert (everything.part, everything.clips, everything.artists) == ("all", 8, 8)
    assert set(found.splits) == {"artist", "track", "segment"}
    assert found.splits["artist"].leak_free


def test_several_labels_a_clip(tmp_path: Path) -> None:
    dataset = registry.load("fma:small:multi", fma_tree(tmp_path))
    found = survey(dataset)
    everything = found.parts[-1]
    assert everything.baseline is not None
    assert everything.baseline.name == "all-zeros"
    assert everything.labels_per_clip == pytest.approx(np.mean([len(clip.labels) for clip in dataset.clips]))
    assert json.loads(json.dumps(found.to_dict()))["task"] == "multi"
