"""Real worker processes, really killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genretag.audio.decode import decode_whole
from genretag.audio.features import FeatureSpec
from genretag.errors import EngineError
from genretag.predict.pool import Decoded, DecodePool, Ended, settings_for
from hostile_files import Deadly, Slow, SlowStart, pictures
from sounds import make_sound

SPEC = FeatureSpec("waveform", 16000, 1, 1, frames=1600, step_frames=1600)


class Pool(DecodePool):
    """A pool that keeps what happened."""

    def __init__(self, size: int = 1, timeout: float = 60, **settings: object) -> None:
        super().__init__(size, replace(settings_for(SPEC, "full", timeout), **settings))
        self.decoded: list[Decoded] = []
        self.ended: dict[int, Ended] = {}

    def run(self, until: Callable[[], object], *, releasing: bool = True, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end
            for event in self.events():
                if isinstance(event, Ended):
                    self.ended[event.task] = event
                else:
                    self.decoded.append(event)
                    if releasing:
                        self.release(event)

    def release_all(self) -> None:
        for chunk in self.decoded:
            self.release(chunk)


@pytest.fixture
def pools() -> Iterator[Callable[..., Pool]]:
    opened: list[Pool] = []

    def open_pool(*arguments: object, **options: object) -> Pool:
        opened.append(Pool(*arguments, **options))
        return opened[-1]

    yield open_pool
    for pool in opened:
        pool.close()
    assert not multiprocessing.active_children()


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """More windows than a worker's ring holds."""
    return make_sound(tmp_path / "long.wav", 6, rate=16000, channels=1)


def worker_ids() -> list[int]:
    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]


def test_windows_arrive_whole_and_in_order(
    pools: Callable[..., Pool], tmp_path: Path, long_file: Path
) -> None:
    pool = pools(2)
    files = [long_file, make_sound(tmp_path / "a.flac", 2), tmp_path / "none.mp3"]
    for number, path in enumerate(files):
        pool.submit(number, path)
    seen: dict[int, list[float]] = {0: [], 1: []}
    while len(pool.ended) < 3:
        for event in pool.events():
            if isinstance(event, Ended):
                pool.ended[event.task] = event
            else:
                windows, _ = decode_whole(files[event.task], SPEC, "full")
                last = event.first + len(event.waves)
                assert (event.waves == windows.waves[event.first : last]).all()
                assert event.starts.tolist() == windows.starts[event.first : last].tolist()
                seen[event.task] += event.starts.tolist()
                pool.release(event)
    assert {number: len(starts) for number, starts in seen.items()} == {0: 60, 1: 20}
    assert all(starts == sorted(starts) for starts in seen.values())
    assert [pool.ended[number].n_windows for number in range(3)] == [60, 20, 0]
    assert pool.ended[0].duration == pytest.approx(6)
    assert pool.ended[0].seconds > 0
    assert pool.ended[2].error is not None
    assert pool.ended[2].error.code == "missing"


def test_workers_start_only_for_files(pools: Callable[..., Pool], tmp_path: Path) -> None:
    pool = pools(8)
    assert pool.events() == []
    assert worker_ids() == []
    pool.submit(0, make_sound(tmp_path / "a.flac", 1))
    pool.run(lambda: pool.ended)
    assert len(worker_ids()) == 1


def test_a_full_ring_stops_the_worker_but_is_no_timeout(pools: Callable[..., Pool], long_file: Path) -> None:
    pool = pools(timeout=1)
    pool.submit(0, long_file)
    pool.run(lambda: len(pool.decoded) == 3, releasing=False)
    for _ in range(5):
        assert pool.events() == []  # nobody gives memory back: for more than the timeout nothing comes
    pool.release_all()
    pool.run(lambda: pool.ended)
    assert pool.ended[0].error is None
    assert sum(len(chunk.waves) for chunk in pool.decoded) == pool.ended[0].n_windows == 60


def test_a_file_whose_worker_was_killed_is_tried_again(
    pools: Callable[..., Pool], tmp_path: Path, long_file: Path
) -> None:
    pool = pools()
    others = [make_sound(tmp_path / f"{number}.flac", 1) for number in range(3)]
    for number, path in enumerate([long_file, *others]):
        pool.submit(number, path)
    pool.run(lambda: len(pool.decoded) == 3, releasing=False)
    (victim,) = worker_ids()
    os.kill(victim, signal.SIGKILL)
    pool.run(lambda: len(pool.ended) == 4)
    assert [pool.ended[number].error for number in range(4)] == [None] * 4
    assert victim not in worker_ids()
    windows, _ = decode_whole(long_file, SPEC, "full")
    again = [chunk for chunk in pool.decoded if chunk.task == 0 and chunk.retried]
    assert sum(len(chunk.starts) for chunk in again) == len(windows.waves) == pool.ended[0].n_windows
    assert [pool.ended[number].retried for number in range(4)] == [True, False, False, False]


