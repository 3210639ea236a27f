"""Files that are replaced or overwritten between their first look and the end of their analysis."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from genretag import checkpoint
from genretag.audio.audiofile import changed_error
from genretag.errors import FileError
from genretag.predict.decide import DecisionRule
from genretag.predict.engine import EngineOptions, Job, Predictor, TrackScores
from genretag.store import FileKey, Store
from genretag.tagging import tags
from genretag.tagging.look import begin, finish, look, read
from genretag.tagging.plan import Existing, Record
from genretag.tagging.scan import Found
from genretag.tagging.tag import Tagging, TagOptions
from genretag.tagging.writer import WriteOptions
from sounds import make_sound

MODEL = "musicnn-msd"


class Meddling(Predictor):
    """A predictor; between the look at a file and its analysis somebody does something to the file."""

    meddle: Callable[[Path], object] = staticmethod(lambda path: None)

    def predict(self, jobs: Iterable[Job[Any]]) -> Generator[tuple[Any, TrackScores | None], None, None]:
        def met() -> Iterator[Job[Any]]:
            for job in jobs:
                if job.path is not None:
                    self.meddle(job.path)
                yield job

        yield from super().predict(met())


@pytest.fixture(scope="module")
def predictor() -> Iterator[Meddling]:
    predictor = Meddling(checkpoint.resolve(MODEL), EngineOptions(workers=1))
    yield predictor
    predictor.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as store:
        yield store


def noise(path: Path, seed: int) -> Path:
    draw = np.random.default_rng(seed).normal(0, 0.1 * (1 + seed), 5 * 44100)
    soundfile.write(path, np.clip(draw, -0.9, 0.9), 44100, subtype="PCM_16")
    return path


def tagged(predictor: Meddling, store: Store, path: Path, meddle: Callable[[Path], object]) -> Record:
    predictor.meddle = meddle
    options = TagOptions(model=MODEL, write=False, existing=Existing.REPLACE)
    (record,) = Tagging(options, store, predictor=predictor).records([Found(path)])
    return record


def nothing(path: Path) -> None:
    pass


def replaced(new: Path) -> Callable[[Path], object]:
    """Another file takes the name, with its own time, as `mv` does."""
    return lambda path: os.replace(new, path)


def in_place(new: Path) -> Callable[[Path], object]:
    """The bytes of another file are written into the file, and its old time is set again."""

    def overwrite(path: Path) -> None:
        status = path.stat()
        with path.open("r+b") as file:
            file.write(new.read_bytes())
            file.truncate()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return overwrite


@pytest.mark.parametrize("how", [replaced, in_place])
def test_scores_are_never_kept_for_another_recording(
    predictor: Meddling, store: Store, tmp_path: Path, how: Callable[[Path], Callable[[Path], object]]
) -> None:
    song, copy, new = (
        noise(tmp_path / name, seed) for name, seed in (("a.wav", 1), ("c.wav", 1), ("n.wav", 2))
    )
    assert song.stat().st_size == new.stat().st_size
    os.utime(new, ns=(song.stat().st_atime_ns, song.stat().st_mtime_ns))
    content = new.read_bytes()
    failed = tagged(predictor, store, song, how(new))
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.genres) == ("failed", "changed", ())
    assert song.read_bytes() == content
    fresh = Store.open(tmp_path / "fresh")
    for path in (copy, song):
        after = tagged(predictor, store, path, nothing)
        assert after.error is None
        assert after.scores == tagged(predictor, fresh, path, nothing).scores
    fresh.close()


def test_a_failure_is_not_kept_for_a_file_that_is_whole_by_now(
    predictor: Meddling, store: Store, tmp_path: Path
) -> None:
    song = noise(tmp_path / "a.wav", 1)
    whole = song.read_bytes()
    failed = tagged(predictor, store, song, lambda path: path.write_bytes(whole[:2000]))
    assert failed.error is not None
    assert failed.error.code == "changed"
    song.write_bytes(whole)
    assert tagged(predictor, store, song, nothing).error is None


def linked(path: Path) -> None:
    path.chmod(0o600)
    os.link(path, path.with_suffix(".link"))


@pytest.mark.parametrize("meddle", [linked, lambda path: tags.write(path, ("Polka",)), Path.touch])
def test_other_tags_links_and_times_do_not_change_a_recording(
    predictor: Meddling, store: Store, tmp_path: Path, meddle: Callable[[Path], object]
) -> None:
    song = make_sound(tmp_path / "a.mp3", 5)
    record = tagged(predictor, store, song, meddle)
    assert record.error is None
    predictor.meddle = lambda path: pytest.fail("the scores are known")
    assert tagged(predictor, store, song, predictor.meddle).scores == record.scores


@pytest.mark.parametrize("fifo", [False, True])
def test_a_file_that_is_gone_by_now_fails_and_nothing_waits(
    predictor: Meddling, store: Store, tmp_path: Path, fifo: bool
) -> None:
    song = noise(tmp_path / "a.wav", 1)

    def remove(path: Path) -> None:
        path.unlink()
        if fifo:
            os.mkfifo(path)

    failed = tagged(predictor, store, song, remove)
    assert failed.error is not None
    assert failed.error.code == ("unreadable" if fifo else "missing")


def test_a_file_replaced_while_it_is_looked_at_is_not_remembered(store: Store, tmp_path: Path) -> None:
    song, new = noise(tmp_path / "a.wav", 1), noise(tmp_path / "n.wav", 2)
    begun = begin(Found(song), store)
    os.rename(song, tmp_path / "moved.wav")
    os.rename(new, song)
    found = finish(begun, read(song), store)
    assert found.error is None
    assert (found.key, found.known) == (FileKey.of(song.stat()), read(song).known), "one more look"
    moved = look(Found(tmp_path / "moved.wav"), store)
    assert moved.known == read(tmp_path / "moved.wav").known


class Overtaken(Predictor):
    """A predictor that analyses the first file and reports the others as a worker does that was overtaken.

    The write in place of the first file falls into the analysis of its other names, as happens with several
    workers.
    """

    def predict(self, jobs: Iterable[Job[Any]]) -> Generator[tuple[Any, TrackScores | None], None, None]:
        first, *others = jobs
        yield from super().predict([first])
        for job in others:
            assert job.path is not None
            error = FileError.of(changed_error(job.path))
            yield job.item, TrackScores(None, None, None, None, 0, 0.1, error)


def test_other_names_of_a_file_that_the_run_wrote_in_place_are_not_changed(
    tmp_path: Path, store: Store
) -> None:
    music = [tmp_path / f"{name}.mp3" for name in "abc"]
    make_sound(music[0], 3.0)
    for name in music[1:]:
        name.hardlink_to(music[0])
    rule = DecisionRule(top=1, threshold=0.0)
    options = TagOptions(MODEL, rule=rule, writing=WriteOptions(in_place=True), use_cache=False)
    overtaken = Overtaken(checkpoint.resolve(MODEL), EngineOptions(workers=1))
    try:
        records = list(Tagging(options, store, predictor=overtaken).records(map(Found, music)))
    finally:
        overtaken.close()
    assert [record.status for record in records] == ["written", "unchanged", "unchanged"]
    assert len({record.audio for record in records}) == 1
