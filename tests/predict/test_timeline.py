"""One song over time: windows, stretches, outline, and the record of it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genretag.checkpoint import resolve
from genretag.errors import DecodeError
from genretag.predict.decide import DecisionRule, decide
from genretag.predict.engine import EngineOptions, Job, predict
from genretag.predict.timeline import (
    BIN,
    KEYS,
    OUTLINE_COLUMNS,
    Section,
    Timeline,
    listen,
    outline,
    sections,
    window_edges,
)
from sounds import make_sound

MODEL = resolve("auto")
ONE = EngineOptions(device="cpu", workers=1, coverage="full")


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Timeline:
    path = make_sound(tmp_path_factory.mktemp("song") / "song.mp3", 20.0, rate=22050)
    return listen(path, MODEL, ONE, DecisionRule())


def test_a_song_is_heard_as_tag_hears_it(song: Timeline) -> None:
    ((_, heard),) = predict(
        [Job(None, song.path)], MODEL, EngineOptions(device="cpu", workers=1, coverage="full")
    )
    assert heard is not None
    assert heard.scores is not None
    np.testing.assert_allclose(song.scores, heard.scores, atol=1e-6)
    labels, needs = song.meta.labels, song.meta.thresholds
    assert song.reasons.decision == decide(heard.scores, labels, needs, DecisionRule())
    assert song.windows.shape == (heard.n_windows, len(labels))
    assert len(song.alone) == len(song.starts) == len(song.edges) - 1 == 6
    assert song.edges[0] == 0.0
    assert song.edges[-1] == song.duration == pytest.approx(20.0, abs=0.1)


def test_the_record_is_json_with_the_keys_that_it_promises(song: Timeline) -> None:
    document = json.loads(json.dumps(song.to_dict(), allow_nan=False))
    assert tuple(document) == KEYS
    assert len(document["windows"]) == len(document["starts"]) == 6
    assert {len(row) for row in document["windows"]} == {len(document["labels"])}
    assert document["scores"] == {
        label: pytest.approx(score, abs=1e-4)
        for label, score in zip(document["labels"], song.scores.tolist(), strict=True)
    }
    assert document["genres"] == [item["genre"] for item in document["weighed"] if item["chosen"]]


def test_what_is_worth_a_row_begins_with_what_was_chosen(song: Timeline) -> None:
    rows = song.telling(5)
    chosen = [item for item in song.reasons.weighed if item.chosen]
    assert rows[: len(chosen)] == chosen
    assert 1 <= len(rows) <= 5
    assert len(song.telling(1)) == 1
    for item in rows:
        assert song.sureness(item).shape == (6,)


def test_a_file_that_gives_no_scores_says_why(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="silent") as caught:
        listen(make_sound(tmp_path / "silence.wav", 3.0, level=0.0), MODEL, ONE, DecisionRule())
    assert caught.value.code == "silent"


def test_windows_speak_up_to_halfway_to_their_neighbours() -> None:
    assert window_edges(np.array([0.0, 3.0, 6.0]), 3.0, 10.0).tolist() == [0.0, 3.0, 6.0, 10.0]
    assert window_edges(np.array([5.0, 25.0]), 4.0, 40.0).tolist() == [0.0, 17.0, 40.0]
    assert window_edges(np.array([0.0]), 3.0, 1.5).tolist() == [0.0, 1.5]


def spoken(text: str) -> tuple[Section, ...]:
    """Sections of windows of 3 seconds: one letter each, "." where nothing is sure."""
    alone = tuple(None if letter == "." else letter for letter in text)
    return sections(alone, np.arange(len(text) + 1) * 3.0)


def shape(text: str) -> str:
    """As many letters as windows, each that of its section."""
    return "".join((part.genre or ".") * round((part.end - part.start) / 3.0) for part in spoken(text))


def test_one_genre_is_one_section() -> None:
    assert spoken("rrrr") == (Section(0.0, 12.0, "r"),)
    assert spoken("r") == (Section(0.0, 3.0, "r"),)
    assert spoken("....") == (Section(0.0, 12.0, None),)


def test_short_strays_are_passed_over_and_long_stretches_told() -> None:
    assert shape("rrrrjrrrrr") == "rrrrrrrrrr"
    assert shape("rrrrjjjrrrr") == "rrrrrrrrrrr"
    assert shape("rrrrjjjjjrrrr") == "rrrrjjjjjrrrr"
    assert shape("rrrrrrr.....jjjjjj") == "rrrrrrr.....jjjjjj"
    assert shape("rjrjrjrrrrrjjjjjrjjjj") == "rrrrrrrrrrrjjjjjjjjjj"


def test_an_hour_is_told_in_longer_stretches() -> None:
    mix = "r" * 600 + "j" * 20 + "r" * 580
    assert shape(mix) == "r" * 1200
    assert shape(mix[550:670]) == mix[550:670]


def test_sections_lie_end_to_end() -> None:
    found = spoken("rrrrrjjjjjjj.....bbbbbbbrrrrrr")
    assert found[0].start == 0.0
    assert found[-1].end == 90.0
    for one, next_one in itertools.pairwise(found):
        assert one.end == next_one.start
        assert one.genre != next_one.genre


def test_an_outline_holds_the_extremes_of_every_part(tmp_path: Path) -> None:
    rate, seconds = 8000, 60
    samples = np.zeros(rate * seconds, np.float32)
    samples[rate * 30] = 0.9
    samples[rate * 45] = -0.7
    soundfile.write(tmp_path / "clicks.wav", samples, rate, subtype="FLOAT")
    found = outline(tmp_path / "clicks.wav", columns=60)
    assert found.shape == (60, 2)
    assert found[:, 1].max() == np.float32(0.9)
    assert found[:, 0].min() == np.float32(-0.7)
    assert abs(int(found[:, 1].argmax()) - 30) <= 1
    assert abs(int(found[:, 0].argmin()) - 45) <= 1
    assert np.count_nonzero(found) == 2


def test_an_outline_of_a_short_file_has_as_many_parts_as_it_can_fill(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "short.wav", 0.6, rate=8000)
    assert outline(path).shape == (-(-4800 // BIN), 2)
    assert outline(make_sound(tmp_path / "long.wav", 150.0, rate=8000)).shape == (OUTLINE_COLUMNS, 2)


def test_an_outline_of_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("no music\n" * 100)
    with pytest.raises(DecodeError, match="can no longer be decoded"):
        outline(tmp_path / "text.mp3")
