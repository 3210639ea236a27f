"""The benchmark of scale still runs, and says all that it has to say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scale, small_library


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps_rollup")
def test_the_scale_benchmark_writes_finds_and_takes_back(tmp_path: Path) -> None:
    out = tmp_path / "scale.json"
    folder = small_library.make(tmp_path / "small", 20, seconds=1.0, kinds=scale.KINDS)[0]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    line = ["--library", str(tmp_path / "small"), "--tracks", "20", "--runs", "1", "--out", str(out)]
    assert scale.main(line) == 0
    result = json.loads(out.read_text())
    assert result["first"]["statuses"] == {"written": 20}
    assert result["again"]["statuses"] == {"kept": 20}
    assert result["again_replace"]["statuses"] == {"unchanged": 20}
    assert len(result["first"]["memory"]) == 11
    assert result["store_bytes"] > 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
