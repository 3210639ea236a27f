from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.crash import specimens
from sounds import make_sound


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three files instead of one of every kind and state."""
    made = {}
    for suffix in (".mp3", ".flac", ".opus"):
        path = make_sound(tmp_path / f"song{suffix}", 1.0)
        made[path.name] = path.read_bytes()
    monkeypatch.setattr(specimens, "make", lambda folder: made)


@pytest.mark.usefixtures("few")
def test_a_short_soak_finds_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--minutes", "0", "--library", str(tmp_path / "soak")]) == 0
    out = capsys.readouterr().out
    assert "files 3, rounds 4, commands " in out
    assert "WRONG" not in out


def test_what_differs_is_left_or_grows_is_seen(tmp_path: Path) -> None:
    """A soak that always nods would prove nothing."""
    (tmp_path / "music").mkdir()
    song = make_sound(tmp_path / "music" / "song.mp3", 0.5)
    work = soak.Soak(tmp_path / "music", tmp_path / "home", random.Random(0))
    work.back("nothing was done")
    assert work.wrong == []
    song.write_bytes(b"half")
    song.with_name(".genretag-left.mp3").touch()
    work.back("tampered")
    work.here("nonsense")
    work.looks = [soak.Look(0, 1, 1 << 20, 5, 1, 0), soak.Look(1, 2, 1 << 30, 6, 1, 0)]
    work.judge_growth()
    told = "\n".join(work.wrong)
    assert len(work.wrong) == 5
    for words in ("2 files differ", "is left", "nonsense ended with 2", "memory grew by 1023", "descriptors"):
        assert words in told
