"""Genre maps: what they do to genres, and what a malformed one is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from genretag.errors import MapError
from genretag.tagging.genremap import GenreMap, load_map

EXAMPLE = """
drop = ["Pop"]
allow = ["Hip-Hop", "Metal", "Music of the Spheres", "Rock"]

[rename]
"hiphop" = "Hip-Hop"
"Classical" = "Music of the Spheres"
"Indie Rock" = "Rock"

[parents]
"Metal" = ["Rock"]
"""


@pytest.fixture
def write(tmp_path: Path) -> Path:
    return tmp_path / "map.toml"


def test_rename_drop_allow_and_parents(write: Path) -> None:
    write.write_text(EXAMPLE)
    genre_map = load_map(write)
    assert genre_map.apply(["Hip-Hop"]) == ("Hip-Hop",)
    assert genre_map.apply(["classical", "Pop"]) == ("Music of the Spheres",)
    assert genre_map.apply(["Metal", "Indie Rock"]) == ("Metal", "Rock")
    assert genre_map.apply(["Jazz"]) == ()


def test_the_genre_tree_gives_the_parents(write: Path) -> None:
    write.write_text("parents = true")
    genre_map = load_map(write)
    assert genre_map.apply(["Heavy Metal", "Jazz"]) == ("Heavy Metal", "Metal", "Jazz")


def test_what_is_not_allowed_becomes_the_nearest_broader_genre_that_is(write: Path) -> None:
    write.write_text('allow = ["rock", "Metal"]\nbroaden = true')
    genre_map = load_map(write)
    assert genre_map.apply(["Heavy Metal", "Indie Rock", "Jazz"]) == ("Metal", "Rock")
    write.write_text('allow = ["rock", "Metal"]')
    assert load_map(write).apply(["Heavy Metal", "Indie Rock", "Jazz"]) == ()


def test_an_empty_map_changes_nothing() -> None:
    assert GenreMap().apply(["Rock", "Jazz"]) == ("Rock", "Jazz")


def test_a_parent_may_be_one_name(write: Path) -> None:
    write.write_text('[parents]\n"Bebop" = "Jazz"\n')
    assert load_map(write).apply(["Bebop"]) == ("Bebop", "Jazz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rename = [", "not valid TOML"),
        ("drop = " + "[" * 5000, "not valid TOML"),
        ("drop = " + "1" * 5000, "not valid TOML"),
        ('[rename]\n"a\\n\\u001b" = 3', "rename.a\\n\\x1b must be a genre name"),
        ('"\\u001b" = 3', "unknown entry '\\x1b'"),
        ('[renames]\n"a" = "b"', "unknown entry 'renames'; did you mean 'rename'?"),
        ('rename = "a"', "rename must be a table"),
        ("parents = 3", "parents must be a table"),
        ("broaden = 3", "broaden must be true or false, not 3"),
        ("drop = [3]", "drop must be a genre name or a list of them, not 3"),
        ('[rename]\n"a" = ""', "rename.a must be a genre name"),
        ('[rename]\n"a" = "\\u001b[2J"', "rename.a must be a genre name or a list of them, not '\\x1b[2J'"),
        ('[parents]\n"a" = [["b"]]', "parents.a must be a genre name"),
    ],
)
def test_a_malformed_map_is_answered_in_one_line(write: Path, text: str, message: str) -> None:
    write.write_text(text)
    with pytest.raises(MapError) as caught:
        load_map(write)
    assert message in str(caught.value)
    assert str(write) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_map_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="no such map file"):
        load_map(tmp_path / "gone.toml")
    (tmp_path / "latin.toml").write_bytes(b'drop = ["caf\xe9"]')
    with pytest.raises(MapError, match="UTF-8"):
        load_map(tmp_path / "latin.toml")
