"""ASF: several attributes of one name, their languages kept when they are put back."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutagen.asf import ASF, ASFDWordAttribute, ASFUnicodeAttribute

from genretag.tagging import tags
from sounds import make_sound


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = make_sound(tmp_path / "song.wma", 1.0)
    file = ASF(path)
    file["WM/Genre"] = [ASFUnicodeAttribute("Rock"), ASFUnicodeAttribute("Pop", language=0, stream=0)]
    file["WM/Track"] = [ASFDWordAttribute(3)]
    file["Title"] = ["Title"]
    file.save()
    return path


def test_attributes_come_back_as_they_were(song: Path) -> None:
    before = song.read_bytes()
    state = tags.read(song)
    assert state.genres == ("Rock", "Pop")
    tags.write(song, ["Żółć", "Jazz", "AC/DC"], provenance="model")
    file = ASF(song)
    assert [str(value) for value in file["WM/Genre"]] == ["Żółć", "Jazz", "AC/DC"]
    assert [str(value) for value in file["GENRETAG"]] == ["model"]
    assert file["WM/Track"] == [3]
    tags.restore(song, state.raw)
    assert song.read_bytes() == before


def test_a_header_with_room_does_not_grow(song: Path) -> None:
    file = ASF(song)
    file.save(padding=lambda _: 2000)
    size = song.stat().st_size
    tags.write(song, ["A longer genre"] * 3)
    assert song.stat().st_size == size


def test_an_attribute_of_that_name_that_is_no_text_is_left_alone(song: Path) -> None:
    file = ASF(song)
    file["WM/Genre"] = [ASFDWordAttribute(17)]
    file.save()
    assert tags.read(song).genres == ()
    tags.write(song, ["Jazz"])
    assert tags.read(song).genres == ("Jazz",)
    assert 17 in ASF(song)["WM/Genre"]
