"""Text of strangers made harmless: names, tags and labels may hold what a terminal obeys."""

from __future__ import annotations

import json
import unicodedata


def printable(text: str) -> str:
    """Text that a terminal only shows: control characters and stray bytes become visible escapes."""
    return "".join(map(_shown, text))


def has_control(text: str) -> bool:
    """Whether a control character stands in a text, which no genre, label or name of a model needs."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def json_line(document: object) -> str:
    """One line of JSON that can be shown as it is: what is not printable stands in it as an escape.

    Reads back as the same document, lone halves of surrogate pairs (bytes of names that are no UTF-8)
    included.
    """
    text = json.dumps(document, ensure_ascii=False)
    if text.isprintable():
        return text
    # Outside of its texts JSON has printable characters only.
    return "".join(
        character if character.isprintable() else json.dumps(character)[1:-1] for character in text
    )


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":  # spaces of other scripts
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
