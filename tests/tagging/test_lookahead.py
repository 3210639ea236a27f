"""Looks ahead of their turn give what looks at their turn give, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genretag.audio.remote import RemotePath
from genretag.errors import FileError
from genretag.store import Store
from genretag.tagging import tags
from genretag.tagging.look import look, read
from genretag.tagging.lookahead import AHEAD, THREADS, looked_ahead
from genretag.tagging.scan import Found
from sounds import make_sound


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as store:
        yield store


@pytest.fixture
def found(tmp_path: Path) -> list[Found]:
    """Songs, what cannot be read, one that is gone, and a folder that could not be listed."""
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(4):
        make_sound(folder / f"{number}.mp3", 1.0, seed=number)
    (folder / "4.mp3").mkdir()
    songs = [Found(path) for path in sorted(folder.iterdir())]
    return [*songs, Found(folder / "5.mp3"), Found(folder, FileError("unreadable", "cannot be listed"))]


class Others:
    """Those who do things elsewhere, here one after the other, when somebody waits for the answer."""

    def __init__(self) -> None:
        self.asked: list[Path] = []

    def __call__(self, work: Callable[[Path], Any], path: Path) -> Callable[[], Any]:
        self.asked.append(path)
        return lambda: work(path)


def test_looks_elsewhere_are_those_of_here_in_order(found: list[Found], store: Store, tmp_path: Path) -> None:
    others = Others()
    looks = list(looked_ahead(found, store, others))
    with Store.open(tmp_path / "another") as another:
        assert looks == [look(one, another) for one in found] == list(looked_ahead(found, another))
    assert others.asked == [one.path for one in found[:5]]
    # What was read elsewhere is known from then on; what could not be read is tried again.
    assert list(looked_ahead(found, store, others)) == looks
    assert others.asked[5:] == [found[4].path]
    assert list(looked_ahead(found, store, others, use_cache=False)) == looks
    assert len(others.asked) == 11


def test_others_are_asked_ahead_and_not_without_bound(found: list[Found], store: Store) -> None:
    others = Others()
    looks = looked_ahead((found[0] for _ in range(3 * AHEAD)), store, others)
    next(looks)
    assert len(others.asked) == AHEAD + 1
    next(looks)
    assert len(others.asked) == AHEAD + 1, "by now the store knows it"


def test_an_answer_about_an_older_state_of_a_file_is_not_believed(found: list[Found], store: Store) -> None:
    song = found[0].path
    old = read(song)
    tags.write(song, ("Polka",))
    (seen,) = looked_ahead([found[0]], store, lambda work, path: lambda: old)
    assert seen.known is not None
    assert seen.known.genres == ("Polka",)
    assert look(found[0], store) == seen


def test_a_file_that_everyone_was_lost_over_is_an_error_of_that_file(
    found: list[Found], store: Store
) -> None:
    lost = FileError("worker-died", "0.mp3: 3 processes that had it were lost")
    first, second = looked_ahead(
        found[:2], store, lambda work, path: (lambda: lost) if path == found[0].path else lambda: work(path)
    )
    assert (first.error, first.known) == (lost, None)
    assert second.known is not None


def test_remote_files_are_read_by_threads_and_come_in_order(found: list[Found], store: Store) -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed (extra remote)")
    memory = fsspec.filesystem("memory")
    names = [f"/lookahead/{number:03d}.mp3" for number in range(2 * THREADS)]
    for name in names:
        memory.pipe(name, found[int(name[-5]) % 2].path.read_bytes())
    try:
        songs = [Found(RemotePath(f"memory:/{name}")) for name in names]
        looks = list(looked_ahead([*songs, found[0]], store))
    finally:
        memory.rm("/lookahead", recursive=True)
    assert [one.path for one in looks] == [*(song.path for song in songs), found[0].path]
    assert len({one.known.audio_id for one in looks if one.known}) == 2
    assert all(one.known for one in looks)
