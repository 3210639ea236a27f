"""The command line, run in this process or as one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What one command line gave."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Answer]


def command_line(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "genretag", *map(str, arguments)]


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """The command line as a process with pipes."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command_line(*arguments), text=True, stdout=pipe, stderr=pipe, **options)


def in_own_process(*arguments: object, **options: Any) -> Answer:
    """The command line as a process, to its end."""
    done = subprocess.run(
        command_line(*arguments), capture_output=True, text=True, timeout=120, check=False, **options
    )
    return Answer(done.returncode, done.stdout, done.stderr)
