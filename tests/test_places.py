from __future__ import annotations

import os
from pathlib import Path

import pytest

from genretag.places import Place, dump_places, load_places, meeting, places_listed, places_named

MUSIC = Path("/music")
TREE, FLAT, SONG = (Place(MUSIC, "all"), Place(MUSIC, "files"), Place(MUSIC / "song.mp3", "itself"))


@pytest.mark.parametrize(
    ("ours", "theirs", "meets"),
    [
        (TREE, TREE, True),
        (TREE, Place(MUSIC / "A" / "B", "all"), True),
        (TREE, Place(MUSIC / "A", "files"), True),
        (TREE, SONG, True),
        (TREE, Place(Path("/music2"), "all"), False),
        (TREE, Place(Path("/"), "files"), False),
        (FLAT, FLAT, True),
        (FLAT, SONG, True),
        (FLAT, Place(MUSIC / "A", "all"), False),
        (FLAT, Place(MUSIC / "A", "files"), False),
        (FLAT, Place(MUSIC / "A" / "song.mp3", "itself"), False),
        (SONG, SONG, True),
        (SONG, Place(MUSIC / "other.mp3", "itself"), False),
    ],
)
def test_who_meets_whom(ours: Place, theirs: Place, meets: bool) -> None:
    nobody = Place(Path("/elsewhere"), "all")
    assert meeting([nobody, ours], [theirs]) == (theirs.path if meets else None)
    assert meeting([theirs], [nobody, ours]) == (ours.path if meets else None)
    assert meeting([], [theirs]) is None


def test_what_is_named_and_what_is_listed(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    song, link = tmp_path / "A" / "song.mp3", tmp_path / "link"
    song.touch()
    link.symlink_to(tmp_path / "A")
    assert places_named([link, song]) == (Place(tmp_path / "A", "all"), Place(song, "itself"))
    assert places_listed([song, link / "other.mp3"]) == (Place(tmp_path / "A", "files"),) * 2
    assert places_listed([tmp_path / "A"]) == (Place(tmp_path / "A", "all"),)


def test_any_name_survives_the_journal() -> None:
    places = (Place(Path(os.fsdecode(b"/caf\xe9")), "all"), Place(Path("/音楽"), "files"))
    assert load_places(dump_places(places)) == places
    assert load_places(None) == ()
