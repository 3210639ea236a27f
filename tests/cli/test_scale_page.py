"""The job scripts of docs/scale.md are scripts, and what they start exists."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from command import Command

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
SCRIPTS = [script for script in re.findall(r"```sh\n(.*?)```", PAGE, re.S) if "genretag " in script]


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_a_script_can_be_read_by_a_shell_and_its_options_exist(script: str, genretag: Command) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in script.replace("\\\n", " ").splitlines():
        found = re.search(r"genretag (tag|train|tune|apply) (.*)", line)
        if not found or line.startswith("#"):
            continue
        command, rest = found.groups()
        known = genretag(command, "--help").out
        for word in shlex.split(rest):
            if word.startswith("--"):
                assert word in known, word


def test_there_are_job_scripts() -> None:
    assert sum("#SBATCH" in script for script in SCRIPTS) >= 2
