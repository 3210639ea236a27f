"""What the shells propose: by their own protocol, and in the shells themselves where they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from command import Command, command_line
from genretag import checkpoint
from genretag.cli import completion
from genretag.datasets.registry import REGISTRY

POLICIES = ["keep", "add", "replace", "refresh"]
MUSICNN = ["musicnn-msd", "musicnn-mtt"]


def proposed(line: str) -> list[str]:
    """What bash is told for a line that ends where the cursor is."""
    words = line.split(" ")
    said = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_GENRETAG_COMPLETE": "complete_bash"}
    return ask(said).split()


def ask(said: dict[str, str]) -> str:
    environment = {**os.environ, **said}
    return subprocess.run(
        command_line(), env=environment, capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("genretag pl", ["playlists"]),
        ("genretag tag --existing ", POLICIES),
        ("genretag tag --model mus", MUSICNN),
        ("genretag tag --device c", ["cpu", "cuda"]),
        ("genretag tag --coverage f", ["fast", "full"]),
        ("genretag tag --threshold ", ["auto"]),
        ("genretag tag --min-c", ["--min-confidence"]),
        ("genretag models vgg1", ["vgg16-svm"]),
        ("genretag train --model wave", ["wavenet"]),
        ("genretag eval --dataset m", ["magnatagatune"]),
        # Nothing: the shell proposes files.
        ("genretag tag /", []),
        ("genretag tag --map ", []),
        ("genretag tag --model ./", []),
    ],
)
def test_bash_is_told(line: str, words: list[str]) -> None:
    assert proposed(line) == words


def test_names_are_those_of_the_program(genretag: Command) -> None:
    assert set(completion.DATASETS) == set(REGISTRY)
    assert set(proposed("genretag tag --model ")) == set(checkpoint.shipped())


def test_zsh_and_fish_are_told() -> None:
    line = {"_TYPER_COMPLETE_ARGS": "genretag tag --model mus"}
    fish = {"_GENRETAG_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert ask(line | fish).split() == MUSICNN
    zsh = ask(line | {"_GENRETAG_COMPLETE": "complete_zsh"})
    assert zsh == '_arguments \'*: :(("musicnn-msd"\n"musicnn-mtt"))\'\n'


def test_proposing_loads_no_library_that_takes_long() -> None:
    script = (
        "import sys\nfrom genretag.__main__ import run\n"
        "try: run([])\nexcept SystemExit: pass\n"
        "print({'torch', 'librosa', 'av', 'sklearn'} & set(sys.modules))"
    )
    said = {"COMP_WORDS": "genretag models ", "COMP_CWORD": "2", "_GENRETAG_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **said},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[0] == "auto"
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment in which `genretag` is a command."""
    command = tmp_path / "bin" / "genretag"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m genretag "$@"\n')
    command.chmod(0o755)
    return {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}


def in_shell(name: str, script: str, environment: dict[str, str]) -> list[str]:
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    done = subprocess.run(
        [name, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


def test_in_bash(shell: dict[str, str]) -> None:
    script = """
    eval "$(genretag --show-completion bash)"
    complete -p genretag
    COMP_WORDS=(genretag tag --existing re) COMP_CWORD=3
    _genretag_completion genretag
    echo "${COMPREPLY[@]}"
    """
    found = in_shell("bash", script, shell)
    assert found == [
        "complete",
        "-o",
        "default",
        "-F",
        "_genretag_completion",
        "genretag",
        "replace",
        "refresh",
    ]


def test_in_fish(shell: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a song.flac").touch()
    script = f"""
    genretag --show-completion fish | source
    complete -C 'genretag tag --existing re'
    cd {tmp_path}; complete -C 'genretag tag a' | string escape
    """
    assert in_shell("fish", script, shell) == ["refresh", "replace", "'a", "song.flac'"]


def test_in_zsh(shell: dict[str, str]) -> None:
    # zsh completes at its prompt only: that the script is understood and the answer is one that zsh takes.
    script = """
    autoload -U compinit; compinit -D
    eval "$(genretag --show-completion zsh)"
    echo $_comps[genretag]
    """
    assert in_shell("zsh", script, shell) == ["_genretag_completion"]
