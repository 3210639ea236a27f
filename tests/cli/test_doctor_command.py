"""`genretag doctor`, `version` and `help`, and the validation of options before any work."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from command import Command
from genretag import __version__, checkpoint


def test_a_sound_installation_passes(genretag: Command) -> None:
    answer = genretag("doctor", "--json")
    document = json.loads(answer.out)
    assert (answer.code, document["ok"]) == (0, True), answer.out
    found = {check["name"]: check["found"] for check in document["checks"]}
    assert found["system"].startswith(f"genretag {__version__}, Python {sys.version_info.major}.")
    assert found["decoding"].startswith("flac")
    assert found["devices"].startswith("cpu")
    assert set(found["models"].split(", ")) == set(checkpoint.shipped())
    assert found["default model"] == "auto, 61 labels"
    text = genretag("doctor")
    assert text.code == 0
    assert "FAIL" not in text.out


def test_a_store_that_cannot_be_used_is_found(genretag: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRETAG_HOME", "/dev/null/none")
    answer = genretag("doctor", "--json")
    (failed,) = (check for check in json.loads(answer.out)["checks"] if not check["ok"])
    assert (answer.code, failed["name"]) == (1, "store")
    assert "GENRETAG_HOME" in failed["found"]


@pytest.mark.parametrize(
    "command", [("version",), ("--version",), ("-V",)], ids=lambda command: command[0].lstrip("-")
)
def test_the_version_is_shown(genretag: Command, command: tuple[str, ...]) -> None:
    answer = genretag(*command)
    assert (answer.code, answer.out) == (0, f"genretag {__version__}\n")


@pytest.mark.parametrize("names", [(), ("tag",), ("map",), ("map", "init")])
def test_help_is_that_of_the_option(genretag: Command, names: tuple[str, ...]) -> None:
    assert genretag("help", *names).out == genretag(*names, "--help").out


def test_help_for_no_command_is_one_line(genretag: Command) -> None:
    answer = genretag("help", "tag", "none")
    assert (answer.code, answer.err) == (
        2,
        "genretag: help tag none: no such command (see genretag --help)\n",
    )


@pytest.mark.parametrize("device", ["tpu", "cuda:", "cuda:x", "gpu", ""])
@pytest.mark.parametrize("command", ["tag", "inspect", "report", "watch", "learn"])
def test_a_device_is_validated_before_anything_else(
    genretag: Command, tmp_path: Path, command: str, device: str
) -> None:
    """Also if everything is cached, or if there is nothing to analyse."""
    answer = genretag(command, "--device", device, tmp_path)
    assert answer.code == 2
    assert answer.err == f"genretag: --device {device}: give auto, cpu, cuda, cuda:N or mps\n"
