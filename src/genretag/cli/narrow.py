"""Tables for terminals that are narrower than they are."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence


def needed(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Terminal columns below which the table folds its cells too often to be read."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    return min(60 + 4 * len(columns), sum(widths) + 3 * len(widths))


def blocks(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Each row as its first cell and, indented below it, what the other columns say of it."""
    lines = []
    for row in rows:
        lines += _folded(row[0], width, "")
        for name, cell in list(zip(columns, row, strict=True))[1:]:
            if cell not in ("", "-"):
                lines += _folded(f"{name} {cell}", width, "  ")
    return "\n".join(lines)


def _folded(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=f"{indent}  ") or [text]
