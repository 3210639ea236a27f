"""Spelling of genres: the table is whole, and names come out as people write them."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import pytest
from mutagen.id3 import TCON

from genretag import labels
from genretag.errors import CheckpointError
from genretag.labels import (
    LabelSet,
    akin,
    canonical,
    families,
    genre_labels,
    id3v1_genre,
    lookup,
    parents,
    split_genres,
    tag_labels,
)

TABLE = Path(labels.__file__).with_name("genres.toml")
GENRES = tomllib.loads(TABLE.read_text(encoding="utf-8"))["genres"]


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("hip hop", "Hip-Hop"),
        ("hiphop", "Hip-Hop"),
        ("HIP-HOP", "Hip-Hop"),
        ("rnb", "R&B"),
        ("R & B", "R&B"),
        ("R'n'B", "R&B"),
        ("rhythm and blues", "R&B"),
        ("drum n bass", "Drum & Bass"),
        ("Rock 'n' Roll", "Rock & Roll"),
        ("Progressive rock", "Progressive Rock"),
        ("classic", "Classical"),
        ("chill-out", "Chillout"),
        ("musique concrete", "Musique Concrète"),
        ("JPop", "J-Pop"),
        ("Alt. Rock", "Alternative Rock"),
    ],
)
def test_names_come_out_as_people_write_them(name: str, spelling: str) -> None:
    assert canonical(name) == spelling


def test_unknown_names_keep_their_case() -> None:
    assert canonical("  my  Own   genre ") == "my Own genre"
    assert canonical("???") == "???"
    assert lookup("") is None


@pytest.mark.parametrize(
    ("values", "separator", "expected"),
    [
        ([], None, ()),
        (["Rock; Pop", "Pop ;rock;", " ; "], None, ("Rock", "Pop", "rock")),
        (["AC/DC", "R&B & Soul", "Rock, Pop"], None, ("AC/DC", "R&B & Soul", "Rock, Pop")),
        (["AC/DC / Rock;Pop"], " / ", ("AC/DC", "Rock", "Pop")),
        (["AC/DC / Rock"], "/", ("AC", "DC", "Rock")),
        (["Rock, Pop"], "", ("Rock, Pop",)),
        (["1a;b2"], "a;b", ("1", "2")),
    ],
)
def test_values_are_split_at_semicolons_and_the_separator(
    values: list[str], separator: str | None, expected: tuple[str, ...]
) -> None:
    assert split_genres(values, separator) == expected


def test_no_known_genre_is_split() -> None:
    assert split_genres(GENRES) == tuple(GENRES)


def test_canonical_names_stay_as_they_are() -> None:
    assert [name for name in GENRES if canonical(name) != name] == []


def test_no_spelling_means_two_genres() -> None:
    owners: dict[str, str] = {}
    for name, row in GENRES.items():
        for spelling in (name, *row.get("aliases", ())):
            key = labels._key(spelling)
            assert key, spelling
            assert key not in owners, f"{spelling} of {name} is already {owners.get(key)}"
            owners[key] = name


def test_parents_exist_and_never_go_round() -> None:
    assert {row["parent"] for row in GENRES.values() if "parent" in row} <= set(GENRES)
    for name in GENRES:
        chain = parents(name)
        assert name not in chain
        assert len(set(chain)) == len(chain)
    assert parents("drum and bass") == ("Electronic",)
    assert parents("Heavy Metal") == ("Metal",)
    assert parents("Pop Punk") == ("Punk", "Rock")
    assert parents("no such genre") == ()


def test_every_number_of_id3v1_is_known() -> None:
    for number, name in enumerate(TCON.GENRES):
        genre = lookup(name)
        assert genre is not None, name
        assert (genre.id3v1, id3v1_genre(number)) == (number, genre.name)
    assert id3v1_genre(255) is None


def test_genres_of_datasets_are_known(shared_data: Path) -> None:
    with (shared_data / "fma" / "genres.csv").open(encoding="utf-8", newline="") as file:
        titles = [row["title"] for row in csv.DictReader(file)]
    gtzan = ["blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock"]
    assert [title for title in titles + gtzan if lookup(title) is None] == []


def test_genre_labels_are_all_genres() -> None:
    found = genre_labels(["hiphop", "Zeuhl"], "single")
    assert found.genre("hiphop") == "Hip-Hop"
    assert found.genre("Zeuhl") == "Zeuhl"


def test_only_listed_tags_are_genres() -> None:
    found = tag_labels(["House", "instrumental", "happy"], ["House"])
    assert found.kind == "multi"
    assert found.genre("House") == "House"
    assert found.genre("instrumental") is None
    assert len(found) == 3


def test_label_set_survives_json() -> None:
    found = tag_labels(["b", "Jazz", "a"], ["Jazz"])
    assert LabelSet.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"names": ["a"], "kind": "multi"},
        {"names": ["a"], "kind": "many", "genres": {}},
        {"names": ["a", 1], "kind": "multi", "genres": {}},
        {"names": ["a"], "kind": "multi", "genres": {"a": None}},
        {"names": ["a"], "kind": "multi", "genres": {}, "more": 1},
        {"names": ["a", "a"], "kind": "multi", "genres": {}},
        {"names": [], "kind": "multi", "genres": {}},
        {"names": ["a"], "kind": "multi", "genres": {"b": "B"}},
    ],
)
def test_odd_label_sets_are_refused(document: object) -> None:
    with pytest.raises(CheckpointError):
        LabelSet.from_dict(document)


def test_labels_and_genres_hold_nothing_that_a_terminal_obeys() -> None:
    for names, genres in ((["a\n"], {}), (["a"], {"a": "\x1b[2J"}), (["\x9b"], {})):
        with pytest.raises(CheckpointError, match=r"labels: '.*' holds a control character"):
            LabelSet(tuple(names), "multi", genres)


def test_a_set_of_two_levels_keeps_its_broad_labels() -> None:
    labels = LabelSet(("a/rock", "rock"), "multi", {"a/rock": "Rock", "rock": "Rock"}, broad=("a/rock",))
    assert LabelSet.from_dict(labels.to_dict()) == labels
    assert "broad" not in LabelSet(("rock",), "single", {}).to_dict()
    with pytest.raises(CheckpointError, match="'sad' is broad but has no genre"):
        LabelSet(("sad",), "multi", {}, broad=("sad",))
    with pytest.raises(CheckpointError, match="with or without broad"):
        LabelSet.from_dict({"names": ["a"], "kind": "multi", "genres": {}, "broad": [3]})


def test_what_stands_beside_the_broad_labels() -> None:
    names = ("genre/rock", "rock", "punk", "electronic", "house", "sad")
    genres = {
        "genre/rock": "Rock",
        "rock": "Rock",
        "punk": "Punk",
        "electronic": "Electronic",
        "house": "House",
    }
    assert LabelSet(names, "multi", genres, broad=("genre/rock",)).beside_broad() == ("electronic",)


def test_vetoes_are_labels_that_are_no_genres() -> None:
    labels = LabelSet(("rock", "speech"), "multi", {"rock": "Rock"}, vetoes=("speech",))
    assert LabelSet.from_dict(json.loads(json.dumps(labels.to_dict()))) == labels
    for stray in ("rock", "silence"):
        with pytest.raises(CheckpointError, match=f"'{stray}' is a veto but a genre, or no label"):
            LabelSet(("rock", "speech"), "multi", {"rock": "Rock"}, vetoes=(stray,))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("Rock", "Rock", True),
        ("Black Metal", "Metal", True),
        ("Metal", "Black Metal", True),
        ("Black Metal", "Heavy Metal", True),
        ("Classical", "Metal", False),
        ("Nothing known", "Rock", False),
    ],
)
def test_genres_are_akin_along_the_tree(one: str, other: str, expected: bool) -> None:
    assert akin(one, other) is expected


def test_families_are_named_by_the_broadest_genre() -> None:
    found = families(["hard rock", "Rock", "House", "black metal", "Polka of my own"])
    assert found == {
        "Electronic": ("House",),
        "Metal": ("Black Metal",),
        "Polka of my own": ("Polka of my own",),
        "Rock": ("Rock", "Hard Rock"),
    }
