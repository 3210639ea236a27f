"""One engine for several lists of jobs: the model is loaded once, and what is stopped starts anew."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from genretag import checkpoint
from genretag.predict.engine import EngineOptions, Job, Predictor, predict
from sounds import make_sound

MODEL = checkpoint.resolve("musicnn-msd")
OPTIONS = EngineOptions(device="cpu", workers=1)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("songs")
    return [make_sound(folder / f"{number}.flac", seed=number) for number in range(3)]


def test_a_second_list_finds_the_engine_of_the_first(songs: list[Path]) -> None:
    expected = [track.scores for _, track in predict([Job(song, song) for song in songs], MODEL, OPTIONS)]
    with closing(Predictor(MODEL, OPTIONS)) as predictor:
        assert list(predictor.predict([Job("known", None)])) == [("known", None)]
        assert predictor._runner is None  # nothing to hear, nothing started
        ((_, first),) = predictor.predict([Job(0, songs[0])])
        engine, scorer = predictor._runner._engine, predictor._scorers[0]
        answers = list(predictor.predict([Job(1, songs[1]), Job(9, None), Job(2, songs[2])]))
        assert predictor._runner._engine is engine
        assert predictor._scorers == [scorer]
        assert [item for item, _ in answers] == [1, 9, 2]
        for found, wanted in zip((first, answers[0][1], answers[2][1]), expected, strict=True):
            np.testing.assert_allclose(found.scores, wanted, atol=1e-6)


@pytest.mark.parametrize("model", ["auto", "vgg-mtt"])
def test_the_scores_of_a_file_are_the_same_bits_whatever_is_scored_beside_it(
    model: str, tmp_path: Path
) -> None:
    # Up to eight windows of a file go together: five leave one for a pass of its own.
    lengths = (2, 4, 7, 13, 31, 1, 3, 16)
    paths = [make_sound(tmp_path / f"{n}.flac", seconds, seed=n) for n, seconds in enumerate(lengths)]

    def scores(jobs: list[Path], workers: int) -> list[bytes]:
        options = EngineOptions(device="cpu", workers=workers, coverage="full")
        answers = predict([Job(None, path) for path in jobs], checkpoint.resolve(model), options)
        return [track.scores.tobytes() for _, track in answers]

    alone = [scores([path], 1)[0] for path in paths]
    assert scores(paths * 6, 4) == alone * 6


def test_a_list_left_early_stops_the_engine_and_the_next_starts_another(songs: list[Path]) -> None:
    with closing(Predictor(MODEL, OPTIONS)) as predictor:
        answers = predictor.predict([Job(song, song) for song in songs])
        next(answers)
        answers.close()
        assert predictor._runner._engine is None
        ((_, track),) = predictor.predict([Job(0, songs[0])])
        assert track.scores is not None
