"""Copies of tests/fixtures/legacy in a temporary folder, with the paths that they have there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import struct
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
LEGACY = REPOSITORY / "tests" / "fixtures" / "legacy"
BASE = Path("/srv/legacy-fixture")  # the folder in which the fixtures were made
MTIME = 1_700_000_000  # of every music file before genretag wrote it
DATABASE = "genretag.sqlite3"
# `genretag learn` builds on this model and saves a copy of its tensors with its own.
LEARN_BASE = REPOSITORY / "weights" / "musicnn-msd.safetensors"
LEARN_PREFIX = "base."


def copied(folder: Path, *names: str) -> Path:
    """Copy parts of the fixtures into `folder`, which takes the role of BASE; return `folder`.

    Paths in stores and plans are rewritten, and a learnt model is completed. Music files that genretag did
    not write have their time of last change back, which a checkout does not keep.
    """
    for name in names:
        source, target = LEGACY / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, copy_function=shutil.copy)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    for path in (folder / "Music").rglob("*.*"):
        if path.is_file() and not (LEGACY / "originals" / path.relative_to(folder / "Music")).exists():
            os.utime(path, (MTIME, MTIME))
    for database in folder.glob(f"*/{DATABASE}"):
        move_store(database, BASE, folder)
    for plan in folder.glob("*.jsonl"):
        move_plan(plan, BASE, folder)
    for part in folder.glob("home/models/*.part"):
        whole = complete_learnt(part.read_bytes())
        part.with_suffix("").write_bytes(whole)
        part.unlink()
    return folder


def move_store(database: Path, before: Path, now: Path) -> None:
    """Replace the folder `before` by `now` in every path that a store holds."""
    connection = sqlite3.connect(database)
    with connection:
        for table, column in (("files", "path"), ("writes", "path"), ("writes", "temp")):
            for (path,) in connection.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall():
                moved = os.fsencode(str(now)) + path.removeprefix(os.fsencode(str(before)))
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (moved, path))
        columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
        texts = [("files", "error"), ("failures", "error")]
        for table, column in [*texts, ("runs", "places")] if "places" in columns else texts:
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(before), str(now))
            )
    connection.close()


def move_plan(plan: Path, before: Path, now: Path) -> None:
    """Replace the folder `before` by `now` in the paths of a plan."""
    records = [json.loads(line) for line in plan.read_text(encoding="utf-8").splitlines()]
    for record in records:
        record["path"] = str(now / Path(record["path"]).relative_to(before))
    plan.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def without_base(checkpoint: bytes) -> bytes:
    """Return a learnt model without the tensors that LEARN_BASE holds as well."""
    return _with_tensors(checkpoint, lambda name, content: b"" if name.startswith(LEARN_PREFIX) else content)


def complete_learnt(part: bytes) -> bytes:
    """Return the checkpoint that `without_base` was given; verified by its SHA-256."""
    base = _tensors(LEARN_BASE.read_bytes())
    header, start = _header(part)
    content, at = bytearray(), start
    for name, (first, last) in _spans(header):
        if name.startswith(LEARN_PREFIX):
            content += base[name.removeprefix(LEARN_PREFIX)]
        else:
            content += part[at : at + last - first]
            at += last - first
    whole = part[:start] + bytes(content)
    expected = json.loads((LEGACY / "sha256.json").read_text())["mine.safetensors"]
    assert hashlib.sha256(whole).hexdigest() == expected
    return whole


def _with_tensors(checkpoint: bytes, keep: Any) -> bytes:
    header, start = _header(checkpoint)
    parts = [keep(name, checkpoint[start + first : start + last]) for name, (first, last) in _spans(header)]
    return checkpoint[:start] + b"".join(parts)


def _tensors(checkpoint: bytes) -> dict[str, bytes]:
    header, start = _header(checkpoint)
    return {name: checkpoint[start + first : start + last] for name, (first, last) in _spans(header)}


def _header(checkpoint: bytes) -> tuple[dict[str, Any], int]:
    (length,) = struct.unpack("<Q", checkpoint[:8])
    return json.loads(checkpoint[8 : 8 + length]), 8 + length


def _spans(header: dict[str, Any]) -> list[tuple[str, tuple[int, int]]]:
    """Names and byte ranges of tensors, in the order of the file."""
    spans = [(name, tuple(entry["data_offsets"])) for name, entry in header.items() if name != "__metadata__"]
    return sorted(spans, key=lambda item: item[1])
