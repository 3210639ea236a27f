"""What holds for every command: help with an example, a place in the README, and one-line errors."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from command import Command
from genretag.cli.app import app
from genretag.escapes import json_line, printable

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(genretag: Command, name: str) -> None:
    answer = genretag(name, "--help")
    assert answer.code == 0
    assert f"Example: genretag {name}" in answer.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"genretag {name}" in README


def test_every_option_of_tag_is_in_the_readme() -> None:
    command = typer.main.get_command(app).commands["tag"]  # type: ignore[attr-defined]
    missing = [
        option
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
        if option not in README
    ]
    assert not missing


def test_no_command_shows_the_help_and_exits_2(genretag: Command) -> None:
    answer = genretag()
    assert answer.code == 2
    assert "Commands:" in answer.out


def test_an_unknown_command_is_one_line(genretag: Command) -> None:
    answer = genretag("nonsense")
    assert answer.code == 2
    assert answer.err == "genretag: No such command 'nonsense'. (see genretag --help)\n"


def test_models(genretag: Command) -> None:
    listed = json.loads(genretag("models", "--json").out)
    names = {row["name"]: row for row in listed}
    assert {"musicnn-msd", "musicnn-mtt", "vgg-msd", "vgg-mtt", "musicnn", "vgg"} <= set(names)
    keys = {"name", "kind", "labels", "parameters", "parameters_for_labels", "trained_on", "scores"}
    assert all(set(row) == keys for row in listed)
    # 792,079 values less the 2 x 2,460 running averages of batch-norm.
    assert names["musicnn-msd"]["parameters"] == names["musicnn-mtt"]["parameters"] == 787_159
    one = json.loads(genretag("models", "--json", "musicnn-msd").out)
    assert keys < set(one)
    assert one["licence"].startswith("ISC")
    assert one["thresholds"]
    shown = genretag("models")
    assert shown.code == 0
    assert "musicnn-msd" in shown.out
    assert "Hip-Hop" in genretag("models", "musicnn-msd").out
    unknown = genretag("models", "musicn-msd")
    assert unknown.code == 2
    assert unknown.err.count("\n") == 1


def test_what_a_terminal_is_shown() -> None:
    assert printable("a\x1b[2J\tb\udce9\u202e ü\u3000\x9b") == "a\\x1b[2J\\tb\\xe9\\u202e ü\u3000\\x9b"


@given(st.text(st.characters(exclude_categories=())))
def test_json_is_shown_harmlessly_and_reads_back(text: str) -> None:
    line = json_line({text: [text, 1]})
    assert line.isprintable()
    assert json.loads(line) == {text: [text, 1]}
    assert "\n" not in printable(text)
    assert not any(unicodedata.category(shown) in ("Cc", "Cs", "Cf") for shown in printable(text))
