"""The recorded contract: JSON files in this folder, compared with what the command line does now."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
# Set it to record anew instead of comparing; see README.md.
RENEW = "RENEW_CONTRACT"


def recorded(file: str) -> dict[str, Any]:
    """Return the entries of a recorded file by name."""
    path = FOLDER / f"{file}.json"
    entries: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return entries


def require_recorded(file: str, name: str, found: object) -> None:
    """Fail with a line for each difference between a value and its recorded entry.

    If RENEW is set, record the value instead.

    Args:
        file: Name of the recorded file without ".json".
        name: Name of the entry.
        found: JSON value; tuples are taken as lists.
    """
    found = json.loads(json.dumps(found))
    entries = recorded(file)
    if os.environ.get(RENEW):
        text = json.dumps(entries | {name: found}, indent=1, ensure_ascii=False, sort_keys=True)
        (FOLDER / f"{file}.json").write_text(text + "\n", encoding="utf-8")
        return
    assert name in entries, f"{name} is not in {file}.json; see tests/contract/README.md"
    changed = list(differences(entries[name], found, name))
    assert not changed, f"not as recorded in {file}.json:\n" + "\n".join(changed)


def differences(recorded: object, found: object, where: str) -> Iterator[str]:
    """Return a line for each part of two JSON values that is not the same."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for key in recorded | found:
            if key not in found:
                yield f"{where}: {key} is missing, recorded is {recorded[key]}"
            elif key not in recorded:
                yield f"{where}: {key} is new: {found[key]}"
            else:
                yield from differences(recorded[key], found[key], f"{where}: {key}")
    elif recorded != found:
        yield f"{where}: recorded is {recorded}, found {found}"
