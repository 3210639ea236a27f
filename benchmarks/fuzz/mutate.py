"""Bytes damaged by a seed: the same seed gives the same damage."""

from __future__ import annotations

import random
from collections.abc import Sequence

NEAR = 4096
"""Damage falls mostly into so many bytes from either end, where headers and tags are."""

_CHANGES = ("flip", "byte", "byte", "number", "number", "cut", "insert", "double", "swap", "end")
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def mutated(content: bytes, chance: random.Random, others: Sequence[bytes] = (b"",)) -> bytes:
    """A copy with one to six changes: bytes, numbers, pieces cut, doubled, swapped or from `others`."""
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        _change(damaged, chance, others)
    return bytes(damaged)


def _change(data: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    at = _place(len(data), chance)
    length = chance.choice((1, 2, 4, 8, 30, 300, 3000))
    piece = bytes(data[at : at + length])
    match chance.choice(_CHANGES):
        case "flip" if data:
            data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
        case "byte" if data:
            data[min(at, len(data) - 1)] = chance.choice((0, 0xFF, 0x80, chance.randrange(256)))
        case "number":
            width = chance.choice((2, 3, 4, 8))
            number = chance.choice((*_NUMBERS, len(data), len(data) + 1, chance.randrange(1 << 32)))
            packed = (number & (1 << 8 * width) - 1).to_bytes(width, "big")
            data[at : at + width] = chance.choice((packed, packed[::-1]))
        case "cut":
            del data[at : at + length]
        case "insert":
            other = chance.choice(others)
            start = _place(len(other), chance)
            new = other[start : start + length]
            data[at:at] = chance.choice((chance.randbytes(length), bytes(length), new))
        case "double":
            data[at:at] = piece * chance.choice((1, 1, 2, 50))
        case "swap":
            to = _place(len(data), chance)
            data[at : at + length], data[to : to + length] = data[to : to + length], piece
        case "end":
            del data[at:]


def _place(length: int, chance: random.Random) -> int:
    near = chance.randrange(min(NEAR, length) + 1)
    return chance.choice((near, near, length - near, chance.randrange(length + 1)))
