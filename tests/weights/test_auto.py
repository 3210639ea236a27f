"""The default model as `tag` uses it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from genretag import checkpoint
from genretag.predict.decide import DecisionRule, decide
from genretag.predict.engine import EngineOptions, Job, predict

TEXT = "The quick brown fox jumps over the lazy dog, and then it sits down and tells the dog about it. " * 8


def test_it_has_two_levels_and_a_veto() -> None:
    meta = checkpoint.read_meta(checkpoint.resolve("auto"))
    assert len(meta.labels.broad) == 10
    assert meta.labels.vetoes == ("speech",)
    assert meta.thresholds["speech"] == 0.7
    assert meta.labels.beside_broad() == ("electronic", "folk", "experimental", "easy listening", "rnb")
    assert (meta.features.level, meta.features.version) == (-20.0, 2)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_speech_gets_no_genre(tmp_path: Path) -> None:
    talk = tmp_path / "talk.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-w", str(talk), TEXT], check=True)
    path = checkpoint.resolve("auto")
    meta = checkpoint.read_meta(path)
    ((_, heard),) = predict([Job(None, talk)], path, EngineOptions(device="cpu", workers=1))
    assert heard is not None
    assert heard.scores is not None
    assert heard.scores[meta.labels.names.index("speech")] > 0.7
    assert decide(heard.scores, meta.labels, meta.thresholds, DecisionRule()).genres == ()
