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
