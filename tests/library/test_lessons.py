"""Which genres a person's folders and tags teach, and with which files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from foreign_tags import tag
from genretag.errors import TrainingError
from genretag.journal import Journal
from genretag.library.lessons import Labelled, Library, as_clips, choose, read_library
from genretag.store import Store
from sounds import make_sound
from writing import write_genres


def library(*genres: tuple[str, ...], folders: int = 1) -> Library:
    """A library that was read already: one file for each of these genres."""
    files = tuple(
        Labelled(f"{number % folders}/{number}", Path(f"/m/{number % folders}/{number}.mp3"), some)
        for number, some in enumerate(genres)
    )
    return Library(Path("/m"), "tags", files, 0, 0, ())


def taught(path: Path, *genres: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    make_sound(path, 1.0)
    if genres:
        tag(path, list(genres))
    return path


def test_spellings_of_a_genre_are_one() -> None:
    found = choose(
        library(*[("hip hop",)] * 2, *[("HipHop",)] * 2, *[("My  mood",)] * 3, *[("my mood",)] * 2),
        min_files=4,
    )
    assert {file.genres for file in found.files} == {("Hip-Hop",), ("My mood",)}
    assert len(found.files) == 9


@pytest.mark.parametrize(
    ("multi", "expected"), [(False, {"Jazz": 4, "Rock": 3}), (True, {"Jazz": 4, "Rock": 7})]
)
def test_the_first_of_several_genres_counts_or_all_do(multi: bool, expected: dict[str, int]) -> None:
    found = choose(library(*[("Jazz", "Rock")] * 4, *[("Rock",)] * 3, ("Polka",)), multi=multi, min_files=3)
    counts = {genre: sum(genre in file.genres for file in found.files) for genre in expected}
    assert counts == expected
    assert found.few == {"Polka": 1}
    assert not any("Polka" in file.genres for file in found.files)


def test_many_files_are_drawn_from_all_folders() -> None:
    several = library(*[("Jazz",)] * 40, *[("Rock",)] * 5, folders=8)
    found = choose(several, most_files=8)
    jazz = [file for file in found.files if file.genres == ("Jazz",)]
    assert {file.path.parent.name for file in jazz} == set("01234567")
    assert found.more == {"Jazz": 32}
    assert choose(several, most_files=8) == found


def test_more_genres_get_fewer_files_each() -> None:
    genres = [(f"Genre {number % 40}",) for number in range(40 * 100)]
    assert len(choose(library(*genres)).files) == 1200


@pytest.mark.parametrize(
    ("genres", "message"),
    [
        ([("Jazz",)] * 9, "two genres need 5 files each; its tags have Jazz 9; add files$"),
        ([("Jazz",)] * 9 + [("Rock",)] * 3, "its tags have Jazz 9, Rock 3; add files, or say --min-files 3$"),
        ([], "its tags name no genre; put files into a folder per genre"),
        (
            [("Jazz",)] * 9 + [("a\x1bb",)] * 9,
            r"^/m: the genre 'a\\x1bb' holds a control character; correct its tags$",
        ),
    ],
)
def test_too_little_is_refused(genres: list[tuple[str, ...]], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        choose(library(*genres))


def test_folders_called_like_genres_are_taken_before_tags(tmp_path: Path) -> None:
    for name in ("Jazz", "rock"):
        taught(tmp_path / name / "Artist" / "song.mp3", "Polka")
    taught(tmp_path / "beside.mp3", "Polka")
    taught(tmp_path / "Ann" / "song.mp3", "Ska", "Pop")
    taught(tmp_path / "untagged.mp3")
    found = read_library(tmp_path, None)
    # Each file by itself: the folder if that is a genre, else the tag.
    assert (found.source, found.unlabelled) == ("both", 1)
    assert {file.id: (file.genres, file.source) for file in found.files} == {
        "Ann/song.mp3": (("Ska", "Pop"), "tag"),
        "Jazz/Artist/song.mp3": (("Jazz",), "folder"),
        "beside.mp3": (("Polka",), "tag"),
        "rock/Artist/song.mp3": (("rock",), "folder"),
    }
    assert read_library(tmp_path, "folders").source == "folders"
    assert {file.genres for file in read_library(tmp_path, "tags").files} == {
        ("Polka",),
        ("Ska", "Pop"),
    }


def test_folders_called_like_artists_are_not(tmp_path: Path) -> None:
    taught(tmp_path / "Ann" / "a.mp3", "Jazz")
    taught(tmp_path / "Bob" / "b.mp3", "Rock", "Pop")
    assert [file.genres for file in read_library(tmp_path, None).files] == [("Jazz",), ("Rock", "Pop")]
    # Without tags there is nothing else.
    for name in ("Ann", "Bob"):
        taught(tmp_path / "bare" / name / "c.mp3")
    assert read_library(tmp_path / "bare", None).source == "folders"


def test_what_genretag_wrote_teaches_nothing(tmp_path: Path) -> None:
    ours, changed, theirs = (taught(tmp_path / "x" / f"{name}.mp3", "Jazz") for name in "abc")
    with Store.open() as store:
        journal = Journal(store)
        with journal.run("tag", "auto") as run:
            write_genres(journal, run, ours, ("Rock",))
            write_genres(journal, run, changed, ("Rock",))
        tag(changed, ["Blues"])
        found = read_library(tmp_path, "tags", journal)
        joined = read_library(taught(tmp_path / "y" / "d.mp3", "Jazz; Funk", "Soul").parent, "tags", journal)
    assert [file.genres for file in joined.files] == [("Jazz", "Funk", "Soul")]
    assert (found.ours, found.unlabelled) == (1, 0)
    assert {file.path.name: file.genres for file in found.files} == {"b.mp3": ("Blues",), "c.mp3": ("Jazz",)}
    assert theirs.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names as text")
def test_a_folder_with_a_name_of_old_is_read_as_it_was_meant(tmp_path: Path) -> None:
    for name in (b"Vari\xe9t\xe9", "Variété".encode()):
        taught(tmp_path / os.fsdecode(name) / "song.mp3")
    assert [file.genres for file in read_library(tmp_path, "folders").files] == [("Variété",)] * 2


def test_links_are_followed_and_broken_files_named(tmp_path: Path) -> None:
    song = taught(tmp_path / "far away" / "song.mp3", "Jazz")
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons" / "link.mp3").symlink_to(song)
    (tmp_path / "lessons" / "text.mp3").write_text("this is no music\n" * 100)
    found = read_library(tmp_path / "lessons", None)
    assert [file.genres for file in found.files] == [("Jazz",)]
    assert [failure.code for failure in found.failures] == ["bad-tags"]


def test_artist_and_album_come_from_the_tags_or_a_list(tmp_path: Path) -> None:
    tagged, listed = (taught(tmp_path / "Jazz" / f"{name}.flac") for name in ("tagged", "listed"))
    import mutagen

    file = mutagen.File(tagged)
    file["ARTIST"], file["ALBUM"] = "Ann  B", "First"
    file.save()
    (tmp_path / "artists.csv").write_text("id,artist\nJazz/listed,Bob\n")
    clips = as_clips(tmp_path, read_library(tmp_path, "folders").files)
    found = {clip.id: (clip.artist, clip.track) for clip in clips}
    assert found["Jazz/tagged.flac"] == ("ann b", f"{tagged.parent}/First")
    assert found["Jazz/listed.flac"] == ("bob", "Jazz/listed.flac")
    assert listed.exists()
