"""Commands, subcommands, options, short forms, arguments, choices and defaults.

Help texts, panels, the order and the names of values (FILE, N) are not part of the contract.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.contract.commands import commands
from tests.contract.program import Program
from tests.contract.recorded import recorded, require_recorded


@pytest.fixture(scope="module")
def found(shared_program: Program) -> dict[str, Any]:
    """All commands of the program, from its help."""
    return commands(lambda *words: shared_program(*words).out)


def test_commands_are_those_recorded(found: dict[str, Any]) -> None:
    for name in found:
        require_recorded("commands", name, found[name])
    assert set(found) == set(recorded("commands"))


@pytest.mark.parametrize("name", ["genretag tag", "genretag train", "genretag map init"])
def test_every_switch_can_be_turned_off(shared_program: Program, found: dict[str, Any], name: str) -> None:
    """The configuration file may turn a switch on, so the command line must be able to turn it off."""
    opposites = []
    for spellings, about in found[name]["options"].items():
        long = spellings.split(", ")[-1]
        if not about["value"] and " / " not in spellings and long.startswith("--"):
            opposites.append(f"--{long[5:]}" if long.startswith("--no-") else f"--no-{long[2:]}")
    shared_program(*name.split()[1:], *opposites, "--help")


@pytest.mark.parametrize("words", ["version", "-V"])
def test_the_version_is_printed(shared_program: Program, words: str) -> None:
    name, version = shared_program(words).out.split()
    assert name == "genretag"
    assert version[0].isdigit()


def test_help_is_a_command_and_an_option(shared_program: Program) -> None:
    assert shared_program("help", "map", "init").out == shared_program("map", "init", "-h").out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("genretag tag --existing ", ["keep", "add", "replace", "refresh"]),
        ("genretag tag --model mus", ["musicnn-msd", "musicnn-mtt"]),
        ("genretag tag --min-c", ["--min-confidence"]),
        ("genretag eval --dataset m", ["magnatagatune"]),
    ],
)
def test_completion_scripts_of_shells_keep_working(
    shared_program: Program, line: str, words: list[str]
) -> None:
    """Users have the script of --install-completion in their shell; it sets these variables."""
    asked = {
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
        "_GENRETAG_COMPLETE": "complete_bash",
    }
    done = subprocess.run(
        [sys.executable, "-m", "genretag"],
        env=shared_program.environment | asked,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == words
