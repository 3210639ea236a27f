"""A plan carried out by several machines, each with a store of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genretag.__main__ import run
from genretag.errors import UsageError
from genretag.tagging import tags
from genretag.tagging.shard import Shard
from sounds import make_sound


def test_every_path_lies_in_exactly_one_part() -> None:
    paths = [Path(f"/music/{number}/söng.mp3") for number in range(2000)]
    parts = [{path for path in paths if Shard(number, 3).holds(path)} for number in (1, 2, 3)]
    assert sum(map(len, parts)) == 2000
    assert set.union(*parts) == set(paths)
    assert all(600 < len(part) < 740 for part in parts)
    # Known numbers: machines with other versions must agree, too.
    assert [number for number in range(20) if Shard(1, 3).holds(paths[number])] == [1, 2, 4, 12, 13, 15]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "²/3"])
def test_parts_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give K/N"):
        Shard.parse(text)


def test_each_machine_writes_its_part_and_takes_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    songs = [make_sound(tmp_path / f"{number}.flac", 1.0, seed=number % 2) for number in range(9)]
    plan = tmp_path / "plan.jsonl"
    plan.write_text("".join(json.dumps({"path": str(song), "genres": ["Jazz"]}) + "\n" for song in songs))

    def on(machine: str, *arguments: str) -> int:
        monkeypatch.setenv("GENRETAG_HOME", str(tmp_path / f"home {machine}"))
        return run(list(arguments))

    def tagged() -> set[Path]:
        return {song for song in songs if tags.read(song).genres == ("Jazz",)}

    apply = ("apply", str(plan), "--under", str(tmp_path))
    assert on("one", *apply, "--shard", "1/2") == 0
    first = tagged()
    assert first == {song for song in songs if Shard(1, 2).holds(song)}
    assert 0 < len(first) < 9
    assert on("two", *apply, "--shard", "2/2") == 0
    assert tagged() == set(songs)
    capfd.readouterr()
    assert on("one", "history", "--json") == 0
    assert json.loads(capfd.readouterr().out)["command"] == "apply --shard 1/2"
    assert on("one", "undo") == 0
    assert tagged() == set(songs) - first
    assert on("two", "undo") == 0
    assert tagged() == set()
