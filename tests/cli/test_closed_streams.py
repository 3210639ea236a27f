"""Standard streams that are closed, full or read by nobody: no traceback, and the right exit code."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import typer

from command import Answer, command_line
from genretag.cli.app import app
from genretag.tagging import tags
from small_lessons import GENRES, make_lessons
from sounds import make_sound

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")

State = Literal["open", "closed", "full", "broken"]
SURE = ("--model", "musicnn-msd", "--threshold", "0")
FULL = "genretag: the output cannot be written (No space left on device); what was finished is kept\n"
# Exit codes of a command that had something to print, by the state of its standard output.
CODES = {"full": 1, "broken": 141}


def commands() -> Iterator[tuple[str, ...]]:
    """Yield the path of every command in the live table."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while waiting:
        path, command = waiting.pop()
        waiting += [((*path, name), below) for name, below in getattr(command, "commands", {}).items()]
        yield path


def run(*arguments: object, out: State = "open", err: State = "open", stdin: State = "open") -> Answer:
    """Run a command line with its streams in these states; what it writes to an open one is returned."""
    closed = "".join(
        text for state, text in ((stdin, " <&-"), (out, " >&-"), (err, " 2>&-")) if state == "closed"
    )
    line = ["bash", "-c", f'exec "$@"{closed}', "bash", *command_line(*arguments)]
    streams = [_stream(state) for state in (out, err)]
    process = subprocess.Popen(
        line, text=True, stdin=subprocess.DEVNULL, stdout=streams[0], stderr=streams[1]
    )
    for stream in streams:
        if stream >= 0:
            os.close(stream)
    shown = process.communicate(timeout=120)
    return Answer(process.returncode, shown[0] or "", shown[1] or "")


