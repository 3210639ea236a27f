"""Runs that were killed go on where they were, and what plays music meanwhile notices nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from command import Command, command_line
from genretag.audio.payload import identify
from genretag.tagging import tags
from sounds import make_sound

SURE = ("--model", "musicnn-msd", "--threshold", "0", "--top", "2")
FILES, HEARD = 24, 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(FILES):
        make_sound(folder / f"{number:02}.flac", 3.5, seed=number % 4, level=0.2 + number / 100)
    return folder


@pytest.mark.parametrize(("number", "whom"), [(signal.SIGKILL, "it"), (signal.SIGHUP, "its group")])
def test_what_was_heard_before_a_stop_is_not_heard_again(
    genretag: Command, folder: Path, number: int, whom: str
) -> None:
    line = command_line("tag", "-n", "--json", *SURE, folder)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    for _ in range(HEARD):
        process.stdout.readline()
    (os.kill if whom == "it" else os.killpg)(process.pid, number)
    process.communicate(timeout=30)
    again = genretag("tag", "-n", "--json", *SURE, folder)
    assert again.code == 0, "no file may count as failed because its worker was stopped"
    known = [record["seconds"] == 0 for record in again.records]
    assert len(known) == FILES
    assert sum(known[:HEARD]) >= HEARD - 4
    assert not all(known), "all was heard before the stop: the test tests nothing"


def test_what_was_written_before_a_kill_is_not_even_opened(genretag: Command, folder: Path) -> None:
    process = subprocess.Popen(command_line("tag", "--json", *SURE, folder), stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(HEARD):
        process.stdout.readline()
    process.kill()
    process.communicate(timeout=30)
    again = genretag("tag", "--json", *SURE, "--existing", "replace", folder)
    assert again.code == 0
    statuses = [(record["status"], record["seconds"]) for record in again.records]
    assert statuses[:HEARD] == [("unchanged", 0.0)] * HEARD
    assert statuses[-1][0] == "written"


READER = """
import json, mmap, sys
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    first = file.read(1000)
    print("open", flush=True)
    sys.stdin.readline()
    import hashlib
    print(json.dumps([hashlib.sha256(first + file.read()).hexdigest(), hashlib.sha256(mapped).hexdigest()]))
"""


def test_a_player_hears_the_old_file_to_its_end(genretag: Command, tmp_path: Path) -> None:
    song, plan = make_sound(tmp_path / "song.mp3", 2.0), tmp_path / "plan"
    plan.write_text(json.dumps({"path": str(song), "genres": ["Rock"], "audio": identify(song)}))
    before = hashlib.sha256(song.read_bytes()).hexdigest()
    pipe = subprocess.PIPE
    player = subprocess.Popen(
        [sys.executable, "-c", READER, str(song)], stdin=pipe, stdout=pipe, text=True, bufsize=1
    )
    assert player.stdout is not None
    player.stdout.readline()
    assert genretag("apply", plan).code == 0
    assert tags.read(song).genres == ("Rock",)
    out, _ = player.communicate("go on\n", timeout=30)
    assert json.loads(out) == [before, before]
    shutil.rmtree(tmp_path, ignore_errors=True)
