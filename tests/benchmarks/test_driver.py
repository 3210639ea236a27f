"""The reciting nodes: what is reckoned from a run, and answers such as real nodes give."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed (extra cluster)")

from benchmarks import driver
from genretag import checkpoint
from genretag.predict.engine import EngineOptions
from genretag.tagging.look import read


def test_cores_are_busy_when_they_are_not_idle() -> None:
    cores = os.cpu_count() or 1
    idle = [(0.0, 5.0), (1.0, 5.0 + cores), (2.0, 5.0 + 1.5 * cores), (3.0, 5.0 + 1.5 * cores)]
    seen = [driver.Seen(seconds, until, 0) for seconds, until in idle]
    assert driver.busy(seen[:2]) == pytest.approx(0.0)
    assert driver.busy(seen[1:]) == pytest.approx(0.75)


def test_nodes_that_recite_take_their_time_and_answer_for_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.paths(tmp_path, 3)
    songs = sorted(tmp_path.rglob("*.mp3"))
    monkeypatch.setenv(driver.FILE_SECONDS, "0.001")
    known = checkpoint.load(checkpoint.resolve("musicnn-msd"))
    node = driver.Reciter(known, EngineOptions(cores=2), "any")
    heard = node.score(songs)
    assert [one.scores is not None and len(one.scores) for one in heard] == [len(known.meta.labels)] * 3
    looks = node.do(read, songs)
    assert len({look.known.audio_id for look in looks if look.known}) == 3
    assert [look.state for look in looks] == [(1, song.stat().st_mtime_ns) for song in songs]
