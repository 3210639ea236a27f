"""MagnaTagATune: tab-separated annotations, the split by folder, its tags and the published counts."""

from __future__ import annotations

import functools
import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trees import magnatagatune_tree, write_rows

from genretag.datasets import magnatagatune, registry
from genretag.datasets.base import Dataset, Size
from genretag.errors import DatasetError
from genretag.training.splits import make_split

Loader = Callable[[str], Dataset]


@pytest.fixture(scope="session")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Loader:
    """A variant made from the real annotations, which are turned back into the two tables they came from."""
    packed = (shared_data / "magnatagatune" / "magnatagatune.json.gz").read_bytes()
    document = json.loads(gzip.decompress(packed))
    root = tmp_path_factory.mktemp("magnatagatune")
    annotated = [clip for clip in document.values() if clip["y_all"] is not None]
    tags = sorted({tag for clip in annotated for tag in clip["y_all"]})
    rows = []
    for clip in annotated:
        said = set(clip["y_all"])
        rows.append(
            (clip["extra"]["clip_id"], *(int(tag in said) for tag in tags), clip["extra"]["mp3_path"])
        )
    write_rows(root / "annotations_final.csv", [("clip_id", *tags, "mp3_path"), *rows], delimiter="\t")
    columns = list(annotated[0]["extra"])
    infos = [[clip["extra"][column] for column in columns] for clip in document.values()]
    write_rows(root / "clip_info_final.csv", [columns, *infos], delimiter="\t")
    paths = [clip["extra"]["mp3_path"] for clip in annotated]
    return functools.cache(lambda variant: registry.load("magnatagatune", root, variant=variant, ids=paths))


@pytest.mark.parametrize("size", magnatagatune.INFO.sizes, ids=lambda size: size.variant)
def test_the_real_annotations_give_the_published_counts(size: Size, real: Loader) -> None:
    dataset = real(size.variant)
    parts = Counter(clip.split for clip in dataset.clips)
    assert (parts["train"], parts["valid"], parts["test"]) == size.clips
    assert len(dataset.labels) == size.labels


def test_what_explains_the_counts(real: Loader) -> None:
    reasons = Counter(reason for _, reason in real("50-tagged").excluded)
    assert reasons == {"it carries none of the 50 tags": 4752, "its mp3 is empty in every copy": 3}
    assert 25863 - reasons.total() == 15247 + 1529 + 4332


def test_to_say_no_to_every_tag_is_98_percent_accurate(real: Loader) -> None:
    assert round(100 * float((real("188").targets() == 0).mean()), 2) == 98.16


def test_the_guard_knows_that_the_usual_split_shares_artists(real: Loader) -> None:
    dataset = real("50")
    plan = make_split(dataset)
    assert plan.name == "official"
    assert not plan.leak_free
    assert plan.reason.startswith(
        "inflated: usual split; 56 of 230 known artists stand in two parts or more; "
    )
    assert "45 of 75 test artists, with 3,284 of 5,329 clips, stand in train" in plan.reason
    assert plan.overlap.tracks == ()
    assert len({clip.track for clip in dataset.clips}) == 5405


def test_tags_are_those_used_most_often_and_say_which_are_genres(tmp_path: Path) -> None:
    dataset = registry.load("magnatagatune", magnatagatune_tree(tmp_path))
    assert dataset.labels.names == ("guitar", "techno", "rock", "no voice", "harp")
    assert dataset.labels.genres == {"techno": "Techno", "rock": "Rock"}
    clip = dataset.clips[0]
    assert (clip.id, clip.artist, clip.split) == ("0/ann-one-01-song-0-29.mp3", "Ann", "train")
    assert clip.labels == ("guitar", "techno")
    assert clip.track == dataset.clips[1].track == "0/ann-one-01-song"
    assert [clip.split for clip in dataset.clips] == ["train"] * 4 + ["valid", "test", "test"]
    assert dataset.excluded == (("6/fay-seven-07-song-0-29.mp3", "its mp3 is empty in every copy"),)


def test_clips_without_a_tag_are_dropped_on_request(tmp_path: Path) -> None:
    data = magnatagatune_tree(tmp_path)
    silent = "d/eve-five-05-song-0-29.mp3"
    assert silent in {clip.id for clip in registry.load("magnatagatune:188", data).clips}
    tagged = registry.load("magnatagatune:188-tagged", data)
    assert (silent, "it carries none of the 188 tags") in tagged.excluded
    assert np.all(tagged.targets().any(1))


def test_clip_numbers_and_a_folder_of_mp3_work_too(tmp_path: Path) -> None:
    data = magnatagatune_tree(tmp_path)
    assert registry.load("magnatagatune", data, ids=["2"]).clips[0].id == "0/ann-one-01-song-0-29.mp3"
    (data / "mp3").mkdir()
    for name in ("0", "3", "6", "b", "c", "d", "f"):
        (data / name).rename(data / "mp3" / name)
    assert len(registry.load("magnatagatune", data).clips) == 7


def test_without_clip_info_the_artists_are_not_known(tmp_path: Path) -> None:
    data = magnatagatune_tree(tmp_path)
    (data / "clip_info_final.csv").unlink()
    dataset = registry.load("magnatagatune", data)
    assert all(clip.artist is None for clip in dataset.clips)
    assert any("clip_info_final.csv" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("clip_id", "rock"), (2, 1)], "columns must be clip_id, the tags, mp3_path"),
        ([("clip_id", "rock", "mp3_path"), (2, 1, "z/a.mp3")], "clip 2 must have 1 times 0 or 1"),
        ([("clip_id", "rock", "mp3_path"), (2, "yes", "0/a.mp3")], "clip 2 must have 1 times 0 or 1"),
    ],
)
def test_annotations_in_another_layout_are_one_line(
    rows: list[tuple[object, ...]], said: str, tmp_path: Path
) -> None:
    data = magnatagatune_tree(tmp_path)
    write_rows(data / "annotations_final.csv", rows, delimiter="\t")
    with pytest.raises(DatasetError, match=said):
        registry.load("magnatagatune", data)
