"""The picture of a song in characters: it fits every terminal and says the same as the numbers."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from genretag.audio.features import FeatureSpec
from genretag.checkpoint import CheckpointMeta
from genretag.cli.picture import LEVELS, SongPicture, clock, fold, loudness, scale, stretches
from genretag.labels import LabelSet
from genretag.predict.decide import DecisionRule
from genretag.predict.reasons import explain
from genretag.predict.timeline import Section, Timeline, sections, window_edges

SPEC = FeatureSpec("waveform", 16000, 1, 1, 48000, 48000)
LABELS = LabelSet(
    ("genre/rock", "genre/jazz", "hard rock"),
    "multi",
    {"genre/rock": "Rock", "genre/jazz": "Jazz", "hard rock": "Hard Rock"},
    broad=("genre/rock", "genre/jazz"),
)


@pytest.fixture
def song() -> Timeline:
    """A minute: Rock, with a middle of Jazz."""
    meta = CheckpointMeta("small", "none", {}, SPEC, LABELS, thresholds={"hard rock": 0.2})
    rock = np.where((np.arange(20) >= 7) & (np.arange(20) < 13), 0.02, 0.97)
    windows = np.stack([rock, 1 - rock, rock / 4], axis=1).astype(np.float32)
    starts = np.arange(20) * 3.0
    edges = window_edges(starts, 3.0, 60.0)
    alone = tuple("Rock" if value > 0.5 else "Jazz" for value in rock)
    scores = windows.mean(axis=0)
    reasons = explain(scores, LABELS, meta.thresholds, DecisionRule())
    outline = np.stack([-np.linspace(0, 1, 500), np.linspace(0, 1, 500)], axis=1).astype(np.float32)
    return Timeline(
        Path("a song.mp3"), meta, "full", 60.0, starts, windows, scores, reasons, edges, alone,
        sections(alone, edges), outline, 0.5,
    )  # fmt: skip


def drawn(song: Timeline, width: int, *, colour: bool = False, present: tuple[str, ...] = ()) -> list[str]:
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=colour, color_system="standard" if colour else None
    )
    console.print(SongPicture(song, present))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 250])
def test_it_fits_the_terminal(song: Timeline, width: int) -> None:
    lines = drawn(song, width)
    assert max(map(cell_len, lines)) <= min(width, 120)
    assert any(line.startswith("Rock ") and set(LEVELS) & set(line) for line in lines)


def test_what_a_person_reads_at_60_columns(song: Timeline) -> None:
    assert drawn(song, 60, present=("Folk",)) == [
        "a song.mp3",
        "1:00 · 20 windows of 3.0 s · model small 0.1.0",
        "",
        "Rock",
        "Rock scores 0.69 and needs 0.50.",
        "Near: Hard Rock (0.17, needs 0.20), Jazz (0.32, needs 0.50).",
        "In the file now: Folk.",
        "",
        "sound      ▁▁▁▁▂▂▂▂▂▃▃▃▃▄▄▄▄▅▅▅▅▅▆▆▆▆▇▇▇▇█████",
        "genre      Rock ──────┤Jazz ─────┤Rock ──────┤",
        "Rock       ████████████▃▁▁▁▁▁▁▁▁▁▃████████████ 0.69 █████···",
        "Jazz       ▁▁▁▁▁▁▁▁▁▁▁▁▆█████████▆▁▁▁▁▁▁▁▁▁▁▁▁ 0.32 ███·│···",
        "Hard Rock  ▅▅▅▅▅▅▅▅▅▅▅▅▂▁▁▁▁▁▁▁▁▁▂▅▅▅▅▅▅▅▅▅▅▅▅ 0.17 ████│···",
        "           0:00            0:30           1:00",
        "",
        "▁▂▃▄ less than the genre needs   ▅▆▇█ enough",
    ]


def test_colour_is_never_the_only_sign(song: Timeline) -> None:
    coloured = drawn(song, 80, colour=True)
    assert any("\x1b[" in line for line in coloured)
    plain = drawn(song, 80)
    assert not any("\x1b" in line for line in plain)
    assert any(set("▁▂▃▄") & set(line) and set("▅▆▇█") & set(line) for line in plain)


def test_names_cannot_speak_to_the_terminal(song: Timeline) -> None:
    hostile = replace(song, path=Path("a\x1b[2J\n.mp3"))
    assert drawn(hostile, 80)[0] == "a\\x1b[2J\\n.mp3"
    assert "\\x1b[2J" in "".join(drawn(song, 80, present=("\x1b[2J",)))


def test_a_column_is_the_mean_of_its_time() -> None:
    edges = np.array([0.0, 2.0, 4.0, 6.0])
    values = np.array([0.0, 1.0, 0.5])
    assert fold(values, edges, np.array([0.0, 3.0, 6.0])).tolist() == pytest.approx([1 / 3, 2 / 3])
    assert fold(values, edges, np.linspace(0, 6, 7)).tolist() == pytest.approx([0, 0, 1, 1, 0.5, 0.5])


def test_loudness_is_relative_and_silence_is_nothing() -> None:
    outline = np.array([[-0.1, 0.05], [-0.1, 0.2]], np.float32)
    assert loudness(outline, 2).tolist() == pytest.approx([0.5, 1.0])
    assert loudness(np.zeros((3, 2), np.float32), 4).tolist() == [0, 0, 0, 0]


def test_sections_are_named_where_they_begin() -> None:
    bounds = np.linspace(0.0, 40.0, 41)
    line = stretches((Section(0, 20, "Rock"), Section(20, 26, "Electronic"), Section(26, 40, None)), bounds)
    assert line.plain == "Rock ──────────────┤Elec…┤unsure ──────┤"


def test_clock_and_scale() -> None:
    assert [clock(value) for value in (0, 59.6, 245, 3845)] == ["0:00", "1:00", "4:05", "1:04:05"]
    line = scale(240.0, 41)
    assert len(line) == 41
    assert line.split() == ["0:00", "1:00", "2:00", "3:00", "4:00"]
    assert line.startswith("0:00")
    assert line.endswith("4:00")
