"""Playlists: what players read, whatever files and genres are called."""

from __future__ import annotations

import os
from pathlib import Path

import av
import pytest
from mutagen.easyid3 import EasyID3

from genretag.errors import WriteError
from genretag.library.playlists import collect, left_over, write_playlists
from genretag.tagging import tags
from genretag.tagging.scan import Found, scan
from sounds import make_sound


def entries(path: Path) -> list[str]:
    """What a player finds: lines that are no comments, trimmed, from the playlist's folder."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def song(path: Path, *genres: str, seconds: float = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    make_sound(path, seconds)
    if genres:
        tags.write(path, genres)
    return path


def test_one_playlist_for_each_genre_with_relative_paths(tmp_path: Path) -> None:
    music = tmp_path / "music"
    one = song(music / "A" / "one.mp3", "Rock", "hip hop")
    tagged = EasyID3(one)
    tagged["artist"], tagged["title"] = "Ära", "Eins\nund zwei"
    tagged.save()
    song(music / "A" / "two.flac", "Hip-Hop", "hiphop")
    song(music / "none.flac")
    out = music / "lists"
    made = list(write_playlists(collect(scan([music])), out))
    assert [(one.genre, one.path.name, one.tracks) for one in made] == [
        ("Hip-Hop", "Hip-Hop.m3u8", 2),
        ("Rock", "Rock.m3u8", 1),
    ]
    assert (out / "Hip-Hop.m3u8").read_bytes().decode() == (
        "#EXTM3U\n#PLAYLIST:Hip-Hop\n# made by genretag\n"
        "#EXTINF:2,Ära - Eins und zwei\n../A/one.mp3\n"
        "#EXTINF:2,two\n../A/two.flac\n"
    )
    before = {path: path.read_bytes() for path in out.iterdir()}
    list(write_playlists(collect(scan([music])), out))
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert [one.genre for one in write_playlists(collect(scan([music])), out, least=2)] == ["Hip-Hop"]
    list(write_playlists(collect(scan([one])), tmp_path / "far", absolute=True))
    assert entries(tmp_path / "far" / "Hip-Hop.m3u8") == [str(one)]


@pytest.mark.parametrize(
    "name", ["#1 hit.flac", " led by a space.flac", "http: not.flac", "C#.flac", "日本語 ü.flac", "100%.flac"]
)
def test_a_player_finds_files_of_any_name(tmp_path: Path, name: str) -> None:
    song(tmp_path / name, "Rock")
    (made,) = write_playlists(collect(scan([tmp_path])), tmp_path)
    (entry,) = entries(made.path)
    with av.open(str(tmp_path / entry)) as container:
        assert container.streams.audio


def test_names_that_no_playlist_can_hold_are_told(tmp_path: Path) -> None:
    names = ("a\nb.flac", "a\rb.flac", os.fsdecode(b"\xe9.flac"), "a\u2028b.flac", "good.flac")
    for name in names:
        song(tmp_path / name, "Rock")
    collected = collect(scan([tmp_path]))
    assert {path.name for path in collected.unlisted} == set(names[:4])
    (made,) = write_playlists(collected, tmp_path)
    assert entries(made.path) == ["good.flac"]


def test_genres_become_names_that_every_file_system_takes(tmp_path: Path) -> None:
    genres = ("Rock/Pop", "Rock:Pop", "rock?pop", "AUX", "...", ".hidden", "X" * 300, "new\nline", "\x9b31m")
    song(tmp_path / "a.flac", *genres)
    made = list(write_playlists(collect(scan([tmp_path])), tmp_path / "out"))
    assert {one.genre: one.path.stem for one in made} == {
        "Rock/Pop": "Rock-Pop",
        "Rock:Pop": "Rock-Pop (2)",
        "rock?pop": "rock-pop (3)",
        "AUX": "_AUX",
        "...": "-",
        ".hidden": "_.hidden",
        "X" * 300: "X" * 100,
        "new line": "new line",
        "\x9b31m": "-31m",
    }
    assert all(one.path.is_file() for one in made)


def test_joined_genres_are_listed_one_by_one(tmp_path: Path) -> None:
    song(tmp_path / "a.flac", "Rock; hip hop", "AC/DC, R&B")
    song(tmp_path / "b.flac", "Hip-Hop;Rock")
    made = write_playlists(collect(scan([tmp_path])), tmp_path / "out")
    assert {one.genre: one.tracks for one in made} == {"AC/DC, R&B": 1, "Hip-Hop": 2, "Rock": 2}


def test_a_playlist_of_somebody_else_stays(tmp_path: Path) -> None:
    song(tmp_path / "a.flac", "Rock")
    own = tmp_path / "Rock.m3u8"
    own.write_text("#EXTM3U\nmy favourite.mp3\n")
    with pytest.raises(WriteError, match="was not made by genretag; move it away"):
        list(write_playlists(collect(scan([tmp_path])), tmp_path))
    assert own.read_text() == "#EXTM3U\nmy favourite.mp3\n"


def test_a_playlist_without_tracks_is_told(tmp_path: Path) -> None:
    track = song(tmp_path / "a.flac", "Rock")
    list(write_playlists(collect(scan([tmp_path])), tmp_path))
    (tmp_path / "own.m3u8").write_text("#EXTM3U\n")
    tags.write(track, ["Jazz"])
    made = [one.path for one in write_playlists(collect(scan([tmp_path])), tmp_path)]
    assert [path.name for path in left_over(tmp_path, made)] == ["Rock.m3u8"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.flac").write_bytes(b"fLaC" + bytes(40))
    collected = collect([*scan([tmp_path]), Found(tmp_path / "gone.mp3")])
    assert len(collected.errors) == 2
    assert not list(write_playlists(collected, tmp_path))
