"""Files in, scores out: order, laziness, failures, and how it ends."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genretag import checkpoint as checkpoints
from genretag.errors import CheckpointError, DeviceError
from genretag.labels import LabelSet
from genretag.predict.engine import LOOK_AHEAD, EngineOptions, Job, TrackScores, predict
from genretag.predict.machine import Engine
from sounds import FIXTURES, make_sound


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the real kind that scores in a moment: never trained, three labels."""
    import torch

    from genretag.models.registry import build, preset

    torch.manual_seed(0)
    config = {"filters": 4}
    features = preset("vgg").features
    labels = LabelSet(("calm", "loud", "odd"), "multi", {})
    meta = checkpoints.CheckpointMeta("small", "vgg", config, features, labels)
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    checkpoints.save(path, meta, build("vgg", config, 3).state_dict())
    return path


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("music")
    return [
        make_sound(folder / f"{number}{suffix}", seconds, seed=number)
        for number, (suffix, seconds) in enumerate([(".mp3", 20), (".flac", 4), (".ogg", 9), (".opus", 1)])
    ]


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    yield
    assert not multiprocessing.active_children()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("genretag")]


def scores_of(path: Path, checkpoint: Path, **options: object) -> TrackScores:
    ((_, track),) = predict([Job(None, path)], checkpoint, EngineOptions(**options))
    assert track is not None
    return track


@pytest.mark.parametrize("model", ["musicnn-msd", "vgg-mtt"])
def test_full_coverage_gives_the_reference_scores(model: str) -> None:
    network, data = model.split("-")
    reference = np.load(FIXTURES / "reference_synthetic.npz")
    expected = reference[f"{data.upper()}_{network}|synthetic.wav"]
    path = FIXTURES / "synthetic.wav"
    track = scores_of(path, checkpoints.resolve(model), coverage="full", keep_windows=True)
    assert track.error is None
    assert track.windows == pytest.approx(expected, abs=1e-4)
    assert track.scores == pytest.approx(expected.mean(axis=0), abs=1e-4)
    assert track.starts is not None
    assert track.starts.tolist() == [k * 187 * 256 / 16000 for k in range(len(expected))]
    assert track.duration == pytest.approx(12.3, abs=0.05)
    assert track.seconds > 0


def test_answers_come_in_the_order_of_the_jobs(small: Path, music: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("no music\n" * 500)
    (tmp_path / "empty.flac").touch()
    odd = [tmp_path / "text.mp3", tmp_path / "none.ogg", tmp_path / "empty.flac"]
    paths = [*music, None, *odd, *reversed(music), None, None, music[0]]
    answers = list(
        predict((Job(job, path) for job, path in enumerate(paths)), small, EngineOptions(workers=2))
    )
    assert [item for item, _ in answers] == list(range(len(paths)))
    alone = {path: scores_of(path, small) for path in music}
    codes = []
    for path, (_, track) in zip(paths, answers, strict=True):
        if path is None:
            assert track is None
            continue
        assert track is not None
        if path in alone:
            assert track.scores == pytest.approx(alone[path].scores, abs=1e-6)
        else:
            assert track.error is not None
            assert (track.scores, track.n_windows) == (None, 0)
            codes.append(track.error.code)
    assert codes == ["not-audio", "missing", "empty"]


def test_fast_full_and_a_number_of_windows(small: Path, music: list[Path]) -> None:
    # The longest is 20 s: six whole windows of 2.99 s.
    for coverage, count in (("full", 6), ("fast", 6), (2, 2)):
        track = scores_of(music[0], small, coverage=coverage, keep_windows=True)
        assert track.n_windows == count
        assert track.windows is not None
        assert track.windows.shape == (count, 3)
        assert track.scores == pytest.approx(track.windows.mean(axis=0), abs=1e-6)
    track = scores_of(music[0], small, coverage="full")
    assert (track.windows, track.starts) == (None, None)


def test_long_tracks_do_not_lose_windows_among_many_threads(small: Path, tmp_path: Path) -> None:
    path = make_sound(tmp_path / "long.wav", 100, rate=16000, channels=1)
    whole = scores_of(path, small, coverage="full", keep_windows=True)
    again = scores_of(path, small, coverage="full", keep_windows=True, batch_size=20)
    assert whole.n_windows == 33
    assert whole.starts is not None
    assert whole.starts.tolist() == [k * 187 * 256 / 16000 for k in range(33)]
    assert again.windows == pytest.approx(whole.windows, abs=1e-5)


def test_jobs_are_taken_a_bounded_number_ahead(small: Path, music: list[Path]) -> None:
    taken: list[int] = []

    def endless(path: Path | None) -> Iterator[Job[int]]:
        for number in itertools.count():
            taken.append(number)
            yield Job(number, path if number % 1000 == 0 else None)

    answers = predict(endless(None), small, EngineOptions())
    assert [next(answers)[0] for _ in range(3)] == [0, 1, 2]
    assert len(taken) == 3
    answers.close()

    taken.clear()
    answers = predict(endless(music[0]), small, EngineOptions())
    assert next(answers)[1] is not None
    assert len(taken) == LOOK_AHEAD
    answers.close()


def test_files_under_way_are_few(small: Path, music: list[Path]) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Job[int]]:
        for number in itertools.count():
            taken.append(number)
            yield Job(number, music[3])

    answers = predict(endless(), small, EngineOptions(workers=2))
    for count in range(1, 30):
        next(answers)
        assert len(taken) < count + 10
    answers.close()


