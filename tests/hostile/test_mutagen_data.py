"""Every file of mutagen's own test data, as its source distribution brings them: shown, written, taken back.

They are fetched through pip, once, and are no part of this repository (GPL).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import filelock
import mutagen
import pytest

from command import in_own_process

FETCH = (*("-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"), "--retries", "0")
# Some end before their headers say, and were fetched just now.
REFUSED = {"bad-tags", "not-taggable", "incomplete"}


@pytest.fixture(scope="module")
def data(request: pytest.FixtureRequest) -> Path:
    folder = Path(request.config.cache.mkdir(f"mutagen-{mutagen.version_string}"))
    with filelock.FileLock(folder.with_suffix(".lock")):  # another process of the tests may want it too
        if not (folder / "data").is_dir():
            _fetch(folder)
    return folder / "data"


def _fetch(folder: Path) -> None:
    """Put the files into `folder`/data, in one step."""
    wanted = f"mutagen=={mutagen.version_string}"
    # A build of its own would fetch more packages; where setuptools is missing there is no other way.
    for options in (("--no-build-isolation",), ()):
        command = [sys.executable, *FETCH, *options, "--dest", str(folder), wanted]
        try:
            done = subprocess.run(command, capture_output=True, timeout=100, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            done = False
        if done:
            break
    archives = list(folder.glob("mutagen-*.tar.gz"))
    if not archives:
        pytest.skip("the source distribution of mutagen cannot be fetched here")
    part = folder / "part"
    shutil.rmtree(part, ignore_errors=True)
    with tarfile.open(archives[0]) as archive:
        archive.extractall(part, filter="data")
    (next(part.glob("*/tests/data"))).rename(folder / "data")
    shutil.rmtree(part)


def test_every_file_is_shown_written_and_taken_back(data: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    shutil.copytree(data, music)
    files = sorted(path for path in music.rglob("*") if path.is_file())
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in files}
    assert len(files) >= 100
    names = tmp_path / "names"
    names.write_bytes(b"\0".join(bytes(path) for path in files))

    shown = in_own_process("tag", "-n", "--json", "--model", "musicnn-msd", "--files-from", names, "-0")
    assert shown.code == 1
    assert "Traceback" not in shown.err
    assert [Path(record["path"]) for record in shown.records] == files
    assert "timeout" not in {record["error"]["code"] for record in shown.records if record["error"]}

    # Most of them are silent or too short for a model: a plan writes into those as well.
    plan = tmp_path / "plan.jsonl"
    lines = ({"path": str(path), "status": "planned", "genres": ["Trip-Hop", "Ménage"]} for path in files)
    plan.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    applied = in_own_process("apply", "--json", "--under", music, plan)
    assert applied.code == 1
    assert "Traceback" not in applied.err
    written = {Path(record["path"]) for record in applied.records if record["status"] == "written"}
    codes = {record["error"]["code"] for record in applied.records if record["error"]}
    assert codes == REFUSED
    assert len(written) > 70
    assert {path for path in files if hashlib.sha256(path.read_bytes()).digest() != before[path]} == written

    undone = in_own_process("undo", "--json")
    assert undone.code == 0
    assert {record["status"] for record in undone.records} == {"undone"}
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in files} == before
    assert sorted(path for path in music.rglob("*") if path.is_file()) == files