def _stream(state: State) -> int:
    if state == "full":
        return os.open("/dev/full", os.O_WRONLY)
    if state == "broken":
        ours, theirs = os.pipe()
        os.close(ours)
        return theirs
    return subprocess.PIPE


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with music, one file that fails, and a home in which all of them are known."""
    folder = tmp_path_factory.mktemp("analysed")
    (folder / "music").mkdir()
    for number in range(3):
        make_sound(folder / "music" / f"{number}.flac", 2, seed=number)
    (folder / "music" / "x.mp3").touch()
    done = subprocess.run(
        command_line("tag", "-n", *SURE, folder / "music"),
        env=os.environ | {"GENRETAG_HOME": str(folder / "home")},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    return folder


@pytest.fixture
def music(analysed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(analysed, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("GENRETAG_HOME", str(tmp_path / "home"))
    return tmp_path / "music"


def tagged(music: Path) -> int:
    return sum(bool(tags.read(path).genres) for path in music.glob("*.flac"))


@pytest.mark.parametrize("path", [pytest.param(path, id=" ".join(path)) for path in commands()])
def test_every_command(path: tuple[str, ...]) -> None:
    for state, code in CODES.items():
        answer = run(*path, "--help", out=state)  # type: ignore[arg-type]
        assert answer.code == code
        assert answer.err == (FULL if state == "full" else "")
    assert run(*path, "--nonsense", out="closed", err="closed", stdin="closed").code == 2
    answer = run(*path, "--nonsense", err="broken")
    assert (answer.code, answer.out) == (2, "")


@pytest.mark.parametrize(
    "states",
    [
        {"out": "closed"},
        {"err": "closed"},
        {"err": "full"},
        {"err": "broken"},
        {"out": "closed", "err": "broken"},
        {"out": "closed", "err": "closed", "stdin": "closed"},
    ],
    ids=str,
)
def test_what_nobody_reads_changes_nothing(music: Path, states: dict[str, State]) -> None:
    before = {path: path.read_bytes() for path in music.iterdir()}
    plan, text = music.parent / "plan.jsonl", music / "x.mp3"
    expected: list[tuple[int, tuple[object, ...]]] = [
        (1, ("tag", "--plan", plan, *SURE, music, text)),
        (1, ("tag", *SURE, music, text)),
        (0, ("history",)),
        (0, ("report", "--model", "musicnn-msd", music)),
        (0, ("undo",)),
        (0, ("apply", plan)),
        (0, ("undo", "1")),
        (0, ("models",)),
        (0, ("datasets",)),
        (0, ("config", "set", "tag.top", "2")),
        (0, ("config",)),
        (2, ("tag", music / "gone")),
        (1, ("playlists", music.parent / "lists", music)),
    ]
    for code, arguments in expected:
        answer = run(*arguments, **states)
        assert answer.code == code, arguments
        assert "Traceback" not in answer.err
        if arguments[0] == "undo":
            assert {path: path.read_bytes() for path in music.iterdir()} == before or len(arguments) > 1
        elif arguments[0] == "apply" or arguments[:2] == ("tag", "--model"):
            assert tagged(music) == 3
        elif states.get("out") is None and code == 0 and arguments[0] != "playlists":
            assert answer.out


@pytest.mark.parametrize("state", CODES)
def test_an_output_that_cannot_be_written(music: Path, state: State) -> None:
    before = {path: path.read_bytes() for path in music.iterdir()}
    code = CODES[state]
    answer = run("tag", "--json", *SURE, music, out=state)
    assert answer.code == code
    assert answer.err == (FULL if state == "full" else "")
    # The first file was finished when its record could not be printed.
    assert tagged(music) == 1
    for arguments in (("history",), ("report", "--model", "musicnn-msd", music), ("models",), ("config",)):
        for err in ("open", "broken"):
            answer = run(*arguments, out=state, err=err)  # type: ignore[arg-type]
            assert answer.code == code
            assert answer.err == (FULL if state == "full" and err == "open" else "")
    assert run("undo", "--json", out=state, err="full").code == code
    assert {path: path.read_bytes() for path in music.iterdir()} == before


def test_training(tmp_path: Path) -> None:
    labelled = make_lessons(tmp_path / "labelled", 4, GENRES[:2])
    options = ("--min-files", "4", "--name", "two", "--no-default", labelled)
    assert run("learn", *options, out="closed", err="full").code == 0
    assert "two" in run("models").out


@pytest.mark.parametrize("err", ["closed", "broken"])
def test_watching(music: Path, err: State) -> None:
    pytest.importorskip("watchfiles", reason="watchfiles is not installed")
    closed = " 2>&-" if err == "closed" else ""
    line = command_line("watch", "--settle", "0", "--initial", "--json", *SURE, music)
    stream = _stream(err)
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@"{closed}', "bash", *line], text=True, stdout=subprocess.PIPE, stderr=stream
    )
    if stream >= 0:
        os.close(stream)
    assert process.stdout is not None
    records = [process.stdout.readline() for _ in range(3)]
    assert all('"written"' in record for record in records)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (0, 1)
    assert tagged(music) == 3


def test_files_do_not_get_the_numbers_of_closed_streams(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys; from genretag.cli.streams import prepare_standard_streams;"
        "prepare_standard_streams(); file = open(sys.argv[1], 'wb'); assert file.fileno() > 2;"
        "os.write(1, b'printed'); os.write(2, b'printed'); print(sys.stdin.read(), flush=True);"
        'child = \'import os; os.write(1, b"x"); os.write(2, b"x")\';'
        "subprocess.run([sys.executable, '-c', child], check=True);"
        "file.write(b'kept')"
    )
    path = tmp_path / "file"
    line = ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash", sys.executable, "-c", script, str(path)]
    assert subprocess.run(line, timeout=60, check=False).returncode == 0
    assert path.read_bytes() == b"kept"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_pipe_that_does_not_block_gets_everything(unbuffered: str) -> None:
    script = (
        "from genretag.cli.streams import prepare_standard_streams; prepare_standard_streams();"
        "print('x' * 1_000_000)"
    )
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETFL, fcntl.fcntl(theirs, fcntl.F_GETFL) | os.O_NONBLOCK)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=theirs, env=os.environ | {"PYTHONUNBUFFERED": unbuffered}
    )
    os.close(theirs)
    with open(ours, "rb") as pipe:
        assert len(pipe.read()) == 1_000_001
    assert process.wait(60) == 0
