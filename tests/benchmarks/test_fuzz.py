"""Damaged inputs for every reader of strangers' files; `python -m benchmarks.fuzz` gives far more of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.fuzz import __main__ as fuzz
from benchmarks.fuzz import music, targets
from benchmarks.fuzz.mutate import mutated
from genretag.errors import GenretagError

INPUTS = {"ogg": 60, "payload": 100, "tags": 60}


def test_every_target_can_be_named() -> None:
    assert set(fuzz.TARGETS) == set(targets.TARGETS)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_a_reader_answers_in_a_value_or_a_line(tmp_path: Path, name: str) -> None:
    target, chance = targets.TARGETS[name], random.Random(name)
    seeds = list(target.seeds(tmp_path))
    for seed in seeds:
        targets.feed(target, seed, tmp_path / "input")
    for _ in range(INPUTS.get(name, 300)):
        targets.feed(target, mutated(chance.choice(seeds), chance, seeds), tmp_path / "input")


def test_wrong_answers_are_found_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fuzzer that finds nothing anywhere would prove nothing."""

    def breaks(content: bytes, _path: Path) -> None:
        if content != b"good":
            raise IndexError

    def rambles(content: bytes, _path: Path) -> None:
        raise GenretagError("two\nlines")

    for reader in (breaks, rambles):
        monkeypatch.setitem(targets.TARGETS, "plan", targets.Target(reader, lambda _folder: [b"good"]))
        tried, right = fuzz.by_chance("plan", 10, 0, tmp_path)
        assert not right
        (kept,) = tmp_path.glob("crash-*")
        assert kept.name == f"crash-{tried}"
        kept.unlink()


def test_damage_is_told_by_its_seed() -> None:
    content = bytes(range(256)) * 40
    many = [mutated(content, random.Random(seed), [b"other"]) for seed in range(300)]
    assert many == [mutated(content, random.Random(seed), [b"other"]) for seed in range(300)]
    assert len(set(many)) > 250
    assert len({len(damaged) for damaged in many}) > 20
    assert [mutated(b"", random.Random(seed)) for seed in range(50)]


def test_damaged_music_is_tagged_or_told_and_taken_back(tmp_path: Path) -> None:
    outcome = music.trials(tmp_path / "out", 53, seed=3)
    assert outcome.wrong == []
    assert outcome.files == 53
    assert outcome.statuses["written"] > 10
    assert outcome.codes.total() > 10


def test_what_is_wrong_with_damaged_music_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(b"changed")
    (tmp_path / ".genretag-left.mp3").touch()
    outcome = music.Outcome()
    record = {"path": str(path), "status": "failed", "genres": [], "error": {"code": "x", "message": "odd"}}
    music._judge(tmp_path, {"song.mp3": b"old"}, [record], outcome)
    assert [line.partition(": ")[2] for line in outcome.wrong] == [
        "failed, and its bytes are other",
        "told in 'odd'",
        "left behind",
    ]
