"""The benchmark of speed still runs, and says all that it has to say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import program, shares, song_library, tagging, tagging_report

linux_only = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's smaps_rollup"
)


def test_a_rate_is_that_between_two_shares_of_a_run() -> None:
    arrivals = [5.0, 5.1, 5.2, 6.2, 7.2]
    assert program.rate(arrivals, 0.5, 1.0) == pytest.approx(1.0)
    assert program.rate(arrivals, 0.0, 0.5) == pytest.approx(10.0)


def test_agreement_is_the_greatest_and_the_mean_difference() -> None:
    ours = {"a.mp3": {"rock": 0.5, "jazz": 0.1}}
    peers = {"a.mp3": {"rock": 0.4, "jazz": 0.1}}
    found = tagging.agreement({"full": ours, "peer": peers})
    assert found == {"tracks": 1, "greatest": pytest.approx(0.1), "mean": pytest.approx(0.05)}
    assert tagging.agreement({"full": ours}) is None


def test_a_sample_counts_for_the_innermost_call_that_tells_what_is_done() -> None:
    profile = [
        "tag (genretag/cli/tag.py:1);rows (genretag/predict/score.py:2);f (torch/nn/modules/conv.py:3) 5",
        "_apart (genretag/audio/decode.py:1);_frames (genretag/audio/sources.py:2) 3",
        "<module> (genretag/store.py:1);_load (<frozen importlib._bootstrap>:2);x (torch/nn/y.py:3) 2",
        "_score (genretag/predict/engine.py:1);Condition.wait (threading.py:331) 9",
        "main (__main__.py:1) 1",
    ]
    assert shares.shares(profile) == {
        "network, convolutions": 5,
        "decoders and their frames": 3,
        "imports": 2,
        "Python itself": 1,
    }


@linux_only
def test_one_round_of_the_tagging_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    song_library.make(tmp_path / "songs", 2, [], seconds=4.0)
    out = tmp_path / "tagging.json"
    tagging.main(["--library", str(tmp_path / "songs"), "--rounds", "1", "--repeat", "2", "--out", str(out)])
    printed = capsys.readouterr().out
    result = json.loads(out.read_text())
    found = tagging_report.medians(result)
    assert all(value > 0 for name, value in found.items() if not name.endswith("rest"))
    for run in ("fast", "full", "cached"):
        assert f"| genretag, {'known already' if run == 'cached' else f'`{run}`'}, start to end |" in printed
    assert found["flop"] == pytest.approx(2.8e9, rel=0.01)
    assert result["memory"]["full"]["peak_bytes"] > 2**20
    assert result["settings"]["suffixes"] == [".flac", ".mp3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["songs", "tagging.json"]
