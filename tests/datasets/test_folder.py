"""Music of one's own: a folder per genre, CSV and JSONL lists, artists, and what cannot be meant."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from trees import folder_tree, sound, write_rows

from genretag.datasets import registry
from genretag.errors import DatasetError

HEADER = ("path", "label", "artist", "split")


def songs(root: Path, count: int) -> list[str]:
    return [sound(root / f"{number}.wav").name for number in range(count)]


def test_the_folder_names_the_genre_however_deep_the_song_lies(tmp_path: Path) -> None:
    dataset = registry.load("folder", folder_tree(tmp_path))
    assert dataset.labels.names == ("Jazz", "Trip Hop")
    assert dataset.labels.genre("Trip Hop") == "Trip-Hop"
    clip = dataset.clips[0]
    assert (clip.id, clip.labels, clip.artist) == ("Jazz/an album/song 0.wav", ("Jazz",), "Jazz artist 0")
    assert (clip.track, clip.split, clip.path) == (clip.id, None, tmp_path / clip.id)
    assert len(dataset.clips) == 8
    assert dataset.official is None


def test_artists_may_be_named_without_the_suffix(tmp_path: Path) -> None:
    data = folder_tree(tmp_path)
    (data / "artists.csv").unlink()
    (data / "artists.json").write_text(json.dumps({"Jazz/an album/song 1": "Nina"}))
    assert [clip.artist for clip in registry.load("folder", data).clips][:3] == [None, "Nina", None]


def test_a_name_that_is_not_utf8_is_a_clip_like_any_other(tmp_path: Path) -> None:
    for genre in ("Pop", "Rock"):
        (tmp_path / genre).mkdir()
        sound(tmp_path / genre / os.fsdecode(b"caf\xe9.wav"))
    clips = registry.load("folder", tmp_path).clips
    assert [os.fsencode(clip.id) for clip in clips] == [b"Pop/caf\xe9.wav", b"Rock/caf\xe9.wav"]


def test_features_of_a_folder_need_no_folder(tmp_path: Path) -> None:
    dataset = registry.load("folder", None, ids=["Pop/a.wav", "Rock/b.wav", "Pop/a.wav"])
    assert [(clip.id, clip.labels, clip.path) for clip in dataset.clips] == [
        ("Pop/a.wav", ("Pop",), None),
        ("Rock/b.wav", ("Rock",), None),
    ]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_list_names_label_artist_and_split(form: str, tmp_path: Path) -> None:
    names = songs(tmp_path, 3)
    rows = [
        (names[0], "Pop", "Ann", "training"),
        (names[1], "Rock", "", "val"),
        (names[2], "Pop", "Cid", "test"),
    ]
    path = tmp_path / f"list.{form}"
    if form == "csv":
        write_rows(path, [HEADER, *rows])
    else:
        path.write_text("".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in rows))
    dataset = registry.load("folder", path)
    assert [(clip.id, clip.labels, clip.artist, clip.split) for clip in dataset.clips] == [
        (names[0], ("Pop",), "Ann", "train"),
        (names[1], ("Rock",), None, "valid"),
        (names[2], ("Pop",), "Cid", "test"),
    ]
    assert dataset.official == "listed"
    assert dataset.labels.kind == "single"
    assert registry.verify("folder", path) == []


def test_several_labels_make_the_task_multi(tmp_path: Path) -> None:
    names = songs(tmp_path, 2)
    path = write_rows(
        tmp_path / "list.csv", [("filename", "genres"), (names[0], "Pop| Rock"), (names[1], "Rock")]
    )
    dataset = registry.load("folder", path)
    assert dataset.labels.kind == "multi"
    assert [clip.labels for clip in dataset.clips] == [("Pop", "Rock"), ("Rock",)]
    with pytest.raises(DatasetError, match="several labels to a clip"):
        registry.load("folder:single", path)
    lines = [{"path": names[0], "label": ["Pop", "Rock"]}, {"path": names[1], "label": "Rock"}]
    path = tmp_path / "list.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    assert registry.load("folder", path).clips[0].labels == ("Pop", "Rock")


def test_a_list_may_name_files_that_lie_elsewhere(tmp_path: Path) -> None:
    music, lists = tmp_path / "music", tmp_path / "lists"
    names = [str(sound(music / "a.wav")), "../music/b.wav"]
    sound(music / "b.wav")
    path = write_rows(lists / "list.csv", [HEADER[:2], (names[0], "Pop"), (names[1], "Rock")])
    paths = [clip.path for clip in registry.load("folder", path).clips]
    assert [found and found.resolve() for found in paths] == [music / "b.wav", music / "a.wav"]


def test_clips_of_one_track_share_it(tmp_path: Path) -> None:
    names = songs(tmp_path, 2)
    rows = [("path", "label", "track"), *((name, "Pop", "song 1") for name in names)]
    assert {clip.track for clip in registry.load("folder", write_rows(tmp_path / "l.csv", rows)).clips} == {
        "song 1"
    }


def test_listed_files_that_are_not_here_are_told(tmp_path: Path) -> None:
    rows = [HEADER[:2], *((name, "Pop") for name in [*songs(tmp_path, 2), "gone.wav"])]
    path = write_rows(tmp_path / "list.csv", rows)
    assert "1 of 3 clips are not here" in registry.load("folder", path).notes
    assert [(found.what, found.path) for found in registry.verify("folder", path)] == [
        ("missing", tmp_path / "gone.wav")
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("song", "label"), ("0.wav", "Pop")], "must name the columns path,label"),
        ([HEADER, ("0.wav", "", "", "")], "entry 1 must have a path and a label"),
        ([HEADER, ("0.wav", "Pop", "", "tset")], "split must be train, valid or test and not 'tset'"),
        ([HEADER, ("0.wav", "Pop", "", "train"), ("1.wav", "Pop")], "1.wav has no split, others have one"),
        ([HEADER, ("0.wav", "Pop"), ("0.wav", "Rock")], "0.wav is listed twice"),
        ([HEADER], "holds no clip|has no folder with audio"),
        ([], "must name the columns path,label"),
    ],
)
def test_a_bad_list_is_one_line(rows: list[tuple[str, ...]], said: str, tmp_path: Path) -> None:
    songs(tmp_path, 2)
    with pytest.raises(DatasetError, match=said) as error:
        registry.load("folder", write_rows(tmp_path / "list.csv", rows))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"), [("{oops", "line 1 is no JSON"), ('["a"]', "line 1 must be an object")]
)
def test_bad_json_lines_are_one_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text(text + "\n")
    with pytest.raises(DatasetError, match=said):
        registry.load("folder", tmp_path / "list.jsonl")