def test_a_file_whose_worker_always_dies_fails_once_and_alone(
    pools: Callable[..., Pool], tmp_path: Path, long_file: Path
) -> None:
    pool = pools(2, change=Deadly(0.5))
    loud = tmp_path / "loud.wav"
    soundfile.write(loud, np.full(16000, 0.9), 16000)
    others = [make_sound(tmp_path / f"{number}.flac", 1) for number in range(6)]
    for number, path in enumerate([*others[:2], loud, *others[2:]]):
        pool.submit(number, path)
    pool.run(lambda: len(pool.ended) == 7)
    error = pool.ended[2].error
    assert error is not None
    assert (error.code, str(loud) in error.message) == ("worker-died", True)
    assert "died twice (killed by signal 9)" in error.message
    assert [pool.ended[number].error for number in (0, 1, 3, 4, 5, 6)] == [None] * 6


def test_a_file_that_stands_still_is_given_up(
    pools: Callable[..., Pool], tmp_path: Path, long_file: Path
) -> None:
    pool = pools(timeout=1)
    pool.submit(0, long_file)
    pool.submit(1, make_sound(tmp_path / "a.flac", 1))
    pool.run(lambda: len(pool.decoded) == 3, releasing=False)
    os.kill(worker_ids()[0], signal.SIGSTOP)
    pool.run(lambda: len(pool.ended) == 2)
    assert pool.ended[0].error is not None
    assert pool.ended[0].error.code == "timeout"
    assert pool.ended[1].error is None


class Fatal:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (3,)


def test_workers_that_cannot_start_end_the_run(tmp_path: Path) -> None:
    pool = DecodePool(2, replace(settings_for(SPEC, "full", 60), coverage=Fatal()))
    pool.submit(0, tmp_path / "a.flac")
    events = chain.from_iterable(iter(pool.events, None))
    with pytest.raises(EngineError, match=r"^no decode worker can start here \(exit code 3\)$"):
        list(events)
    pool.close()


def test_long_windows_come_in_small_chunks() -> None:
    short = FeatureSpec("musicnn-logmel", 16000, 512, 256, frames=187, step_frames=187, n_mels=96)
    long = FeatureSpec("logmel", 22050, 2048, 512, frames=1280, step_frames=1280, n_mels=128)
    assert settings_for(short, "fast", 1).chunk_windows == 8
    assert settings_for(long, "fast", 1).chunk_windows == 1
    for spec in (short, long):
        assert settings_for(spec, "fast", 1).ring_floats * 4 < 12 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_a_file_that_takes_too_much_memory_costs_only_itself(
    pools: Callable[..., Pool], tmp_path: Path
) -> None:
    pool = pools(memory=64 << 20)
    good = make_sound(tmp_path / "good.flac", 1)
    pictures(good.read_bytes(), 6)(tmp_path / "bad.flac")
    for number, path in enumerate((good, tmp_path / "bad.flac", good)):
        pool.submit(number, path)
    pool.run(lambda: pool.ended)
    workers = worker_ids()
    pool.run(lambda: len(pool.ended) == 3)
    assert worker_ids() == workers
    assert pool.ended[1].error is not None
    assert pool.ended[1].error.code == "out-of-memory"
    assert [pool.ended[number].error for number in (0, 2)] == [None, None]


def test_a_file_that_only_ever_makes_a_little_progress_is_given_up(
    pools: Callable[..., Pool], tmp_path: Path, long_file: Path
) -> None:
    pool = pools(patience=0.5, change=Slow(0.3))
    pool.submit(0, long_file)
    pool.submit(1, make_sound(tmp_path / "a.flac", 0.5))
    pool.run(lambda: len(pool.ended) == 2)
    assert pool.ended[0].error is not None
    assert pool.ended[0].error.code == "timeout"
    assert "s of work made" in pool.ended[0].error.message
    assert pool.ended[1].error is None


def test_waiting_for_others_is_no_work(pools: Callable[..., Pool], long_file: Path) -> None:
    pool = pools(patience=0.5)
    pool.submit(0, long_file)
    pool.run(lambda: len(pool.decoded) == 3, releasing=False)
    for _ in range(6):
        assert pool.events() == []
    pool.release_all()
    pool.run(lambda: pool.ended)
    assert pool.ended[0].error is None


def test_what_compiles_code_is_computed_before_the_first_file() -> None:
    statistics = FeatureSpec("fma-statistics", 44100, n_fft=2048, hop_length=512, frames=86, step_frames=86)
    assert settings_for(statistics, "fast", 1).warms_up
    assert settings_for(SPEC, "fast", 1, Slow(0)).warms_up
    assert not settings_for(SPEC, "fast", 1).warms_up


def test_what_a_worker_computes_first_is_no_file_s_time(pools: Callable[..., Pool], tmp_path: Path) -> None:
    pool = pools(timeout=1, patience=1.5, change=SlowStart(3))
    pool.submit(0, make_sound(tmp_path / "a.flac", 1))
    pool.run(lambda: pool.ended)
    assert pool.ended[0].error is None
