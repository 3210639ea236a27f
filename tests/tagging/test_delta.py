from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreign_tags import TAGGABLE, picture, tag
from genretag.errors import DecodeError
from genretag.tagging.delta import MAX_DELTA, MAX_LITERAL, apply_delta, make_delta
from sounds import any_sound, make_sound


def there_and_back(folder: Path, old: bytes, new: bytes) -> bytes | None:
    """The delta of two contents, which is checked to lead back."""
    old_file, new_file, out = folder / "old", folder / "new", folder / "out"
    old_file.write_bytes(old)
    new_file.write_bytes(new)
    delta = make_delta(old_file, new_file)
    if delta is not None:
        out.write_bytes(b"what was there before")
        apply_delta(new_file, delta, out)
        assert out.read_bytes() == old
    return delta


@pytest.mark.parametrize("suffix", TAGGABLE)
def test_the_old_file_comes_back_from_any_tagged_one(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    for genres, title, cover in (
        (["Jazz"], "A title", b""),
        (["Jazz", "Rock"], "A title" * 700, picture(200_000)),
        (["Pop"], "Another title", b""),
    ):
        old = path.read_bytes()
        tag(path, genres, title, cover)
        delta = there_and_back(tmp_path, old, path.read_bytes())
        assert delta is not None
        assert len(delta) < 13_000


def test_renumbered_ogg_pages_cost_a_few_bytes_each(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.ogg", 30.0)
    old = path.read_bytes()
    tag(path, ["Jazz"], cover=picture(300_000))
    delta = there_and_back(tmp_path, old, path.read_bytes())
    assert delta is not None
    assert len(delta) < old.count(b"OggS\0") * 16 + 6000


def test_a_picture_that_moves_among_the_tags_costs_nothing(tmp_path: Path) -> None:
    cover, sound = picture(400_000), picture(900_000, seed=1)
    old = b"head" + b"A" * 300 + cover + b"B" * 5000 + sound
    new = b"HEAD" + b"B" * 5100 + cover + b"A" * 720 + sound
    delta = there_and_back(tmp_path, old, new)
    assert delta is not None
    assert len(delta) < 300


def test_tags_at_the_end_with_a_length_at_the_start(tmp_path: Path) -> None:
    sound = picture(2_000_000)
    delta = there_and_back(tmp_path, b"\x01" + sound + b"old tag", b"\x02" + sound + b"a longer new tag")
    assert delta is not None
    assert len(delta) < 100


def test_what_would_be_too_large_is_not_kept(tmp_path: Path) -> None:
    sound = picture(100_000, seed=1)
    assert there_and_back(tmp_path, picture(MAX_DELTA + 5000) + sound, sound) is None
    assert there_and_back(tmp_path, picture(MAX_DELTA - 5000) + sound, sound) is not None
    assert there_and_back(tmp_path, picture(70 << 20), picture(70 << 20, seed=2)) is None


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(0, 6))
def test_any_edit_leads_back(tmp_path_factory: pytest.TempPathFactory, seed: int, edits: int) -> None:
    source = random.Random(seed)
    old = source.randbytes(source.choice((0, 1, 100, 40_000, 3 << 20)))
    new = bytearray(old)
    for _ in range(edits):
        at = source.randint(0, len(new))
        removed = source.choice((0, 1, 9, 20_000))
        new[at : at + removed] = source.choice(
            (b"", b"x", bytes(30_000), old[:50_000], source.randbytes(300))
        )
    there_and_back(tmp_path_factory.getbasetemp(), old, bytes(new))


def test_a_damaged_delta_is_refused(tmp_path: Path) -> None:
    delta = there_and_back(tmp_path, b"old" + bytes(500), b"newer" + bytes(500))
    assert delta is not None
    for damaged in (b"", delta[:-6], b"xx" + delta[2:], delta[:5] + b"\xff" + delta[6:]):
        with pytest.raises(ValueError, match="damaged"):
            apply_delta(tmp_path / "new", damaged, tmp_path / "out")


def test_a_new_file_that_shrank_is_refused(tmp_path: Path) -> None:
    delta = there_and_back(tmp_path, b"old" + picture(5000), b"newer" + picture(5000))
    assert delta is not None
    (tmp_path / "new").write_bytes(b"newer")
    with pytest.raises(OSError, match="shrank"):
        apply_delta(tmp_path / "new", delta, tmp_path / "out")


def test_only_regular_files_are_compared_and_rebuilt(tmp_path: Path) -> None:
    old, new = make_sound(tmp_path / "old.mp3"), make_sound(tmp_path / "new.mp3")
    tag(new, ["Jazz"])
    delta = make_delta(old, new)
    assert delta is not None
    os.mkfifo(tmp_path / "pipe.mp3")
    (tmp_path / "zero.mp3").symlink_to("/dev/zero")
    for name in ("pipe.mp3", "zero.mp3"):
        for files in ((tmp_path / name, new), (old, tmp_path / name)):
            with pytest.raises(DecodeError, match="not a regular file"):
                make_delta(*files)
        with pytest.raises(DecodeError, match="not a regular file"):
            apply_delta(tmp_path / name, delta, tmp_path / "out.mp3")


def test_a_large_file_costs_no_more_than_a_small_one(tmp_path: Path) -> None:
    """What is found again does not count towards what a delta may hold of its own."""
    sound = random.Random(5).randbytes(MAX_LITERAL // 2 + 1)
    delta = there_and_back(tmp_path, b"old tags" + sound, b"the new tags" + sound)
    assert delta is not None
    assert len(delta) < 200
