"""How ID3 spells a genre: a name, or a number of ID3v1's list, which must not be taken for each other.

"17" and "(17)" mean the genre 17, "RX" and "CR" a remix and a cover; "((" is a "(" that begins a name.
Sources: the ID3v2.2.0, 2.3.0 and 2.4.0 informal standards (id3.org).
"""

from __future__ import annotations

import re

from mutagen.id3 import TCON

GENRES: tuple[str, ...] = tuple(TCON.GENRES)

_WORDS = {"RX": "Remix", "CR": "Cover"}
# A number is one byte in ID3v1: "2000" is a name.
_REFERENCE = re.compile(r"\(0*(25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2}|RX|CR)\)")
_LIKE_ONE = re.compile(r"\(([0-9]+|RX|CR)\)")  # to programs that do not know how large a number can be


def names_of(value: str) -> list[str]:
    """The genres that one value of the genre frame stands for; a number without a name stands for none."""
    if whole := _REFERENCE.fullmatch(f"({value})"):
        return _named(whole[1])
    names, rest = [], value
    while found := _REFERENCE.match(rest):
        names += _named(found[1])
        rest = rest[found.end() :]
    return [*names, rest.removeprefix("(") if rest.startswith("((") else rest]


def spelled(name: str, version: int) -> str:
    """The value that every version of ID3v2 reads as this very name."""
    if _REFERENCE.fullmatch(f"({name})"):
        return f"{name} "  # no number to any program, and a space at the end is nothing to a reader
    # 2.2 and 2.3 have references in front of every name; 2.4 has them no more, but programs read them there.
    if name.startswith("((") or (name.startswith("(") and version < 4) or _LIKE_ONE.match(name):
        return f"({name}"
    return name


def _named(reference: str) -> list[str]:
    if reference in _WORDS:
        return [_WORDS[reference]]
    return [GENRES[int(reference)]] if int(reference) < len(GENRES) else []
