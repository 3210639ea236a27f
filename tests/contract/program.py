"""The command line as a process in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The only helpers from outside this folder. They import nothing of genretag.
from tests.legacy_files import REPOSITORY, copied
from tests.sounds import make_sound


@dataclass(frozen=True)
class Answer:
    """Exit code and output of one command."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """One JSON value for each line of standard output."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> Any:
        """The one JSON value on standard output."""
        return json.loads(self.out)


class Program:
    """`python -m genretag` in a working folder of its own, with its home in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.database = self.home / "genretag.sqlite3"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        self.environment = kept | {
            # The checkout of these tests, also if another one is installed.
            "PYTHONPATH": str(REPOSITORY / "src"),
            "GENRETAG_HOME": str(self.home),
            "HOME": str(folder / "user"),
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "OMP_NUM_THREADS": "1",
        }

    def line(self, *arguments: object) -> list[str]:
        """Return a command line for a new process."""
        return [sys.executable, "-m", "genretag", *map(str, arguments)]

    def __call__(self, *arguments: object, code: int | None = 0, text: str | None = None) -> Answer:
        """Run a command to its end.

        Args:
            arguments: The command and its arguments.
            code: The exit code that it must have; None accepts any.
            text: Standard input; None gives an empty one.
        """
        done = subprocess.run(
            self.line(*arguments),
            cwd=self.folder,
            env=self.environment,
            input=text or "",
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert code in (None, done.returncode), f"{arguments}: exit code {done.returncode}\n{done.stderr}"
        return Answer(done.returncode, done.stdout, done.stderr)

    def legacy(self, *names: str) -> Program:
        """Copy files of earlier versions (tests/fixtures/legacy) into the folder."""
        copied(self.folder, *names)
        return self

    def sound(self, name: str, seconds: float = 2.0, **options: Any) -> Path:
        """Write synthetic music in the format of the suffix and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return make_sound(path, seconds, **options)

    def file(self, name: str, content: str | bytes = b"") -> Path:
        """Write a file and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path
