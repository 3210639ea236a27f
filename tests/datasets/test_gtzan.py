"""GTZAN: the filtered lists, artists beside the data, partial and faulty copies, feature tables."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from trees import gtzan_tree, sound, write_rows

from genretag.datasets import gtzan, registry
from genretag.errors import DatasetError


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("blues/blues.00029.au", "blues/blues.00029.au"),
        ("rock.00001.mp3", "rock/rock.00001.au"),
        ("/data/genres_original/hiphop/hiphop.00099.wav", "hiphop/hiphop.00099.au"),
        ("jazz.00054", "jazz/jazz.00054.au"),
        ("polka.00001.wav", None),
        ("rock.00100.wav", None),
        ("rock.00001.part.wav", None),
    ],
)
def test_a_clip_is_known_under_any_folder_and_format(name: str, clip: str | None) -> None:
    assert gtzan.clip_id(name) == clip


def test_filtered_lists_agree_with_the_published_split(shared_data: Path) -> None:
    document = json.loads(gzip.decompress((shared_data / "gtzan" / "split_filtered.json.gz").read_bytes()))
    published = {gtzan.clip_id(clip["extra"]["id"]): clip["split"] for clip in document.values()}
    split = gtzan.filtered_split()
    assert split == published
    assert Counter(split.values()) == {"train": 443, "valid": 197, "test": 290}


def test_a_partial_copy_says_what_is_not_here(tmp_path: Path) -> None:
    dataset = registry.load("gtzan", gtzan_tree(tmp_path))
    assert dataset.labels.names == ("blues", "jazz", "rock")
    assert dataset.labels.genre("jazz") == "Jazz"
    assert len(dataset.clips) == 18
    assert dataset.notes[0] == "912 of 930 clips are not here (train 437, valid 191, test 284)"
    # All hundred clips of blues and of rock are in the lists.
    assert [clip.split("/")[0] for clip, _ in dataset.excluded] == ["jazz"]
    assert "fault-filtered" in dataset.excluded[0][1]
    everything = registry.load("gtzan:full", tmp_path)
    assert len(everything.clips) == 19
    assert everything.official is None


@pytest.mark.parametrize("place", ["genres", "genres_original", "."])
def test_the_data_folder_may_be_the_parent_or_the_folder_of_genres(place: str, tmp_path: Path) -> None:
    for genre in ("pop", "metal"):
        sound(tmp_path / place / genre / f"{genre}.00000.wav")
    assert len(registry.load("gtzan:full", tmp_path).clips) == 2
    assert len(registry.load("gtzan:full", tmp_path / place).clips) == 2


@pytest.mark.parametrize("below", [".", "genres"])
@pytest.mark.parametrize("form", ["json", "csv"])
def test_artists_beside_the_data_are_read(form: str, below: str, tmp_path: Path) -> None:
    data = gtzan_tree(tmp_path)
    known = {Path(clip.id).stem: f"artist of {clip.id}" for clip in registry.load("gtzan", data).clips[1:]}
    if form == "json":
        (data / below / "artists.json").write_text(json.dumps(known))
    else:
        write_rows(data / below / "artists.csv", [("id", "artist"), *known.items()])
    dataset = registry.load("gtzan", data / "genres")
    assert [clip.artist for clip in dataset.clips] == [None, *known.values()]
    assert dataset.notes[-1] == "the artist of 1 of 18 clips is not known"


@pytest.mark.parametrize(
    ("name", "text"), [("artists.json", "[1, 2]"), ("artists.json", "{"), ("artists.csv", "one")]
)
def test_bad_artists_are_one_line(name: str, text: str, tmp_path: Path) -> None:
    data = gtzan_tree(tmp_path)
    (data / name).write_text(text)
    with pytest.raises(DatasetError, match=name) as error:
        registry.load("gtzan", data)
    assert "\n" not in str(error.value)


def test_the_clip_that_is_damaged_in_some_copies_is_kept_where_it_opens(tmp_path: Path) -> None:
    data = gtzan_tree(tmp_path)
    suspect = sound(data / "genres" / "jazz" / "jazz.00054.wav")
    assert "jazz/jazz.00054.au" in {clip.id for clip in registry.load("gtzan", data).clips}
    suspect.write_bytes(b"\x00" * 4096)
    for variant in ("filtered", "full"):
        dataset = registry.load("gtzan", data, variant=variant)
        assert ("jazz/jazz.00054.au", "does not open, as in the popular copy") in dataset.excluded
        assert "jazz/jazz.00054.au" not in {clip.id for clip in dataset.clips}


def test_features_of_all_clips_give_the_ten_genre_split_without_any_data(shared_data: Path) -> None:
    table = gtzan.load_feature_table(shared_data / "gtzan" / "features_30_sec.csv")
    assert table.X.shape == (1000, 57)
    assert table.X.dtype == "float32"
    assert (table.names[0], table.names[-1]) == ("chroma_stft_mean", "mfcc20_var")
    dataset = registry.load("gtzan", None, ids=table.ids)
    assert Counter(clip.split for clip in dataset.clips) == {"train": 443, "valid": 197, "test": 290}
    assert len(dataset.excluded) == 70
    assert registry.load("gtzan", None, ids=["rock.00001.wav"]).named == {
        "rock.00001.wav": "rock/rock.00001.au"
    }
    assert len(dataset.labels) == 10


def test_the_shared_copy_is_the_train_and_valid_part_of_three_genres(shared_data: Path) -> None:
    dataset = registry.load("gtzan", shared_data / "gtzan")
    assert Counter((clip.labels[0], clip.split) for clip in dataset.clips) == {
        ("rock", "train"): 44,
        ("rock", "valid"): 24,
        ("jazz", "train"): 42,
        ("jazz", "valid"): 17,
        ("classical", "train"): 48,
        ("classical", "valid"): 20,
    }


def test_segments_of_three_seconds_are_rows_of_their_clip(tmp_path: Path) -> None:
    rows = [(f"blues.00007.{number}.wav", 66149, number / 4, 1.5, "blues") for number in range(3)]
    table = gtzan.load_feature_table(
        write_rows(tmp_path / "features_3_sec.csv", [("filename", "length", "a", "b", "label"), *rows])
    )
    assert table.ids == ("blues/blues.00007.au",) * 3
    assert table.X.tolist() == [[0, 1.5], [0.25, 1.5], [0.5, 1.5]]


@pytest.mark.parametrize(
    "rows",
    [
        [("name", "a", "label"), ("blues.00007.wav", 1, "blues")],
        [("filename", "length", "a", "label"), ("blues.00007.wav", 1, "x", "blues")],
        [("filename", "length", "a", "label"), ("blues.00007.wav", 1, "blues")],
        [("filename", "length", "a", "label")],
        [],
    ],
)
def test_a_bad_feature_table_is_one_line(rows: list[tuple[object, ...]], tmp_path: Path) -> None:
    path = write_rows(tmp_path / "features.csv", rows)
    with pytest.raises(DatasetError, match="features"):
        gtzan.load_feature_table(path)
