"""From a dataset and a split, or from a features file, to windows with what is true of their tracks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trees import TREES

from genretag.audio.features import FeatureSpec
from genretag.datasets import gtzan
from genretag.datasets.base import Dataset
from genretag.datasets.registry import load
from genretag.errors import DatasetError, FeatureError, SplitError
from genretag.predict.engine import EngineOptions
from genretag.training.cache import FeatureCache, Front
from genretag.training.examples import Examples, FeatureFile, Parts, load_parts, parts_from_file
from genretag.training.grouping import groups_of
from genretag.training.splits import make_split
from genretag.training.variants import variants
from genretag.training.windows import FileWindows, StoredWindows

# The sounds of the trees last 0.6 s: three windows.
SPEC = FeatureSpec(
    "mfcc", 16000, n_fft=512, hop_length=256, frames=12, step_frames=12, n_mels=20, n_coefficients=8
)


def dataset_of(name: str, tmp_path: Path) -> Dataset:
    return load(name, TREES[name.split(":")[0]](tmp_path / "data"))


def parts_of(parts: Parts) -> dict[str, Examples]:
    named = {"train": parts.train, "valid": parts.valid, "test": parts.test}
    return {name: examples for name, examples in named.items() if examples is not None}


def everything(examples: Examples) -> np.ndarray:
    return examples.windows.gather(np.arange(len(examples.windows)))


def test_every_window_knows_its_track_and_what_is_true_of_it(tmp_path: Path) -> None:
    dataset = dataset_of("gtzan", tmp_path)
    split = make_split(dataset)
    parts = load_parts(dataset, split, SPEC, quiet=True)
    assert (parts.dataset_name, parts.variant, parts.split, parts.left_out) == (
        "gtzan",
        "filtered",
        split,
        (),
    )
    assert list(parts_of(parts)) == ["train", "valid", "test"]
    for name, examples in parts_of(parts).items():
        clips = [dataset.clips[index] for index in split.part(name)]
        assert examples.ids == tuple(clip.id for clip in clips)
        assert [examples.labels.names[target] for target in examples.targets] == [
            clip.labels[0] for clip in clips
        ]
        assert examples.groups is not None
        assert examples.groups.tolist() == groups_of(dataset)[list(split.part(name))].tolist()
        assert examples.number is not None
        assert examples.number.tolist() == [0, 1, 2] * len(clips)
        assert examples.track.tolist() == np.repeat(np.arange(len(clips)), 3).tolist()
        assert examples.shape == (12, 8)
        paths = [clip.path for clip in clips if clip.path]
        for track, (path, stored) in enumerate(
            zip(paths, FeatureCache(Front(SPEC)).fill(paths, EngineOptions()), strict=True)
        ):
            assert isinstance(stored, StoredWindows), path
            windows = FileWindows([stored], [np.arange(3)]).gather(np.arange(3))
            assert np.array_equal(everything(examples)[examples.track == track], windows)


def test_of_several_labels_every_one_has_its_column(tmp_path: Path) -> None:
    dataset = dataset_of("magnatagatune", tmp_path)
    parts = load_parts(dataset, make_split(dataset), SPEC, quiet=True)
    ids = {clip.id: clip for clip in dataset.clips}
    for examples in parts_of(parts).values():
        assert examples.targets.dtype == np.float32
        for track, name in enumerate(examples.ids):
            true = {
                label for label, yes in zip(dataset.labels.names, examples.targets[track], strict=True) if yes
            }
            assert true == set(ids[name].labels)


def test_a_broken_clip_is_left_out_and_named_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = dataset_of("gtzan", tmp_path)
    split = make_split(dataset)
    broken = dataset.clips[split.part("train")[0]]
    assert broken.path is not None
    broken.path.write_text("no music\n" * 500)
    parts = load_parts(dataset, split, SPEC, quiet=True, variants=variants(["noise"], 1, 0))
    assert broken.id not in parts.train.ids
    assert len(parts.train.ids) == 2 * (len(split.part("train")) - 1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"genretag: left out: {broken.path}: ")
    assert [fault.code for fault in parts.left_out] == ["not-audio"]
    said: list[str] = []
    load_parts(dataset, split, SPEC, quiet=True, warn=said.append)
    assert said == [line.removeprefix("genretag: ")]


def test_without_any_train_clip_nothing_starts(tmp_path: Path) -> None:
    dataset = dataset_of("gtzan", tmp_path)
    split = make_split(dataset)
    for index in split.part("train"):
        path = dataset.clips[index].path
        assert path is not None
        path.write_text("no music\n" * 500)
    with pytest.raises(
        FeatureError, match=r"^gtzan: no clip of the train part can be used \(.*holds no sound"
    ):
        load_parts(dataset, split, SPEC, quiet=True, warn=lambda _: None)
    silent = replace(dataset, clips=tuple(replace(clip, path=None) for clip in dataset.clips))
    with pytest.raises(FeatureError, match="known without audio"):
        load_parts(silent, split, SPEC, quiet=True)


def test_altered_copies_are_further_tracks_of_train(tmp_path: Path) -> None:
    dataset = dataset_of("gtzan", tmp_path)
    split = make_split(dataset)
    plain = load_parts(dataset, split, SPEC, quiet=True)
    more = load_parts(dataset, split, SPEC, quiet=True, variants=variants(["noise"], 2, 0))
    count = len(plain.train.ids)
    assert more.train.ids[:count] == plain.train.ids
    assert more.train.ids[count] == f"{plain.train.ids[0]} (copy 1)"
    assert len(set(more.train.ids)) == 3 * count
    assert more.train.targets.tolist() == plain.train.targets.tolist() * 3
    assert more.train.groups is not None
    assert plain.train.groups is not None
    assert more.train.groups.tolist() == plain.train.groups.tolist() * 3
    copies = everything(more.train).reshape(3, -1)
    assert np.array_equal(copies[0], everything(plain.train).ravel())
    assert all(np.abs(copies[one] - copies[other]).max() > 1 for one, other in ((0, 1), (0, 2), (1, 2)))
    assert more.test is not None
    assert plain.test is not None
    assert more.test.ids == plain.test.ids


def test_split_by_segment_gives_each_window_to_one_part(tmp_path: Path) -> None:
    dataset = dataset_of("folder", tmp_path)
    spec = replace(SPEC, frames=4, step_frames=4)
    split = make_split(dataset, "segment")
    parts = load_parts(dataset, split, spec, quiet=True, variants=variants(["noise"], 1, 0))
    seen = []
    for name, examples in parts_of(parts).items():
        assert examples.number is not None
        seen += [
            (examples.ids[track], number)
            for track, number in zip(examples.track.tolist(), examples.number.tolist(), strict=True)
        ]
        for track, clip in enumerate(examples.ids):
            expected = split.windows(name, clip.removesuffix(" (copy 1)"), 9).tolist()
            assert examples.number[examples.track == track].tolist() == expected
    plain = [(clip, number) for clip, number in seen if "copy" not in clip]
    assert sorted(plain) == [(clip.id, number) for clip in dataset.clips for number in range(9)]


# Features files


def gtzan_rows(
    tmp_path: Path, *, windows: int = 3, parts: tuple[str, ...] = ("train", "valid", "test")
) -> Path:
    """Rows of the first four clips of each part and genre of the filtered lists, by an artist each."""
    split = gtzan.filtered_split()
    chosen = [
        clip
        for part in parts
        for genre in gtzan.GENRES
        for clip in sorted(clip for clip in split if clip.startswith(genre) and split[clip] == part)[:4]
    ]
    (tmp_path / "artists.json").write_text(json.dumps({clip: f"artist of {clip}" for clip in chosen}))
    ids = np.repeat(chosen, windows)
    # Windows of a clip need not stand together.
    order = np.random.default_rng(0).permutation(len(ids))
    random = np.random.default_rng(1)
    numbers = np.array([gtzan.GENRES.index(name.split("/")[0]) for name in ids])
    path = tmp_path / "features.npz"
    np.savez(path, X=random.normal(size=(len(ids), 6)), Y=numbers[order], IDS=ids[order])
    return path


def test_rows_of_a_file_are_cut_by_the_official_lists(tmp_path: Path) -> None:
    path = gtzan_rows(tmp_path)
    file = np.load(path)
    (parts,) = parts_from_file(path, "gtzan")
    assert parts.split.name == "official"
    assert list(parts_of(parts)) == ["train", "valid", "test"]
    lists = gtzan.filtered_split()
    for name, examples in parts_of(parts).items():
        assert {lists[clip] for clip in examples.ids} == {name}
        assert len(examples.ids) == 40
        assert examples.shape == (6,)
        for track, clip in enumerate(examples.ids):
            expected = file["X"][file["IDS"] == clip].astype(np.float32)
            assert np.array_equal(everything(examples)[examples.track == track], expected)
            assert examples.labels.names[examples.targets[track]] == clip.split("/")[0]


def test_a_file_can_be_taken_whole(tmp_path: Path) -> None:
    path = gtzan_rows(tmp_path)
    file = FeatureFile(path, "gtzan")
    examples = file.everything()
    assert len(examples.ids) == len(file.dataset.clips) == 120
    arrays = np.load(path)
    for track, clip in enumerate(examples.ids):
        expected = arrays["X"][arrays["IDS"] == clip].astype(np.float32)
        assert np.array_equal(everything(examples)[examples.track == track], expected)


def test_artists_beside_the_file_keep_folds_apart(tmp_path: Path) -> None:
    path = gtzan_rows(tmp_path)
    artists = json.loads((tmp_path / "artists.json").read_text())
    for clip in list(artists)[::2]:
        artists[clip] = f"band of {clip.split('/')[0]} {int(clip[-4]) % 3}"
    (tmp_path / "artists.json").write_text(json.dumps(artists))
    folds = parts_from_file(path, "gtzan", kind="artist", folds=3, seed=2)
    assert [parts.split.fold for parts in folds] == [0, 1, 2]
    tested = []
    for parts in folds:
        by = {name: {artists[clip] for clip in part.ids} for name, part in parts_of(parts).items()}
        assert not by["train"] & by["test"]
        assert parts.test is not None
        tested += parts.test.ids
    assert sorted(tested) == sorted(artists)


def test_rows_take_the_shape_that_a_model_wants(tmp_path: Path) -> None:
    path = gtzan_rows(tmp_path)
    (parts,) = parts_from_file(path, "gtzan", shape=(2, 3))
    assert parts.train.shape == (2, 3)
    assert everything(parts.train).shape[1:] == (2, 3)
    with pytest.raises(
        FeatureError, match="has 6 numbers and the model takes 130 x 13; these are features of an"
    ):
        parts_from_file(path, "gtzan", shape=(130, 13))


def test_clips_that_the_dataset_leaves_out_are_dropped(tmp_path: Path) -> None:
    path = gtzan_rows(tmp_path, windows=1)
    file = np.load(path)
    listed = gtzan.filtered_split()
    names = [f"{genre}/{genre}.{number:05d}.au" for genre in gtzan.GENRES for number in range(100)]
    unlisted = next(name for name in names if name not in listed)
    np.savez(
        path,
        X=np.concatenate([file["X"], np.ones((1, 6))]),
        Y=[*file["Y"], gtzan.GENRES.index(unlisted.split("/")[0])],
        IDS=[*file["IDS"].tolist(), unlisted],
    )
    (parts,) = parts_from_file(path, "gtzan")
    assert all(unlisted not in examples.ids for examples in parts_of(parts).values())
    (parts,) = parts_from_file(path, "gtzan:full", kind="track")
    assert any(unlisted in examples.ids for examples in parts_of(parts).values())


def test_train_rows_alone_give_a_valid_part_of_theirs(tmp_path: Path) -> None:
    (parts,) = parts_from_file(gtzan_rows(tmp_path, parts=("train",)), "gtzan")
    assert parts.valid is not None
    assert parts.test is None
    assert len(parts.train.ids) + len(parts.valid.ids) == 40


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"IDS": "pop/unknown.mp3"}, DatasetError, "'pop/unknown.mp3', which is no clip of the dataset"),
        ({"Y": 5}, FeatureError, "has several numbers in Y; its rows do not belong to its IDS"),
    ],
)
def test_rows_that_do_not_belong_to_the_dataset_are_one_clear_line(
    change: dict[str, object], error: type[Exception], reason: str, tmp_path: Path
) -> None:
    path = gtzan_rows(tmp_path)
    arrays = {name: array.copy() for name, array in np.load(path).items()}
    for name, value in change.items():
        arrays[name][np.flatnonzero(arrays["Y"] == 7)[0]] = value
    np.savez(path, **arrays)
    with pytest.raises(error, match=reason) as caught:
        parts_from_file(path, "gtzan")
    assert "\n" not in str(caught.value)


def test_numbers_that_mean_several_labels_are_one_clear_line(tmp_path: Path) -> None:
    path = gtzan_rows(tmp_path)
    arrays = dict(np.load(path).items())
    np.savez(path, **{**arrays, "Y": np.maximum(arrays["Y"], 1)})
    with pytest.raises(FeatureError, match="Y numbers several labels 1"):
        parts_from_file(path, "gtzan")
    np.savez(path, **{**arrays, "Y": np.eye(10)[arrays["Y"]]})
    with pytest.raises(FeatureError, match="one number a window"):
        parts_from_file(path, "gtzan")


def test_a_split_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="no official split"):
        parts_from_file(gtzan_rows(tmp_path), "gtzan:full", kind="official")


def test_rows_of_a_dataset_of_tags_take_them_from_its_annotations(tmp_path: Path) -> None:
    dataset = dataset_of("magnatagatune", tmp_path)
    names = [clip.id for clip in dataset.clips]
    path = tmp_path / "features.npz"
    np.savez(path, X=np.ones((len(names), 4)), Y=np.zeros(len(names), int), IDS=names)
    (parts,) = parts_from_file(path, "magnatagatune", tmp_path / "data")
    labels = {clip.id: clip.labels for clip in dataset.clips}
    for examples in parts_of(parts).values():
        for clip, row in zip(examples.ids, examples.targets, strict=True):
            assert tuple(np.array(examples.labels.names)[row == 1]) == labels[clip]


def test_the_real_features_of_gtzan_are_cut_as_published(shared_data: Path) -> None:
    (table,) = parts_from_file(shared_data / "gtzan" / "features_30_sec.csv", "gtzan")
    assert {name: len(part.ids) for name, part in parts_of(table).items()} == {
        "train": 443,
        "valid": 197,
        "test": 290,
    }
    assert table.train.shape == (57,)
    assert table.split.overlap.known_artists == 312
    (taggram,) = parts_from_file(shared_data / "gtzan" / "musicnn_msd_taggram_train.npz", "gtzan")
    assert taggram.valid is not None
    assert len(taggram.train.ids) + len(taggram.valid.ids) == 443
    assert len(taggram.train.windows) + len(taggram.valid.windows) == 12415
    assert not taggram.split.overlap.artists
