"""Albums: which tracks belong together, what is decided for them, and who differs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from albums import set_album
from genretag.labels import LabelSet
from genretag.predict.decide import Decision, DecisionRule, decide
from genretag.tagging import album as albums
from genretag.tagging.album import Albums, Track, Verdict, group, shelf
from genretag.tagging.genremap import GenreMap
from genretag.tagging.heading import Heading
from sounds import make_sound

LABELS = LabelSet(
    ("rock", "jazz", "metal", "happy"), "multi", {"rock": "Rock", "jazz": "Jazz", "metal": "Metal"}
)


def judge(scores: np.ndarray) -> Decision:
    return decide(scores, LABELS, {}, DecisionRule(top=2, threshold=0.4))


def track(name: str, rock: float, jazz: float = 0.0, seconds: float | None = 200.0) -> Track[str]:
    return Track(name, Path("Album") / name, np.array([rock, jazz, 0.0, 0.9]), seconds)


def verdicts(
    *tracks: Track[str], genre_map: GenreMap | None = None
) -> tuple[Albums, dict[str, Verdict | None]]:
    judged = Albums(LABELS, judge, genre_map or GenreMap())
    answers = list(judged.together(tracks))
    assert [one for one, _ in answers] == list(tracks)
    return judged, {one.item: verdict for one, verdict in answers}


def test_every_track_gets_the_genre_of_the_mean_and_the_one_that_differs_is_named() -> None:
    judged, found = verdicts(track("1", 0.8), track("2", 0.7), track("unsure", 0.3), track("jazz", 0.1, 0.9))
    assert {verdict.genres for verdict in found.values() if verdict} == {("Rock",)}
    assert [name for name, verdict in found.items() if verdict and verdict.outlier] == ["jazz"]
    assert found["jazz"] is not None
    assert found["jazz"].own == ("Jazz",)
    assert found["jazz"].tracks == 4
    assert [path.name for path, _ in judged.outliers] == ["jazz"]


def test_a_little_difference_and_a_kindred_genre_are_no_outliers() -> None:
    labels = LabelSet(
        ("rock", "metal", "heavy"), "multi", {"rock": "Rock", "metal": "Metal", "heavy": "Heavy Metal"}
    )
    judged = Albums(labels, lambda scores: decide(scores, labels, {}, DecisionRule(1, 0.4)), GenreMap())
    heard = {
        "1": (0.0, 0.8, 0.1),
        "2": (0.0, 0.9, 0.1),
        "kindred": (0.0, 0.1, 0.9),
        "near": (0.9, 0.5, 0.0),
        "far": (0.9, 0.4, 0.0),
    }
    tracks = [Track(name, Path("A") / name, np.array(scores), 200.0) for name, scores in heard.items()]
    found = {one.item: verdict for one, verdict in judged.together(tracks)}
    assert [verdict and verdict.genres for verdict in found.values()] == [("Metal",)] * 5
    assert [name for name, verdict in found.items() if verdict and verdict.outlier] == ["far"]


def test_a_skit_counts_less_than_a_song_and_a_suite_no_more() -> None:
    songs = [track("1", 0.5, 0.45), track("2", 0.5, 0.45)]
    _, short = verdicts(*songs, track("skit", 0.0, 1.0, seconds=5.0))
    _, unknown = verdicts(*songs, track("song", 0.0, 1.0, seconds=None))
    _, long = verdicts(*songs, track("suite", 0.0, 1.0, seconds=3000.0))
    assert [verdict.genres[0] for verdict in short.values() if verdict] == ["Rock"] * 3
    # Jazz has the better mean, but not the agreement of the songs, and only a folder holds them together.
    assert set(unknown.values()) == set(long.values()) == {None}


def test_an_album_that_is_unsure_as_a_whole_leaves_its_tracks_to_themselves() -> None:
    _, found = verdicts(track("1", 0.5, 0.1), track("2", 0.1, 0.2), track("3", 0.2, 0.1))
    assert set(found.values()) == {None}


def test_the_map_is_applied_to_the_album() -> None:
    _, found = verdicts(track("1", 0.8), track("2", 0.9), genre_map=GenreMap(rename={"Rock": "Guitars"}))
    assert found["1"] is not None
    assert found["1"].genres == found["1"].own == ("Guitars",)


def test_genres_that_most_tracks_keep_are_the_album_s() -> None:
    kept = [Track(name, Path("Album") / name, kept=("hip hop",)) for name in "abc"]
    _, found = verdicts(*kept, track("rock", 0.9))
    assert found["rock"] is not None
    assert (found["rock"].genres, found["rock"].by) == (("hip hop",), "tags")
    # Half of them is no majority: then the sound of the others decides, and what is kept does not count.
    _, even = verdicts(*kept[:2], track("1", 0.9), track("2", 0.9))
    assert even["1"] is not None
    assert (even["1"].genres, even["1"].by) == (("Rock",), "sound")


def test_files_that_failed_keep_their_place_and_do_not_count() -> None:
    failed: Track[str] = Track("failed", Path("Album") / "failed")
    _, found = verdicts(track("1", 0.8), failed, track("2", 0.9))
    assert found["failed"] is None
    assert found["1"] is not None
    assert found["1"].tracks == 2
    _, alone = verdicts(track("1", 0.8), failed)
    assert set(alone.values()) == {None}


def test_folders_are_flushed_when_they_end_and_a_heap_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def source() -> Iterator[Track[str]]:
        for folder in "AB":
            for number in range(3):
                taken.append(f"{folder}{number}")
                yield Track(taken[-1], Path(folder, str(number)), np.array([0.9, 0, 0, 0]), 200.0)

    answers = Albums(LABELS, judge, GenreMap()).together(source())
    first, _ = next(answers)
    assert first.item == "A0"
    assert taken == ["A0", "A1", "A2", "B0"]
    monkeypatch.setattr(albums, "MOST_TRACKS", 2)
    parts = [
        verdict and verdict.tracks for _, verdict in Albums(LABELS, judge, GenreMap()).together(source())
    ]
    assert parts == [2, 2, None, 2, 2, None]


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("A/B/1.mp3", "A/B"),
        ("A/B/CD1/1.mp3", "A/B"),
        ("A/B/Disc 2/1.mp3", "A/B"),
        ("A/B/disk_03/1.mp3", "A/B"),
        ("A/B/CD 2 - Live/1.mp3", "A/B"),
        ("A/B (Disc 2)/1.mp3", "A/B"),
        ("A/B [CD2]/1.mp3", "A/B"),
        ("A/ABCD1/1.mp3", "A/ABCD1"),
        ("A/Disco 2000/1.mp3", "A/Disco 2000"),
        ("A/Help 1/1.mp3", "A/Help 1"),
    ],
)
def test_discs_belong_to_the_folder_above(path: str, folder: str) -> None:
    assert shelf(Path(path)) == Path(folder)


def said(album: str = "", album_artist: str = "", artist: str = "") -> Heading:
    return Heading(artist=artist, album=album, album_artist=album_artist)


def grouped(*tagged: Heading) -> list[list[int]]:
    return group(dict(enumerate(tagged)))


def test_what_is_an_album() -> None:
    one, other = said("One", "Ann"), said("Other", "Bob")
    nothing = said()
    assert grouped(one, said("one ", "ann"), one) == [[0, 1, 2]]
    assert grouped(one, other, one) == [[0, 2], [1]]
    assert grouped(said("One (Disc 1)", "Ann"), said("One (Disc 2)", "Ann")) == [[0, 1]]
    # Untagged tracks join the only album, make one by themselves, and stand alone among several.
    assert grouped(one, nothing, one) == [[0, 1, 2]]
    assert grouped(nothing, nothing) == [[0, 1]]
    assert grouped(one, nothing, other, nothing) == [[0], [1], [2], [3]]
    # One title, several artists: a compilation in a folder of its own, two albums in a folder of many.
    hits = said("Hits", "", "Ann"), said("Hits", "", "Bob")
    assert grouped(*hits) == [[0, 1]]
    assert grouped(*hits, other) == [[0], [1], [2]]
    assert grouped(said("Hits", "Ann"), said("Hits", "Bob")) == [[0], [1]]
    various = [said("Hits", "Various Artists", artist) for artist in ("Ann", "Bob")]
    assert grouped(*various) == [[0, 1]]


def test_a_compilation_is_decided_together_only_where_most_of_it_agrees(tmp_path: Path) -> None:
    songs = [make_sound(tmp_path / f"{number}.mp3", 1.0, seed=number) for number in range(4)]
    for path in songs:
        set_album(path, "Hits", "Various Artists")
    hits = [
        Track(path.name, path, np.array(scores), 200.0)
        for path, scores in zip(
            songs,
            [(0.9, 0.0, 0.0, 0.0), (0.9, 0.0, 0.0, 0.0), (0.0, 0.9, 0.0, 0.0), (0.0, 0.9, 0.0, 0.0)],
            strict=True,
        )
    ]
    _, found = verdicts(*hits)
    assert set(found.values()) == {None}
    _, found = verdicts(*hits[:3])
    assert [verdict and verdict.genres for verdict in found.values()] == [("Rock",)] * 3
    assert [verdict and verdict.name for verdict in found.values()] == ["Hits"] * 3
    for path in songs:
        set_album(path, "Hits", "Ann")
    _, found = verdicts(*hits)
    assert None not in found.values()
