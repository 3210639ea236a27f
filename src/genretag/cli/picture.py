"""A song over time, drawn in characters as wide as the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from genretag.escapes import printable
from genretag.predict.reasons import Weighed
from genretag.predict.timeline import Section, Timeline

MOST_ROWS = 8
MOST_COLUMNS = 120  # wider than this the eye no longer finds the row
LEVELS = "▁▂▃▄▅▆▇█"  # the upper four: what the genre needs, and more
ENOUGH, BELOW = "bold cyan", "dim"


class SongPicture:
    """A renderable of rich's: what was decided and why, the genres over time, how sure each is in all."""

    def __init__(self, song: Timeline, present: Sequence[str] = ()) -> None:
        self.song = song
        self.present = present

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, MOST_COLUMNS)
        for line in self._words():
            line.overflow = "fold"
            yield from console.render(line, options.update_width(width))
        yield Text()
        yield from self._drawing(width)

    def _words(self) -> Iterator[Text]:
        song = self.song
        yield Text(printable(song.path.name), "bold")
        count = len(song.starts)
        windows = f"{count:,} window{'' if count == 1 else 's'} of {song.window_seconds:.1f} s"
        model = printable(f"{song.meta.name} {song.meta.package_version}")
        yield Text(f"{clock(song.duration)} · {windows} · model {model}", BELOW)
        yield Text()
        genres = ", ".join(song.reasons.decision.genres)
        yield Text(printable(genres) or "no genre", "bold" if not genres else ENOUGH)
        for sentence in song.reasons.sentences:
            yield Text(printable(sentence))
        if self.present:
            yield Text(f"In the file now: {printable(', '.join(self.present))}.")

    def _drawing(self, width: int) -> Iterator[Text]:
        song, rows = self.song, self.song.telling(MOST_ROWS)
        names = [printable(item.name) for item in rows]
        left = min(max(map(cell_len, [*names, "sound"])), 16 if width >= 80 else 11)
        bar = 16 if width >= 100 else 8 if width >= 56 else 0
        columns = max(width - left - 7 - (bar + 1 if bar else 0), 8)
        bounds = np.linspace(0.0, song.duration, columns + 1)
        yield _row("sound", left, _levels(loudness(song.outline, columns), BELOW))
        yield _row("genre", left, stretches(song.sections, bounds))
        for item, name in zip(rows, names, strict=True):
            line = _row(name, left, _levels(fold(song.sureness(item), song.edges, bounds)))
            line.append(f" {item.score:.2f}", ENOUGH if item.chosen else "")
            if bar:
                line.append(" ").append_text(_bar(item, bar))
            yield line
        yield _row("", left, Text(scale(song.duration, columns), BELOW))
        yield Text()
        needs = any(item.threshold for item in rows)
        words = ("less than the genre needs", "enough") if needs else ("below 0.5", "0.5 and more")
        legend = Text(overflow="ellipsis", no_wrap=True).append(f"{LEVELS[:4]} {words[0]}   ", BELOW)
        yield legend.append(LEVELS[4:], ENOUGH).append(f" {words[1]}", BELOW)


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: "4:05", "1:04:05"."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def fold(
    values: NDArray[np.float64], edges: NDArray[np.float64], bounds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values of windows between `edges` as means over columns between `bounds`, both ascending seconds."""
    # The integral of a step function, read at the bounds, gives every column its exact mean.
    integral = np.concatenate([[0.0], np.cumsum(values * np.diff(edges))])
    folded: NDArray[np.float64] = np.diff(np.interp(bounds, edges, integral))
    return folded / np.maximum(np.diff(bounds), 1e-9)


def loudness(outline: NDArray[np.float32], columns: int) -> NDArray[np.float64]:
    """Mean peaks of an outline (parts, 2) in columns, 1 for the loudest."""
    peaks = np.abs(outline).max(axis=1).astype(np.float64)
    parts = np.linspace(0.0, 1.0, len(peaks) + 1)
    folded = fold(peaks, parts, np.linspace(0.0, 1.0, columns + 1))
    loudest = float(np.max(folded))
    return folded / max(loudest, 1e-9)


def stretches(sections: tuple[Section, ...], bounds: NDArray[np.float64]) -> Text:
    """The sections of a song as one line, each named where it begins."""
    per_column = max(float(bounds[1] - bounds[0]), 1e-9)
    line = Text()
    for section in sections:
        room = round(section.end / per_column) - round(section.start / per_column)
        if not room:
            continue
        name = printable(section.genre or "unsure")
        label = name if cell_len(name) < room else set_cell_size(name, max(room - 2, 0)).rstrip() + "…"
        rest = room - 1 - cell_len(label)
        label += f" {'─' * (rest - 1)}" if rest > 0 else ""
        line.append(set_cell_size(label, room - 1), "bold" if section.genre else BELOW).append("┤", BELOW)
    return line


def scale(duration: float, columns: int) -> str:
    """Times below the columns: the beginning, the end, and quarters where they have room."""
    parts = 1 if duration < 8 else 4 if columns >= 40 else 2
    line = [" "] * columns
    for part in range(parts + 1):
        mark = clock(duration * part / parts)
        at = min(max(round(columns * part / parts) - len(mark) // 2, 0), columns - len(mark))
        line[at : at + len(mark)] = mark
    return "".join(line)


def _row(name: str, width: int, strip: Text) -> Text:
    line = Text(name, overflow="crop", no_wrap=True)
    line.truncate(width, overflow="ellipsis", pad=True)
    return line.append("  ").append_text(strip)


def _levels(values: NDArray[np.float64], style: str | None = None) -> Text:
    characters = [LEVELS[min(int(value * len(LEVELS)), len(LEVELS) - 1)] for value in values.tolist()]
    text = Text()
    for enough, run in groupby(characters, key=lambda character: character in LEVELS[4:]):
        text.append("".join(run), style or (ENOUGH if enough else BELOW))
    return text


def _bar(item: Weighed, width: int) -> Text:
    """How sure the model is in all; what the genre needs is half of the bar."""
    filled = round(item.sureness * width)
    rest = ["·"] * width
    rest[width // 2] = "│"
    text = Text().append("█" * filled, ENOUGH if item.sureness >= 0.5 else BELOW)
    return text.append("".join(rest[filled:]), BELOW)
