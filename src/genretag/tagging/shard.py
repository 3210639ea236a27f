"""A part of a plan that one of several machines takes, told by nothing but the names of the files."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from genretag.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """Part `number` (from 1) of `count`: every path lies in exactly one, on every machine and at any time."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Of `K/N`; UsageError where there is no such part."""
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"--shard {text}: give K/N, such as 2/8 for the second of eight parts")
        return cls(int(match[1]), int(match[2]))

    def holds(self, path: Path) -> bool:
        """Whether this part has the path, as it is written."""
        digest = hashlib.sha256(os.fsencode(path)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
