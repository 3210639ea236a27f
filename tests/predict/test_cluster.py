"""Many nodes give what one machine gives, also when some of them go: real Ray clusters, on this machine."""

from __future__ import annotations

import atexit
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from command import Answer, in_own_process, start
from genretag.errors import EngineError, FileError, UsageError
from genretag.predict import stations
from genretag.predict.cluster import ClusterPredictor
from genretag.predict.connection import STORE_BYTES
from genretag.predict.engine import A, EngineOptions, Job, TrackScores, predict
from genretag.store import FLUSH_SECONDS
from genretag.tagging.look import read
from sounds import make_sound

pytest.importorskip("ray", reason="Ray is not installed (extra cluster)")

MODEL = "musicnn-msd"
OPTIONS = EngineOptions(device="cpu", coverage=3)


class Nodes:
    """A cluster whose nodes are processes of this machine: a head without cores, and nodes of one core."""

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self.cluster.address
        self.nodes = [self.add() for _ in range(count)]

    def add(self) -> Any:
        return self.cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)

    def remove(self) -> None:
        """Kill a node with all that runs on it."""
        self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        functions: list[Callable[..., object]] = []
        register = atexit.register

        def remember(function: Callable[..., object], /, *values: Any, **options: Any) -> object:
            functions.append(function)
            return register(function, *values, **options)

        patch.setattr(atexit, "register", remember)
        nodes = Nodes(2)
        yield nodes
        nodes.cluster.shutdown()
        # A child that another test forks drops the functions for the exit of this process, and crashes when
        # that frees a client of Ray's there.
        for function in functions:
            atexit.unregister(function)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Songs of several formats and lengths, and files that are none."""
    folder = tmp_path_factory.mktemp("library")
    kinds = (".mp3", ".flac", ".ogg", ".m4a", ".wav", ".opus")
    for number in range(36):
        make_sound(folder / f"{number:02} é{kinds[number % 6]}", 2 + 11 * number % 30, seed=number)
    (folder / "05 broken.mp3").write_bytes(b"no sound at all " * 99)
    (folder / "20 empty.flac").touch()
    return folder


@pytest.fixture(scope="module")
def here(library: Path) -> list[object]:
    """What this machine alone says of the library."""
    return [told(track) for _, track in predict(jobs(library), model(), OPTIONS)]


def model() -> Path:
    from genretag import checkpoint

    return checkpoint.resolve(MODEL)


def jobs(library: Path) -> Iterator[Job[Path]]:
    return (Job(path, path) for path in sorted(library.iterdir()))


def told(track: TrackScores | None) -> object:
    """All of an answer but the time it took; scores as their bits."""
    assert track is not None
    return (
        track.scores.tobytes() if track.scores is not None else track.error,
        track.duration,
        track.n_windows,
        track.state,
    )


def without_seconds(answer: Answer) -> list[dict[str, Any]]:
    return [{**record, "seconds": None} for record in answer.records]


def on(nodes: Nodes) -> ClusterPredictor:
    return ClusterPredictor(model(), OPTIONS, nodes.address)


def test_the_command_prints_the_same_lines_as_on_one_machine(
    nodes: Nodes, library: Path, tmp_path: Path
) -> None:
    arguments = ("tag", "-n", "--json", "--model", MODEL, "--coverage", 3, "--device", "cpu", library.name)
    alone = in_own_process(*arguments, cwd=library.parent)
    environment = {**os.environ, "GENRETAG_HOME": str(tmp_path)}
    cluster = ("--engine", "ray", "--ray-address", nodes.address)
    together = in_own_process(*arguments, *cluster, cwd=library.parent, env=environment)
    assert together.code == alone.code == 1
    assert without_seconds(together) == without_seconds(alone)
    assert len(together.records) == 38
    # What is known is not asked of the cluster, so it need not be there.
    again = in_own_process(*arguments, "--engine", "ray", "--ray-address", "127.0.0.1:1", env=environment,
                           cwd=library.parent)  # fmt: skip
    assert [r["scores"] for r in again.records] == [r["scores"] for r in alone.records]


def test_a_few_files_among_many_that_are_known_are_heard(
    nodes: Nodes, library: Path, here: list[object]
) -> None:
    """Fewer than a call has, and no more come before the first of them is answered."""
    songs = sorted(library.iterdir())
    known: list[Job[Path]] = [Job(Path(), None)] * 5000
    mixed = [*(Job(song, song) for song in songs[:3]), *known, Job(songs[3], songs[3])]
    with closing(on(nodes)) as predictor:
        answers = [track for _, track in predictor.predict(mixed)]
    assert [told(track) for track in answers if track] == here[:4]
    assert answers[3:-1] == [None] * 5000


def test_a_node_that_goes_in_mid_run_costs_no_file(
    nodes: Nodes, library: Path, here: list[object], capfd: pytest.CaptureFixture[str]
) -> None:
    nodes.nodes.append(nodes.add())
    answers = []
    with closing(on(nodes)) as predictor:
        for _, track in predictor.predict(jobs(library)):
            answers.append(told(track))
            if len(answers) == 3:
                nodes.remove()
        time.sleep(2)  # in which Ray hears of it
    assert answers == here
    assert capfd.readouterr().out == ""  # the place of the records


class Fragile(stations.Hearer):
    """An actor that does not survive one of the files."""

    def score(self, paths: Sequence[Path]) -> list[TrackScores]:
        if any(path.name.startswith("07") for path in paths):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(paths)


def test_a_file_that_ends_every_process_is_given_up_and_no_other(
    nodes: Nodes, library: Path, here: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(stations, "Hearer", Fragile)
    monkeypatch.setattr(stations, "LOOK_SECONDS", 0.5)
    with closing(on(nodes)) as predictor:
        answers = [(path, track) for path, track in predictor.predict(jobs(library))]
    ((number, error),) = [
        (number, track.error)
        for number, (path, track) in enumerate(answers)
        if track is not None and track.error is not None and track.error.code == "worker-died"
    ]
    assert "07 é.flac: 3 processes that had it were lost" in error.message
    heard = [told(track) for _, track in answers]
    assert [*heard[:number], *heard[number + 1 :]] == [*here[:number], *here[number + 1 :]]


class Clumsy(stations.Hearer):
    """An actor that does not survive doing something with one of the files."""

    def do(self, work: Callable[[Path], A], paths: Sequence[Path]) -> list[A]:
        if any(path.name.startswith("07") for path in paths):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().do(work, paths)


def test_a_file_that_ends_every_process_that_reads_it_is_given_up_and_no_other(
    nodes: Nodes, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(stations, "Hearer", Clumsy)
    monkeypatch.setattr(stations, "LOOK_SECONDS", 0.5)
    songs = sorted(library.iterdir())
    with closing(on(nodes)) as predictor:
        waiting = [predictor.elsewhere(read, song) for song in songs]
        answers = [answer() for answer in waiting]
    lost = answers[songs.index(library / "07 é.flac")]
    assert isinstance(lost, FileError)
    assert lost.code == "worker-died"
    assert "07 é.flac: 3 processes that had it were lost" in lost.message
    assert [one for one in answers if one is not lost] == [
        read(song) for song in songs if "07 é" not in song.name
    ]


def test_what_a_node_does_not_see_is_told_with_its_name(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    host = platform.node()
    monkeypatch.setattr(platform, "node", lambda: "another")
    with closing(on(nodes)) as predictor:
        answer = predictor.elsewhere(read, Path("song.mp3"))()
    assert answer.error == FileError(
        "missing",
        "song.mp3: cannot be read (No such file or directory) "
        f"(on {host}; every node must see the files under the same path)",
    )


def test_a_killed_command_goes_on_where_it_was(nodes: Nodes, library: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "GENRETAG_HOME": str(tmp_path)}
    cluster = ("--engine", "ray", "--ray-address", nodes.address)
    arguments = ("tag", "-n", "--json", "--model", MODEL, *cluster, library)
    first = start(*arguments, env=environment)
    assert first.stdout is not None
    lines = [first.stdout.readline() for _ in range(3)]
    first.send_signal(signal.SIGSTOP)
    time.sleep(FLUSH_SECONDS + 0.1)  # what is known by then is written with the next file
    first.send_signal(signal.SIGCONT)
    lines += [first.stdout.readline() for _ in range(17)]
    first.kill()
    first.communicate()
    again = in_own_process(*arguments, env=environment)
    assert len(again.records) == 38
    known = [record for record in again.records if record["scores"] and not record["seconds"]]
    assert 0 < len(known) < 36
    assert [record["scores"] for record in again.records[:20]] == [
        json.loads(line)["scores"] for line in lines
    ]


def test_what_breaks_the_engine_on_a_node_is_raised(nodes: Nodes, library: Path) -> None:
    wrong = EngineOptions(device="cuda")
    with (
        closing(ClusterPredictor(model(), wrong, nodes.address)) as predictor,
        pytest.raises(EngineError, match="no node of the Ray cluster has a GPU to give"),
    ):
        list(predictor.predict(jobs(library)))


def test_a_cluster_that_is_not_there_is_told_in_a_line(library: Path) -> None:
    with (
        closing(ClusterPredictor(model(), OPTIONS, "127.0.0.1:1")) as predictor,
        pytest.raises(EngineError, match=r"^--ray-address 127\.0\.0\.1:1: no Ray cluster answers"),
    ):
        list(predictor.predict(jobs(library)))


def test_a_cluster_that_asks_for_a_token_says_so(library: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    secret = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64, "HOME": str(tmp_path)}
    port = address.partition(":")[2]
    head = ("start", "--head", "--port", port, "--num-cpus", "1", "--include-dashboard", "false")
    with subprocess.Popen(
        [Path(sys.executable).with_name("ray"), *head, "--block"],
        env=secret,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        try:
            arguments = ("tag", "-n", "--engine", "ray", "--ray-address", address, library / "00 é.mp3")
            while socket.socket().connect_ex(("127.0.0.1", int(port))):
                time.sleep(0.1)
            open_to_all = {**os.environ, "RAY_AUTH_MODE": "disabled"}
            refused = in_own_process(*arguments, env=open_to_all)
            assert refused.code == 2
            reason = "the Ray cluster asks for a token; set RAY_AUTH_MODE=token, and have the cluster's"
            line = f"genretag: --ray-address {address}: {reason} ~/.ray/auth_token here"
            assert refused.err.splitlines() == [line]
            assert in_own_process(*arguments, "--model", MODEL, env=secret).code == 0
        finally:
            running.terminate()


@pytest.mark.parametrize(
    ("device", "address"), [("mps", None), ("cuda:1", None), ("cpu", "ray://head:10001")]
)
def test_what_a_cluster_cannot_have_is_refused_at_once(device: str, address: str | None) -> None:
    with pytest.raises(UsageError):
        ClusterPredictor(model(), EngineOptions(device=device), address)
