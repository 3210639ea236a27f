"""FMA: two header rows, four sizes, top genres and the genre tree, known bad clips, 518 statistics."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from trees import fma_tree, write_rows

from genretag.datasets import fma, registry
from genretag.errors import DatasetError


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("2", "000/000002.mp3"),
        ("fma_small/000/000002.mp3", "000/000002.mp3"),
        ("Rock/098565.wav", "098/098565.mp3"),
        ("155320", "155/155320.mp3"),
        ("README.txt", None),
    ],
)
def test_a_track_is_known_however_its_number_is_written(name: str, clip: str | None) -> None:
    assert fma.clip_id(name) == clip


def test_small_has_its_top_genres_its_split_and_its_artists(tmp_path: Path) -> None:
    dataset = registry.load("fma", fma_tree(tmp_path))
    assert dataset.labels.names == ("Hip-Hop", "Rock")
    assert Counter(clip.split for clip in dataset.clips) == {"train": 4, "valid": 2, "test": 2}
    first = dataset.clips[0]
    assert (first.id, first.labels, first.artist, first.track) == ("000/000002.mp3", ("Hip-Hop",), "1", "2")
    assert dataset.excluded == (("098/098565.mp3", "its excerpt is cut short or holds no audio"),)
    assert dataset.artist_filtered


@pytest.mark.parametrize(
    ("name", "clips", "labels", "excluded"),
    [
        ("fma:medium", 9, ("Hip-Hop", "Jazz", "Rock"), 1),
        ("fma:large", 9, ("Hip-Hop", "Jazz", "Rock"), 2),
        ("fma:full", 10, ("Hip-Hop", "Jazz", "Rock"), 1),
        ("fma:small:multi", 8, ("Hip-Hop", "Punk", "Rock"), 1),
        ("fma:large:multi", 10, ("Hip-Hop", "Jazz", "Punk", "Rock"), 1),
    ],
)
def test_a_size_holds_the_smaller_ones(
    name: str, clips: int, labels: tuple[str, ...], excluded: int, tmp_path: Path
) -> None:
    dataset = registry.load(name, fma_tree(tmp_path))
    assert (len(dataset.clips), dataset.labels.names, len(dataset.excluded)) == (clips, labels, excluded)


def test_the_genre_tree_gives_a_track_its_parent_genres(tmp_path: Path) -> None:
    dataset = registry.load("fma:multi", fma_tree(tmp_path))
    assert {clip.id: clip.labels for clip in dataset.clips}["002/002001.mp3"] == ("Punk", "Rock")


def test_a_track_without_a_part_is_left_out(tmp_path: Path) -> None:
    path = fma_tree(tmp_path) / "fma_metadata" / "tracks.csv"
    path.write_text(path.read_text().replace("validation", "holdout", 1))
    assert ("001/001001.mp3", "tracks.csv gives it no part of the split") in registry.load(
        "fma", tmp_path
    ).excluded


def test_the_data_folder_may_be_the_audio_folder(tmp_path: Path) -> None:
    assert len(registry.load("fma", fma_tree(tmp_path) / "fma_small").clips) == 8


def test_no_audio_folder_of_that_size_is_one_line(tmp_path: Path) -> None:
    data = fma_tree(tmp_path)
    (data / "fma_medium").rename(data / "elsewhere")
    with pytest.raises(DatasetError, match="has no folder fma_medium; expected DIR/fma_metadata"):
        registry.load("fma:medium", data)


@pytest.mark.parametrize(
    ("table", "rows", "said"),
    [
        ("tracks.csv", [("track_id", "genre"), (2, "Rock")], r"has no column \(set, split\)"),
        ("genres.csv", [("id", "name"), (2, "Rock")], "must have the columns genre_id and title"),
    ],
)
def test_tables_in_another_layout_are_one_line(
    table: str, rows: list[tuple[object, ...]], said: str, tmp_path: Path
) -> None:
    data = fma_tree(tmp_path)
    write_rows(data / "fma_metadata" / table, rows)
    with pytest.raises(DatasetError, match=said):
        registry.load("fma:multi", data)


def test_a_cut_off_table_is_one_line(tmp_path: Path) -> None:
    path = fma_tree(tmp_path) / "fma_metadata" / "tracks.csv"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="track 3002 has 8 columns and not 9"):
        registry.load("fma", tmp_path)


def test_a_biography_of_any_length_is_read_over(tmp_path: Path) -> None:
    path = fma_tree(tmp_path) / "fma_metadata" / "tracks.csv"
    path.write_text(path.read_text().replace("an album", "an album " * 20_000))
    assert len(registry.load("fma", tmp_path).clips) == 8


def test_the_feature_table_has_three_header_rows(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "features.csv",
        [
            ("feature", "mfcc", "mfcc", "zcr"),
            ("statistics", "mean", "mean", "std"),
            ("number", "01", "02", "01"),
            ("track_id", "", "", ""),
            (2, -1.5, 0.25, 3e-3),
            (1001, 1, 2, 3),
        ],
    )
    table = fma.load_feature_table(path)
    assert table.names == ("mfcc_mean_01", "mfcc_mean_02", "zcr_std_01")
    assert table.ids == ("000/000002.mp3", "001/001001.mp3")
    assert table.X.tolist()[1] == [1, 2, 3]
    assert fma.load_feature_table(path, ids={"001/001001.mp3"}).ids == ("001/001001.mp3",)
    with pytest.raises(DatasetError, match="is no FMA feature table"):
        fma.load_feature_table(write_rows(tmp_path / "other.csv", [("track", "a"), (2, 1)]))


def test_the_real_names_and_genres_fit(shared_data: Path) -> None:
    with (shared_data / "fma" / "fma_small.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8000
    assert all(fma.clip_id(row["filename"]) == row["filename"] for row in rows)
    titles = fma._titles(shared_data / "fma" / "genres.csv")
    assert len(set(titles.values())) == len(titles) == 163
    assert {row["genre"] for row in rows} <= set(titles.values())
    damaged = {row["filename"] for row in rows} & {fma.clip_id(str(number)) for number in fma._DAMAGED}
    assert len(damaged) == 6