def test_nothing_starts_where_nothing_is_analysed() -> None:
    script = (
        "import sys, multiprocessing, threading\n"
        "from pathlib import Path\n"
        "from genretag.predict.engine import EngineOptions, Job, predict\n"
        "answers = predict([Job(1, None), Job(2, None)], Path('none'), EngineOptions())\n"
        "print(list(answers), 'torch' in sys.modules, threading.active_count())\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout == "[(1, None), (2, None)] False 1\n"


def test_what_breaks_the_engine_is_raised(small: Path, music: list[Path], tmp_path: Path) -> None:
    jobs = [Job(1, None), *(Job(2, path) for path in music)]
    answers = predict(jobs, small, EngineOptions(device="cuda:99"))
    assert next(answers) == (1, None)
    with pytest.raises(DeviceError):
        list(answers)
    with pytest.raises(CheckpointError):
        list(predict(jobs, tmp_path / "none.safetensors", EngineOptions()))
    # A description that is whole with tensors that are not: seen only when the model is loaded.
    checkpoint = checkpoints.load(small)
    damaged = dict(list(checkpoint.state.items())[:-1])
    checkpoints.save(tmp_path / "damaged.safetensors", checkpoint.meta, damaged)
    with pytest.raises(CheckpointError):
        list(predict(jobs, tmp_path / "damaged.safetensors", EngineOptions()))


def test_an_error_of_the_jobs_is_raised(small: Path, music: list[Path]) -> None:
    def jobs() -> Iterator[Job[int]]:
        yield Job(1, music[0])
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        list(predict(jobs(), small, EngineOptions()))


def test_the_work_goes_on_while_nobody_asks(small: Path, music: list[Path]) -> None:
    from genretag.predict.score import Scorer

    checkpoint = checkpoints.load(small)
    engine = Engine(checkpoint.meta.features, lambda: Scorer(checkpoint), EngineOptions(workers=1))
    tracks = [engine.submit(path) for path in music]
    end = time.monotonic() + 60
    while not all(track.done for track in tracks) and time.monotonic() < end:
        time.sleep(0.05)
    engine.close()
    assert [track.scored for track in tracks] == [6, 1, 3, 1]


def test_an_early_end_stops_everything(small: Path, music: list[Path]) -> None:
    answers = predict([Job(path, path) for path in music * 5], small, EngineOptions(workers=2))
    next(answers)
    assert multiprocessing.active_children()
    answers.close()
    assert not multiprocessing.active_children()
    predict([Job(1, music[0])], small, EngineOptions()).close()  # before anything began


SCRIPT = """
import multiprocessing, sys
from pathlib import Path
from genretag.predict.engine import EngineOptions, Job, predict

jobs = (Job(number, Path(sys.argv[2])) for number in range(10**6))
try:
    for number, track in predict(jobs, Path(sys.argv[1]), EngineOptions(workers=2, coverage="full")):
        assert track.error is None, track.error
        if number == 1:
            workers = [child.pid for child in multiprocessing.active_children()]
            server = multiprocessing.forkserver._forkserver._forkserver_pid
            tracker = multiprocessing.resource_tracker._resource_tracker._pid
            print(*workers, server, tracker, flush=True)
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(130)
"""


@pytest.fixture
def busy_program(small: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A program in the midst of a long run, without a `__main__` guard; and its processes."""
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    sound = make_sound(tmp_path / "a.mp3", 20)
    program = subprocess.Popen(
        [sys.executable, script, small, sound],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    processes = [int(word) for word in program.stdout.readline().split()]
    yield program, processes
    program.kill()
    program.communicate()


def gone(processes: list[int]) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        states = [Path(f"/proc/{process}/stat") for process in processes]
        if not any(stat.exists() and stat.read_text().rsplit(")")[-1].split()[0] != "Z" for stat in states):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_a_killed_program_leaves_no_process_and_no_memory(
    busy_program: tuple[subprocess.Popen[str], list[int]],
) -> None:
    program, processes = busy_program
    assert len(processes) == 4
    program.kill()
    _, errors = program.communicate(timeout=60)
    assert gone(processes)
    assert errors == ""
    assert not [name for name in os.listdir("/dev/shm") if f"-{program.pid}-" in name]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_everything_without_a_word(
    busy_program: tuple[subprocess.Popen[str], list[int]], times: int
) -> None:
    program, processes = busy_program
    for _ in range(times):
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does it: to all of them
    output, errors = program.communicate(timeout=60)
    if times == 1:
        assert (program.returncode, output, errors) == (130, "interrupted\n", "")
    assert "resource_tracker" not in errors
    assert gone(processes)


def test_libraries_say_nothing(small: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    jobs = []
    for number, suffix in enumerate([".mp3", ".ogg", ".m4a", ".flac", ".wma"] * 2):
        content = np.frombuffer(make_sound(tmp_path / f"a{suffix}", 4).read_bytes(), np.uint8).copy()
        content[random.integers(400, len(content), 200)] = random.integers(0, 256, 200)
        path = tmp_path / f"{number}{suffix}"
        # libmpg123 comments on the head of an MP3 file, which is all there is of the first.
        path.write_bytes(content[: random.integers(1000, len(content)) if number else 400].tobytes())
        jobs.append(f"Job({number}, Path({str(path)!r}))")
    script = (
        "from pathlib import Path\n"
        "from genretag.predict.engine import EngineOptions, Job, predict\n"
        f"jobs = [{', '.join(jobs)}]\n"
        f"print(len(list(predict(jobs, Path({str(small)!r}), EngineOptions()))))\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (answer.stdout, answer.stderr) == ("10\n", "")
