"""Keys of the configuration file, their defaults, and the message for an unknown key."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

from tests.contract.program import Program
from tests.contract.recorded import require_recorded
from tests.contract.shapes import shape

ERRORS = {
    "[tag]\nexsting = 1\n": "{file}:2: exsting of [tag]: there is no such option; did you mean existing?",
    "[all]\ndevise = 'cpu'\n": "{file}:2: devise of [all]: there is no such option; did you mean device?",
}
# Values that cannot be used, and what the message must contain besides file and line.
REFUSED = {
    "[tga]\ntop = 1\n": ":2: [tga]",
    "top = 1\n": ":1: top",
    "[tag]\ntop = 'many'\n": ":2: top of [tag]: ",
    "[tag]\nexisting = 'keeps'\n": ":2: existing of [tag]: ",
    "[tag]\ntop == 1\n": ": not valid TOML",
}


def in_force(program: Program, *names: str) -> dict[str, Any]:
    """Return the values of options such as "tag.model" as `config --all --json` lists them."""
    rows = program("config", "--all", "--json").document["options"]
    return {name: row["value"] for row in rows if (name := f"{row['command']}.{row['option']}") in names}


def test_keys_and_defaults_are_those_recorded(shared_program: Program) -> None:
    document = shared_program("config", "--all", "--json").document
    assert document["path"] == str(shared_program.home / "config.toml")
    assert document["problems"] == []
    tables: dict[str, dict[str, object]] = {}
    for row in document["options"]:
        assert (row["value"], row["source"], row["table"]) == (row["default"], "default", None)
        tables.setdefault(row["command"], {})[row["option"]] = row["default"]
    require_recorded("configuration", "keys and defaults", tables)
    document["options"] = [{**row, "value": None, "default": None} for row in document["options"]]
    require_recorded("records", "config --all --json", shape([document]))


def test_tables_apply_to_their_command_and_to_all(program: Program) -> None:
    program.file(
        "home/config.toml",
        '[tag]\ndevice = "cpu"\nmulti = true\nexclude = "*.part"\nthreshold = 0.5\n'
        '[all]\ndevice = "mps"\nworkers = 2\n[map.init]\nmost = 7\n',
    )
    names = ("tag.device", "tag.workers", "tag.exclude", "tag.threshold", "tag.single", "train.device")
    assert in_force(program, *names, "map.init.most") == {
        "tag.device": "cpu",
        "tag.workers": "2",
        "tag.exclude": ["*.part"],
        "tag.threshold": "0.5",
        "tag.single": False,
        "train.device": "mps",
        "map.init.most": 7,
    }


@pytest.mark.parametrize("text", ERRORS)
def test_an_unknown_key_is_reported_with_file_and_line(program: Program, text: str) -> None:
    file = program.file("home/config.toml", text)
    answer = program("tag", "-n", ".", code=2)
    assert (answer.out, answer.err) == ("", f"genretag: {ERRORS[text].format(file=file)}\n")


@pytest.mark.parametrize("text", REFUSED)
def test_a_value_that_cannot_be_used_is_refused(program: Program, text: str) -> None:
    file = program.file("home/config.toml", text)
    answer = program("tag", "-n", ".", code=2)
    assert answer.out == ""
    assert answer.err.startswith(f"genretag: {file}{REFUSED[text]}")
    assert answer.err.count("\n") == 1


def test_undo_and_history_work_with_a_broken_file(program: Program) -> None:
    program.file("home/config.toml", "[tag\n")
    program("undo")
    program("history")
    program("tag", ".", code=2)


def test_set_and_unset_change_one_key(program: Program) -> None:
    file = program.file("home/config.toml", "# mine\n[tag]\ntop = 1  # one is enough\n")
    program("config", "set", "tag.exclude", "*.part", "*.tmp")
    program("config", "set", "tag.dry-run", "yes")
    program("config", "set", "all.device", "cpu")
    text = file.read_text()
    assert "# mine\n[tag]\ntop = 1  # one is enough\n" in text
    assert 'exclude = ["*.part", "*.tmp"]\n' in text
    assert "dry-run = true\n" in text
    assert '[all]\ndevice = "cpu"\n' in text
    program("config", "unset", "tag.top")
    assert "top" not in file.read_text()
    program("config", "set", "tag.xyz", "1", code=2)
    assert program("config", "--path").out == f"{file}\n"


@pytest.mark.skipif(find_spec("beets") is None, reason="beets is not installed")
def test_keys_and_options_of_the_beets_plugin(program: Program) -> None:
    keys = "auto: yes\nmodel: musicnn-msd\nexisting: keep\ntop: 3\nmin_confidence: 0.0\nmap:\nwrite: yes"
    for code, text in ((0, keys), (1, keys.replace("write", "writes"))):
        own = "\n".join(f"  {line}" for line in text.splitlines())
        folder = program.folder
        config = program.file(
            "config.yaml",
            f"directory: {folder}/lib\nlibrary: {folder}/lib.db\nplugins: genretag\ngenretag:\n{own}\n",
        )
        done = subprocess.run(
            [sys.executable, "-m", "beets", "-c", str(config), "genretag", "-p", "--force"],
            env=program.environment | {"BEETSDIR": str(folder)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
    assert "genretag: unknown option 'writes'" in done.stderr
