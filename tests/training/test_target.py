"""What a model is measured on, and what is said of a figure that is too good."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from trees import GTZAN_GENRES, folder_tree, gtzan_tree, magnatagatune_tree

from genretag.audio.features import FeatureSpec
from genretag.checkpoint import CheckpointMeta
from genretag.datasets.base import Dataset
from genretag.datasets.registry import load
from genretag.errors import SplitError
from genretag.labels import genre_labels
from genretag.training.splits import make_split
from genretag.training.target import Origin, Part, origin_of, target_of

SPEC = FeatureSpec("mfcc", 16000, n_fft=512, hop_length=256, frames=10, step_frames=10, n_coefficients=13)


@pytest.fixture
def gtzan(tmp_path: Path) -> Dataset:
    return load("gtzan", gtzan_tree(tmp_path))


def trained(dataset: Dataset, kind: str | None = "official", **more: object) -> CheckpointMeta:
    """The description of a model that was trained on `dataset`."""
    meta = CheckpointMeta(
        "tiny", "mlp", {}, SPEC, genre_labels(GTZAN_GENRES, "single"), dataset=dataset.name, seed=0
    )
    if kind is not None:
        plan = make_split(dataset, kind)  # type: ignore[arg-type]
        meta = dataclasses.replace(meta, split=kind, split_hash=plan.hash)
    return dataclasses.replace(meta, **more)  # type: ignore[arg-type]


# The clips of the tree name no artist.
OF_GTZAN = Origin(True, None, tracks_apart=True, artists_apart=None)


def origin(meta: CheckpointMeta, dataset: Dataset, part: Part) -> Origin:
    target = target_of(meta, dataset, part)
    return origin_of(meta, dataset.name, target.plan, part, published=target.published)


def test_the_test_part_of_its_own_split_is_believed(gtzan: Dataset) -> None:
    meta = trained(gtzan)
    target = target_of(meta, gtzan, "test")
    assert {gtzan.clips[row].split for row in target.rows} == {"test"}
    assert target.split == "official test"
    assert origin(meta, gtzan, "test") == OF_GTZAN
    assert origin(meta, gtzan, "valid") == OF_GTZAN


@pytest.mark.parametrize(
    ("extra", "leak_free", "said"),
    [
        ({"epoch": 7}, True, "the valid part also chose the epoch, so that its figure is too good"),
        ({"epoch": 7, "tuning": {}}, False, "the valid part also chose among the trials of tuning"),
    ],
)
def test_the_part_that_chose_the_model_flatters_it(
    gtzan: Dataset, extra: dict[str, object], leak_free: bool, said: str
) -> None:
    meta = trained(gtzan, extra=extra)
    found = origin(meta, gtzan, "valid")
    assert found.leak_free is leak_free
    assert said in (found.note or "")
    assert origin(meta, gtzan, "test") == OF_GTZAN


def test_what_folds_inside_train_decided_does_not_flatter_valid(gtzan: Dataset) -> None:
    meta = dataclasses.replace(trained(gtzan), thresholds={"rock": 0.5})
    assert "the thresholds" in (origin(meta, gtzan, "valid").note or "")
    inside = dataclasses.replace(meta, extra={**meta.extra, "inner_folds": 10})
    assert origin(inside, gtzan, "valid") == OF_GTZAN


@pytest.mark.parametrize("part", ["train", "all"])
def test_clips_that_trained_the_model_are_called_inflated(gtzan: Dataset, part: Part) -> None:
    found = origin(trained(gtzan), gtzan, part)
    assert not found.leak_free
    assert (found.note or "").startswith("inflated: measured on clips that the model was trained on")
    assert (found.tracks_apart, found.artists_apart) == (False, False)


def test_another_split_of_the_same_dataset_is_doubted(gtzan: Dataset) -> None:
    meta = dataclasses.replace(trained(gtzan, "track"), split_hash="0" * 64)
    found = origin(meta, gtzan, "test")
    assert not found.leak_free
    assert "not the one that the model was trained with" in (found.note or "")


def test_a_split_by_segment_is_called_inflated(gtzan: Dataset) -> None:
    found = origin(trained(gtzan, "segment"), gtzan, "test")
    assert not found.leak_free
    assert "inflated: split by segment" in (found.note or "")
    assert (found.tracks_apart, found.artists_apart) == (False, False)


def test_official_parts_hold_for_another_copy(gtzan: Dataset, tmp_path: Path) -> None:
    """A copy without its train part has another hash, and the same clips in test."""
    meta = trained(gtzan)
    for clip in gtzan.clips:
        if clip.split != "test" and clip.path is not None:
            clip.path.unlink()
    rest = load("gtzan", tmp_path)
    target = target_of(meta, rest, "test")
    assert target.plan is not None
    assert target.plan.hash != meta.split_hash
    assert origin(meta, rest, "test") == OF_GTZAN
    with pytest.raises(SplitError, match=r"no clip of the train part .*\(test 6\).*--split test"):
        target_of(meta, rest, "train")


def test_a_valid_part_cut_from_train_is_not_taken_for_the_published_one(
    gtzan: Dataset, tmp_path: Path
) -> None:
    meta = trained(gtzan)
    for clip in gtzan.clips:
        if clip.split == "valid" and clip.path is not None:
            clip.path.unlink()
    assert not origin(meta, load("gtzan", tmp_path), "valid").leak_free


def test_the_list_of_a_folder_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    folder = load("folder", folder_tree(tmp_path))
    meta = trained(folder, "artist")
    assert origin(meta, folder, "test") == Origin(True, None, tracks_apart=True, artists_apart=True)
    (tmp_path / "Jazz" / "an album" / "song 0.wav").unlink()
    assert not origin(meta, load("folder", tmp_path), "test").leak_free


def test_other_training_data(gtzan: Dataset) -> None:
    elsewhere = dataclasses.replace(trained(gtzan), dataset="million-song", split="by its authors")
    known = origin(elsewhere, gtzan, "all")
    assert not known.leak_free
    assert (known.tracks_apart, known.artists_apart) == (None, None)
    assert (known.note or "").startswith(
        "may be inflated: trained on million-song; whether recordings of gtzan are among them"
    )
    for meta in (
        dataclasses.replace(trained(gtzan), dataset=None),
        trained(gtzan, None),
    ):
        unknown = origin(meta, gtzan, "test")
        assert not unknown.leak_free
        assert "does not say" in (unknown.note or "")


@pytest.mark.parametrize(
    "more", [{"config": {"base": "musicnn-mtt"}}, {"extra": {"beginning": "musicnn-mtt"}}]
)
def test_what_the_base_of_a_model_was_trained_on_counts(tmp_path: Path, more: dict[str, object]) -> None:
    dataset = load("magnatagatune", magnatagatune_tree(tmp_path))
    official = origin(trained(dataset, **more), dataset, "test")
    assert (official.note or "").startswith("inflated: usual split")  # for its artists
    assert (official.tracks_apart, official.artists_apart) == (True, False)
    plan = make_split(dataset, "segment")
    meta = trained(dataset, "segment", **more)
    found = origin_of(meta, dataset.name, plan, "test", published=False)
    assert not found.leak_free
    assert "stands on musicnn-mtt, which was trained on other parts of magnatagatune" in (found.note or "")


def test_a_split_that_cannot_be_made_leaves_all(tmp_path: Path) -> None:
    root = folder_tree(tmp_path)
    for number in range(1, 4):
        (root / "Jazz" / "an album" / f"song {number}.wav").unlink()
    dataset = load("folder", root)
    meta = dataclasses.replace(trained(dataset, None), dataset="million-song")
    with pytest.raises(SplitError, match=r"'Jazz' has a single artist.*--split all"):
        target_of(meta, dataset, "test")
    assert len(target_of(meta, dataset, "all").rows) == 5
