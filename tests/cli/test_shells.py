"""What shells make of paths: `~` that they leave alone, lists in pipes, and `make tag`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from command import Command, command_line
from sounds import make_sound

ROOT = Path(__file__).parents[2]
SURE = ("--model", "musicnn-msd", "--threshold", "0", "--top", "1")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a folder of two songs; the working folder is another one."""
    folder = tmp_path / "a home"
    (folder / "My Music").mkdir(parents=True)
    for number in range(2):
        make_sound(folder / "My Music" / f"{number}.flac", 3.0, seed=number)
    monkeypatch.setenv("HOME", str(folder))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


@pytest.mark.parametrize("given", ["~/My Music", "~/My Music/0.flac"])
def test_a_tilde_that_the_shell_left_is_expanded(genretag: Command, home: Path, given: str) -> None:
    answer = genretag("tag", "-n", "--json", *SURE, given)
    assert answer.code == 0, answer.err
    assert {record["path"] for record in answer.records} <= {
        str(home / "My Music" / f"{number}.flac") for number in range(2)
    }


@pytest.mark.parametrize("option", [("--plan", "~/plan.jsonl"), ("--plan=~/plan.jsonl",)])
def test_a_tilde_in_an_option_is_expanded(genretag: Command, home: Path, option: tuple[str, ...]) -> None:
    assert genretag("tag", *SURE, *option, "~/My Music").code == 0
    assert len((home / "plan.jsonl").read_text().splitlines()) == 2
    assert genretag("apply", "~/plan.jsonl").code == 0


def test_a_folder_named_tilde_is_left_as_it_is(genretag: Command, home: Path) -> None:
    Path("~/My Music").mkdir(parents=True)
    make_sound(Path("~/My Music/here.flac"), 3.0)
    answer = genretag("tag", "-n", "--json", *SURE, "~/My Music")
    assert [Path(record["path"]).name for record in answer.records] == ["here.flac"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("source", ["<(ls -d {0}/*)", "/dev/stdin < <(ls -d {0}/*)", "- < <(ls -d {0}/*)"])
@pytest.mark.parametrize("write", [False, True])
def test_a_list_may_come_from_a_pipe(home: Path, source: str, write: bool) -> None:
    program = " ".join(map(_quoted, command_line("tag", "--json", *SURE, *([] if write else ["-n"]))))
    line = f"{program} --files-from {source.format(_quoted(str(home / 'My Music')))}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    statuses = [json.loads(record)["status"] for record in done.stdout.splitlines()]
    assert statuses == ["written" if write else "planned"] * 2


def test_what_is_wrong_with_a_list_is_said(genretag: Command, home: Path) -> None:
    assert genretag("tag", "--files-from", home).err == (
        f"genretag: {home}: it is a folder; give a file or - for standard input\n"
    )
    assert "no such file" in genretag("tag", "--files-from", home / "none").err


# make tag


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("music", "code"), [("~/My Music", 0), ("{home}/My Music", 0), ("~/It's $$5", 0), ("~/none", 2), ("", 2)]
)
def test_make_tag_takes_any_path(home: Path, tmp_path: Path, music: str, code: int) -> None:
    (home / "My Music").rename(home / "It's $5") if "5" in music else None
    done = _make(tmp_path, f"MUSIC={music.format(home=home)}", "ARGS=" + " ".join(SURE))
    assert done.returncode == code, done.stderr
    assert ("2 written" in done.stderr) is (code == 0)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_tag_ends_well_if_some_files_fail(home: Path, tmp_path: Path) -> None:
    (home / "My Music" / "broken.mp3").write_bytes(b"no music" * 100)
    done = _make(tmp_path, "MUSIC=~/My Music", "ARGS=" + " ".join(SURE))
    assert done.returncode == 0, done.stderr
    assert "2 written, 1 failed" in done.stderr
    assert "Error" not in done.stderr


def _make(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `make tag` with this interpreter's environment, as if it had been installed."""
    environment = tmp_path / "venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    command = environment / "bin" / "genretag"
    command.write_text(f'#!/bin/sh\nexec {" ".join(map(_quoted, command_line()))} "$@"\n')
    command.chmod(0o755)
    stamp = environment / ".tagging"
    stamp.touch()
    os.utime(stamp, (2**31, 2**31))
    line = ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "tag", f"VENV={environment}"]
    for name in ("pyproject.toml", "constraints.txt"):
        (Path.cwd() / name).touch()
    return subprocess.run([*line, *arguments], capture_output=True, text=True, check=False)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
