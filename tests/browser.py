"""A page open in a real browser, and what is asked of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Visit:
    """One page open in a browser: `tab` is playwright's; `complaints` are errors, `asked` the addresses."""

    tab: Any
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def until(self, expression: str, seconds: float = 15.0) -> None:
        """Wait for JavaScript to become true; playwright's own way needs an eval, which the pages forbid."""
        deadline = time.monotonic() + seconds
        while not self.tab.evaluate(expression):
            assert time.monotonic() < deadline, f"still not true after {seconds:.0f} s: {expression}"
            self.tab.wait_for_timeout(30)

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        wider: int = self.tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return wider

    def violations(self, axe: str) -> list[str]:
        """What axe-core finds wrong, as one line each."""
        self.tab.evaluate(axe)
        found = self.tab.evaluate("axe.run()")
        return [
            f"{rule['id']}: {node['target']} {node['failureSummary']}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]


Visitor = Callable[..., AbstractContextManager[Visit]]
