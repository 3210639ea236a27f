"""A library as the store knows it: real files, real writes, scores that a test chose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from albums import MODEL, make_songs, set_album
from foreign_tags import tag
from genretag import checkpoint
from genretag.errors import FileError
from genretag.journal import Journal
from genretag.library.overview import figures, overview
from genretag.library.tracks import Library, LibraryTrack, Stranger, gather, known_files
from genretag.store import CachedScores, Store
from genretag.tagging.look import look, state_of
from genretag.tagging.scan import Found
from genretag.tagging.undo import undo_run
from sounds import make_sound
from writing import write_genres

ROCK, UNSURE, METAL, JAZZ = {"rock": 0.8}, {"rock": 0.2}, {"metal": 0.9}, {"jazz": 0.9}


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open() as store:
        yield store


def hear(store: Store, path: Path, scores: dict[str, float]) -> None:
    """Make the store remember scores by label for a file."""
    model = checkpoint.resolve(MODEL)
    names = checkpoint.read_meta(model).labels.names
    values = np.array([scores.get(name, 0.01) for name in names], dtype=np.float32)
    known = look(Found(path), store).known
    assert known is not None
    store.remember_scores(known.audio_id, checkpoint.file_hash(model), "fast", CachedScores(values, 4, 200.0))


def library_of(store: Store, *paths: Path) -> Library:
    return gather(map(Found, paths), store, MODEL)


def write(store: Store, path: Path, *genres: str) -> int:
    journal = Journal(store)
    with journal.run("tag", MODEL) as run_id:
        write_genres(journal, run_id, path, genres)
    return run_id


def test_every_kind_of_track(store: Store, tmp_path: Path) -> None:
    sure, unsure, unheard = make_songs(tmp_path, 3)
    tag(sure, ["Jazz"])
    hear(store, sure, ROCK)
    hear(store, unsure, UNSURE)
    empty, silent = tmp_path / "empty.mp3", make_sound(tmp_path / "silent.mp3", 2.0, seed=9)
    empty.touch()
    seen = look(Found(silent), store)
    assert seen.known is not None
    store.remember_failure(
        state_of(seen.key, seen.known), FileError("silent", f"{silent}: every part is silent")
    )
    missing = tmp_path / "missing.mp3"

    library = library_of(store, sure, unsure, unheard, empty, silent, missing)
    assert [track.hearing for track in library.tracks] == [
        *("sure", "unsure", "unheard"),
        *("failed", "failed", "failed"),
    ]
    first, second, third, *failed = library.tracks
    assert (first.genres, first.before, first.heard[0], first.duration) == (("Jazz",), None, "Rock", 200.0)
    assert (second.heard, second.guess, second.genres) == ((), "Rock", ())
    assert second.confidence == pytest.approx(0.2)
    assert (third.row, third.confidence) == (None, None)
    assert [track.error.code for track in failed if track.error] == ["bad-tags", "silent", "missing"]
    assert library.scores.shape == (2, len(library.meta.labels))
    assert [track.row for track in library.tracks[:2]] == [0, 1]


def test_nothing_is_written_to_the_files(store: Store, tmp_path: Path) -> None:
    paths = make_songs(tmp_path, 2)
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    library_of(store, *paths)
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths] == before


def test_before_is_what_stood_before_the_first_write_that_stands(store: Store, tmp_path: Path) -> None:
    (song,) = make_songs(tmp_path, 1)
    tag(song, ["Other"])
    assert library_of(store, song).tracks[0].before is None
    write(store, song, "Rock")
    second = write(store, song, "Metal")
    (track,) = library_of(store, song).tracks
    assert (track.before, track.genres) == (("Other",), ("Metal",))

    moved = song.rename(tmp_path / "moved.mp3")
    assert library_of(store, moved).tracks[0].before == ("Other",)
    moved.rename(song)

    assert list(undo_run(store, second))
    assert library_of(store, song).tracks[0].before == ("Other",)
    assert list(undo_run(store, second - 1))
    (track,) = library_of(store, song).tracks
    assert (track.before, track.genres) == (None, ("Other",))


def test_a_copy_that_was_not_written_has_no_before(store: Store, tmp_path: Path) -> None:
    (song,) = make_songs(tmp_path, 1)
    copy = tmp_path / "copy.mp3"
    copy.write_bytes(song.read_bytes())
    write(store, song, "Rock")
    assert [track.before for track in library_of(store, song, copy).tracks] == [(), None]


def test_known_files_that_are_gone_are_counted(store: Store, tmp_path: Path) -> None:
    first, second = make_songs(tmp_path, 2)
    library_of(store, first, second)
    second.unlink()
    found, gone = known_files(store)
    assert ([item.path for item in found], gone) == ([first], 1)


def test_a_stranger_in_an_album_is_named(store: Store, tmp_path: Path) -> None:
    paths = make_songs(tmp_path / "Album" / "CD1", 4) + make_songs(tmp_path / "Album" / "CD2", 2, 4)
    for path, scores in zip(paths, [ROCK, ROCK, JAZZ, ROCK, ROCK, ROCK], strict=True):
        set_album(path, "The Album", "Ann")
        hear(store, path, scores)
    library = library_of(store, *paths)
    assert library.strangers == (Stranger(2, "The Album", "Rock", 6, called=False, sounds=True),)


def test_a_track_that_is_only_called_differently_is_named_too(store: Store, tmp_path: Path) -> None:
    paths = make_songs(tmp_path / "Songs", 4)
    for path, genre in zip(paths, ("Classical", "Classical", "Metal", "Classical"), strict=True):
        tag(path, [genre])
    (found,) = library_of(store, *paths).strangers
    assert (found.track, found.genre, found.album) == (2, "Classical", "Songs")
    assert (found.called, found.sounds) == (True, False)


def test_an_album_that_agrees_or_is_mixed_has_no_strangers(store: Store, tmp_path: Path) -> None:
    agreed, mixed = make_songs(tmp_path / "A", 3), make_songs(tmp_path / "B", 4, 3)
    for path, genre in zip(agreed, ("Rock", "Hard Rock", "Rock"), strict=True):
        tag(path, [genre])
    for path, genre in zip(mixed, ("Rock", "Rock", "Jazz", "Folk"), strict=True):
        tag(path, [genre])
    assert library_of(store, *agreed, *mixed).strangers == ()


def test_two_albums_in_one_folder_are_told_apart(store: Store, tmp_path: Path) -> None:
    paths = make_songs(tmp_path / "All", 6)
    for number, path in enumerate(paths):
        set_album(path, "One" if number < 3 else "Two", "Ann")
        hear(store, path, ROCK if number < 3 else JAZZ)
    assert library_of(store, *paths).strangers == ()


def test_figures_add_up(store: Store, tmp_path: Path) -> None:
    def track(heard: tuple[str, ...], genres: tuple[str, ...], **more: object) -> LibraryTrack:
        return LibraryTrack(tmp_path, genres, heard=heard, duration=1800.0, **more)  # type: ignore[arg-type]

    tracks = (
        track(("Rock", "Indie"), ("rock",), before=(), confidence=0.9, row=0),
        track(("Rock",), ("Rock",), before=("Pop",), confidence=1.0, row=1),
        track((), (), guess="Jazz", confidence=0.2, row=2),
        track((), ("Pop",)),
        LibraryTrack(tmp_path, error=FileError("empty", f"{tmp_path}: holds nothing")),
    )
    meta = checkpoint.read_meta(checkpoint.resolve(MODEL))
    found = figures(overview(Library(tracks, np.zeros((3, len(meta.labels)), np.float32), meta, ())))
    assert (found["tracks"], found["hours"], found["written"]) == (5, 2.0, 2)
    assert found["hearing"] == {"sure": 2, "unsure": 1, "unheard": 1, "failed": 1}
    rows = {row["genre"]: row for row in found["genres"]}
    assert list(rows) == ["Rock", "Pop", None]
    assert rows["Rock"] == {
        "genre": "Rock",
        "heard": 2,
        "hours": 1.0,
        "sureness": 0.95,
        "now": 2,
        "before": 0,
        "finer": {"Indie": 1},
    }
    # Before: one had none, one Pop, and the three that genretag never wrote what they have now.
    assert (rows["Pop"]["now"], rows["Pop"]["before"]) == (1, 2)
    assert (rows[None]["now"], rows[None]["before"]) == (2, 3)
    assert found["changes"] == [
        {"before": None, "now": "Rock", "tracks": 1},
        {"before": "Pop", "now": "Rock", "tracks": 1},
    ]
    assert [(one["sure"], one["unsure"]) for one in found["sureness"]] == [
        *((0, 0), (0, 0), (0, 1), *[(0, 0)] * 6, (2, 0))
    ]
    assert found["failures"] == [{"code": "empty", "tracks": 1, "first": f"{tmp_path}: holds nothing"}]


def test_joined_genres_count_one_by_one(store: Store, tmp_path: Path) -> None:
    (song,) = make_songs(tmp_path, 1)
    tag(song, ["jazz; Rock"])
    write(store, song, "Hip-Hop;Pop", "Soul")
    (track,) = library_of(store, song).tracks
    assert (track.genres, track.before) == (("Hip-Hop", "Pop", "Soul"), ("jazz", "Rock"))
