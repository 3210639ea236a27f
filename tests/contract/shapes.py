"""Describe the keys and types of JSON values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

TYPES = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
}


def shape(values: Iterable[object], free: Collection[str] = (), path: str = "") -> Any:
    """Return one description that covers all the values.

    A scalar is the name of its type ("null or string" for several), a list {"list of": ...}, an object its
    keys with their descriptions. A key that some of the objects lack ends in "?".

    Args:
        values: Decoded JSON.
        free: Paths such as "scores" of objects whose keys depend on the data; they become {"*": ...}. Lists
            add nothing to a path, free keys add "*".
        path: Path of the values themselves.
    """
    values = list(values)
    found: list[Any] = sorted({TYPES[type(value)] for value in values if not isinstance(value, list | dict)})
    lists = [value for value in values if isinstance(value, list)]
    if lists:
        items = [item for value in lists for item in value]
        found.append({"list of": shape(items, free, path)})
    objects = [value for value in values if isinstance(value, dict)]
    if objects:
        found.append(_object(objects, free, path))
    if all(isinstance(one, str) for one in found):
        return " or ".join(found) or "nothing"
    return found[0] if len(found) == 1 else {"or": found}


def _object(objects: list[dict[str, object]], free: Collection[str], path: str) -> dict[str, Any]:
    below = f"{path}." if path else ""
    if path in free:
        return {"*": shape((value for one in objects for value in one.values()), free, f"{below}*")}
    keys = dict.fromkeys(key for one in objects for key in one)
    return {
        key if all(key in one for one in objects) else f"{key}?": shape(
            (one[key] for one in objects if key in one), free, f"{below}{key}"
        )
        for key in keys
    }
