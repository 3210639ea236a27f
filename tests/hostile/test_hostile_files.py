"""The real command over files made to break it: a line for each bad one, the good ones tagged, all undone."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from command import Answer, in_own_process
from hostile_files import heavy, lying, make, nested
from sounds import make_sound

# No model is sure of a test generator's chords.
SURE = ("--model", "musicnn-msd", "--threshold", "0", "--top", "1")
MEMORY = 3 << 30  # that each process of a run may have; the largest bomb here would take 6 GB
TAKEN = {
    *("picture.mp3", "pictures.flac", "bomb APIC 3.mp3", "bomb APIC 4.mp3"),
    *("four tags.mp3", "four tags twice.mp3", "id3 in a picture.mp3", "id3 in a row.mp3", "id3 in id3.mp3"),
    *("chapters in a circle.mp3", "xing frames.mp3", "flac total.flac", "flac no total.flac"),
    *("samples of one size.m4a", "a.mp3", "b.flac", "c.opus"),
}
TOO_LARGE = {
    *("bomb TCON 3.mp3", "bomb TCON 4.mp3", "empty frames.mp3", "tags without end.mp3"),
    *("a genre of a megabyte.mp3", "zeros.flac", "zeros.wav", "zeros behind the data.wav"),
    *("zeros.m4a", "zeros.ape", "zeros.wma", "zeros.dsf", "zeros behind the music.flac"),
}


def limited(*arguments: object) -> Answer:
    """The command line as a process that, like those it starts, cannot have more than MEMORY."""
    if sys.platform != "linux":
        return in_own_process(*arguments)
    import resource

    limits = (resource.RLIMIT_DATA, (MEMORY, MEMORY))
    return in_own_process(*arguments, preexec_fn=lambda: resource.setrlimit(*limits))


def states(folder: Path) -> dict[Path, object]:
    """What each file holds; of those of gigabytes, whether they were touched."""
    found: dict[Path, object] = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        if status.st_size > 1 << 30:
            found[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
        elif path.is_file():
            found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def by_name(answer: Answer) -> dict[str, dict[str, Any]]:
    assert "Traceback" not in answer.err
    records = {Path(record["path"]).name: record for record in answer.records}
    assert len(records) == len(answer.records)
    for name, record in records.items():
        assert (record["status"] == "failed") == (record["error"] is not None), name
        if record["error"]:
            assert name in record["error"]["message"]
            assert "\n" not in record["error"]["message"]
    return records


@pytest.fixture
def library(tmp_path: Path) -> Path:
    music = tmp_path / "music"
    make(music / "heavy", heavy())
    make(music / "lying", lying())
    make(music / "nested", nested())
    for number, name in enumerate(("a.mp3", "b.flac", "c.opus")):
        make_sound(music / name, 2, seed=20 + number)
    return music


def test_hostile_files_cost_one_line_each_and_nothing_else(library: Path) -> None:
    before = states(library)
    shown = by_name(limited("tag", "-n", "--json", *SURE, library))
    assert len(shown) == len(before)
    assert states(library) == before

    answer = limited("tag", "--json", *SURE, library)
    records = by_name(answer)
    assert answer.code == 1
    written = {name for name, record in records.items() if record["status"] == "written"}
    codes = {name: record["error"]["code"] for name, record in records.items() if record["error"]}
    assert set(records) == written | set(codes)
    assert written >= TAKEN
    assert {name for name, code in codes.items() if code == "too-large"} == TOO_LARGE
    assert not {"timeout", "worker-died", "out-of-memory"} & set(codes.values())
    # A second run also has the scores of the same sound in a file that is whole, and writing tells more lies.
    assert written >= {name for name, record in shown.items() if record["status"] == "planned"} - set(codes)
    changed = {path.name for path, state in states(library).items() if state != before[path]}
    assert changed == written

    undone = limited("undo", "--json")
    assert undone.code == 0
    assert {record["status"] for record in undone.records} == {"undone"}
    assert states(library) == before
