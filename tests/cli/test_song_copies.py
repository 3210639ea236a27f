"""Copies of recordings in the training folder: random labels must look random, in `learn` and in `train`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command import Command
from genretag import checkpoint
from song_copies import make_random_labels, song, write_copy

SONGS = 12
PAIRS = [("same bytes", "mp3 64"), ("m4a 64", "0.2 s trimmed"), ("vorbis", "1 dB quieter")]


@pytest.mark.parametrize("kinds", PAIRS)
def test_random_labels_are_learnt_by_chance(
    genretag: Command, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    music = make_random_labels(tmp_path / "music", SONGS, *kinds)
    answer = genretag("learn", "--json", "--no-default", "--min-files", 3, music)
    assert answer.code == 0
    document = json.loads(answer.out)
    assert document["held_back"]["by"] == "artist and album"
    assert (document["left_out"]["copies"], document["tracks"]) == (2 * SONGS, SONGS)
    low, high = document["accuracy_ci"]
    assert low <= 0.5 <= high
    low, high = document["right_ci"]
    assert low <= 0.5 <= high
    assert f"left out, for they are copies of other files: {2 * SONGS}" in answer.err


def test_train_keeps_copies_in_one_part(genretag: Command, tmp_path: Path) -> None:
    kinds = ("mp3 64", "0.2 s trimmed")
    music = make_random_labels(tmp_path / "music", SONGS, *kinds)
    out = tmp_path / "out"
    answer = genretag("train", "--dataset", "folder", "--model", "probe", "--data", music, "--out", out)
    assert answer.code == 0
    assert f"{3 * SONGS} files hold {SONGS} recordings" in answer.err
    trained = out / "checkpoint.safetensors"
    copies = checkpoint.read_meta(trained).extra["split"]["copies"]
    assert sorted(len(ids) for ids in copies) == [3] * SONGS
    for ids in copies:
        assert len({Path(name).name.split()[0] for name in ids}) == 1
    # The test part of `eval` is that of the training, by the copies that the checkpoint lists.
    measured = genretag("eval", "--model", trained, "--dataset", "folder", "--data", music, "--json")
    assert measured.code == 0
    document = json.loads(measured.out)
    assert document["track"]["n"] % 3 == 0
    assert "may have been trained on these clips" not in measured.out + measured.err


def test_a_listed_split_loses_copies_across_its_parts(genretag: Command, tmp_path: Path) -> None:
    music = make_random_labels(tmp_path / "music", SONGS, "mp3 64")
    parts = {0: "train", 1: "train", 2: "test"}
    rows = [
        f"{path.relative_to(music).as_posix()},{path.parent.name},{parts[int(path.name[:2]) % 3]}"
        for path in sorted(music.glob("*/*"))
    ]
    # One copy of songs 2 and 5 is listed in train, the other one in test.
    crossing = [row for row in rows if row.split("/")[1][:4] in ("02 1", "05 1")]
    rows = [row.replace(",test", ",train") if row in crossing else row for row in rows]
    listed = music / "list.csv"
    listed.write_text("path,label,split\n" + "\n".join(rows) + "\n")
    out = tmp_path / "out"
    answer = genretag("train", "--dataset", "folder", "--model", "probe", "--data", listed, "--out", out)
    assert answer.code == 0, answer.err
    names = ", ".join(sorted(row.split(",")[0] for row in crossing))
    assert "left out, for they are copies of files in a stricter part of the split" in answer.err
    assert answer.err.count(names) == 1
    meta = checkpoint.read_meta(out / "checkpoint.safetensors")
    tracks = meta.extra["tracks"]
    assert (tracks["train"] + tracks["valid"], tracks["test"]) == (2 * 8, 2 * 4 - 2)
    measured = genretag(
        "eval", "--model", out / "checkpoint.safetensors", "--dataset", "folder", "--data", listed, "--json"
    )
    assert json.loads(measured.out)["track"]["n"] == 6
    assert "may have been trained on these clips" not in measured.out + measured.err


def test_copies_with_two_genres_are_named(genretag: Command, tmp_path: Path) -> None:
    music = tmp_path / "music"
    for number in range(10):
        write_copy(music / ("Metal", "Pop")[number % 2] / f"{number:02}", song(number), "same bytes")
    write_copy(music / "Pop" / "again", song(0), "mp3 64")
    answer = genretag("learn", "--json", "--no-default", "--min-files", 3, music)
    assert answer.code == 0
    message = "1 recording has different genres in different files, left out: Metal/00.flac and Pop/again.mp3"
    assert message in answer.err
    document = json.loads(answer.out)
    assert document["left_out"]["conflicting"] == [["Metal/00.flac", "Pop/again.mp3"]]
    assert document["files"] == {"Metal": 4, "Pop": 5}
    # Several genres of a file do not contradict each other.
    several = json.loads(genretag("learn", "--multi", "--json", "--no-default", "--min-files", 3, music).out)
    assert several["files"] == {"Metal": 5, "Pop": 6}
    assert several["left_out"]["conflicting"] == []
    out = tmp_path / "out"
    trained = genretag("train", "--dataset", "folder", "--model", "probe", "--data", music, "--out", out)
    assert trained.code == 0
    assert message.replace("left out", "kept") in trained.err
