"""Real music files of all formats, damaged, and then tagged, written by plan, and taken back by genretag."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import scale
from benchmarks.crash import specimens
from benchmarks.fuzz.mutate import mutated
from genretag.tagging import tags
from genretag.tagging.write import TEMP_PREFIX

BATCH = 250
"""Files in the folder of one run."""
SECONDS_A_FILE = 20
"""A run that takes longer than so many seconds a file hangs."""
TAG = ("tag", "--json", "--existing", "replace", "--threshold", "0", "--top", "2")
GENRES = ("Żółć / Rock", "(17) Jazz")


@dataclass
class Outcome:
    """What became of the damaged files; every line of `wrong` tells one thing that must not be."""

    files: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def trials(out: Path, files: int, seed: int) -> Outcome:
    """Damage so many files and try them in batches; what was wrong is kept in the folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "made").mkdir(exist_ok=True)
    originals = specimens.make(out / "made", 1.5)
    scale.make_model(out / "tiny.safetensors")
    outcome, chance = Outcome(), random.Random(seed)
    for number in range(0, files, BATCH):
        damaged = damage(originals, min(BATCH, files - number), chance)
        try_batch(out / f"batch-{number}", damaged, out / "tiny.safetensors", outcome)
        print(f"{outcome.files:,} files: {len(outcome.wrong)} wrong", file=sys.stderr, flush=True)
    return outcome


def damage(originals: dict[str, bytes], count: int, chance: random.Random) -> dict[str, bytes]:
    """So many damaged files by name, the formats in turn."""
    contents, damaged = list(originals.values()), {}
    for place, name in zip(range(count), itertools.cycle(originals), strict=False):
        damaged[f"{place:04} {name}"] = mutated(originals[name], chance, contents)
    return damaged


def try_batch(folder: Path, damaged: dict[str, bytes], model: Path, outcome: Outcome) -> None:
    """Tag the files and take that back, then the same by a plan; the folder goes where nothing was wrong."""
    music, before = folder / "music", len(outcome.wrong)
    music.mkdir(parents=True)
    for name, content in damaged.items():
        (music / name).write_bytes(content)
    outcome.files += len(damaged)
    plan = folder / "plan.jsonl"
    lines = ({"path": str(music / name), "genres": GENRES} for name in damaged)
    plan.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    tag = (*TAG, "--model", str(model), str(music))
    for command in (tag, ("apply", "--json", "--under", str(music), str(plan))):
        records = _records(folder, command, damaged, outcome)
        _judge(music, damaged, records, outcome)
        written = any(record["status"] == "written" for record in records)
        if written and (ended := _run(folder, ("undo", "--quiet"), len(damaged))) != (0, ""):
            outcome.wrong.append(f"{music}: undo: {ended}")
        changed = [name for name, content in damaged.items() if (music / name).read_bytes() != content]
        outcome.wrong += [f"{music / name}: other bytes after {command[0]} and undo" for name in changed]
        for name in changed:
            (music / name).write_bytes(damaged[name])
    if len(outcome.wrong) == before:
        shutil.rmtree(folder)


def _records(
    folder: Path, command: Sequence[str], damaged: dict[str, bytes], outcome: Outcome
) -> list[dict[str, Any]]:
    home_output = folder / "records.jsonl"
    code, said = _run(folder, command, len(damaged), home_output)
    if code not in (0, 1) or "Traceback" in said:
        outcome.wrong.append(f"{folder}: {command[0]} ended with {code}: {said[-2000:]}")
    records = [json.loads(line) for line in home_output.read_text(encoding="utf-8").splitlines()]
    if sorted(Path(record["path"]).name for record in records) != sorted(damaged):
        outcome.wrong.append(f"{folder}: {command[0]} told of {len(records)} files of {len(damaged)}")
    return records


def _judge(
    music: Path, damaged: dict[str, bytes], records: Iterable[dict[str, Any]], outcome: Outcome
) -> None:
    """Compare what the records say with the files."""
    for record in records:
        path = Path(record["path"])
        changed = path.read_bytes() != damaged[path.name]
        outcome.statuses[record["status"]] += 1
        if changed != (record["status"] == "written"):
            what = "other" if changed else "the same"
            outcome.wrong.append(f"{path}: {record['status']}, and its bytes are {what}")
        elif changed and list(tags.read(path).genres) != record["genres"]:
            outcome.wrong.append(f"{path}: holds {tags.read(path).genres} and not {record['genres']}")
        if (error := record["error"]) is not None:
            outcome.codes[error["code"]] += 1
            if not error["message"].startswith(str(path)) or "\n" in error["message"]:
                outcome.wrong.append(f"{path}: told in {error['message']!r}")
    for left in music.rglob(f"{TEMP_PREFIX}*"):
        outcome.wrong.append(f"{left}: left behind")


def _run(folder: Path, arguments: Sequence[str], files: int, output: Path | None = None) -> tuple[int, str]:
    """Exit code and stderr of a command line; 124 where it hangs."""
    line = [sys.executable, "-m", "genretag", *arguments]
    environment = os.environ | {"GENRETAG_HOME": str(folder / "home")}
    with (output or Path(os.devnull)).open("wb") as out:
        try:
            ended = subprocess.run(
                line,
                stdout=out,
                stderr=subprocess.PIPE,
                env=environment,
                timeout=60 + SECONDS_A_FILE * files,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 124, "it hangs"
    return ended.returncode, ended.stderr.decode("utf-8", "replace")


def report(outcome: Outcome) -> int:
    """Print the outcome; 1 where anything was wrong."""
    print(f"{outcome.files:,} damaged files, by tag and by apply; wrong: {len(outcome.wrong)}")
    print(", ".join(f"{count:,} {status}" for status, count in outcome.statuses.most_common()))
    print(", ".join(f"{count:,} {code}" for code, count in outcome.codes.most_common()))
    for line in outcome.wrong:
        print(line)
    return int(bool(outcome.wrong))
