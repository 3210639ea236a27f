"""A library in the terminal: what matters first, on one screen, as wide as it is up to 100 columns."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from genretag.escapes import printable
from genretag.library.overview import GenreRow, Overview
from genretag.library.tracks import Library, Stranger

MOST_GENRES = 10
MOST_STRANGERS = 4
MOST_CHANGES = 3
WIDEST = 100
LEVELS = " ▁▂▃▄▅▆▇█"
STRONG, QUIET, GOOD = "bold", "dim", "bold cyan"


class Glance:
    """A renderable of rich's. `paths` as the person named them, quoted, for the commands it proposes."""

    def __init__(self, library: Library, found: Overview, paths: str, *, has_page: bool) -> None:
        self.library = library
        self.found = found
        self.paths = paths
        self.has_page = has_page

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, WIDEST)
        narrow = options.update_width(width)
        if not self.found.tracks:
            yield Text("No audio files there.", STRONG)
            return
        parts: tuple[Text | Table, ...] = (*self._head(), Text(), self._genres(width), *self._rest(width))
        for part in parts:
            yield from console.render(part, narrow)

    def _head(self) -> Iterator[Text]:
        found = self.found
        line = Text().append(_count(found.tracks, "track"), STRONG)
        if found.hours:
            line.append(f"  {_hours(found.hours)} heard by model {printable(self.library.meta.name)}", QUIET)
        yield line
        sure, unsure = found.hearing["sure"], found.hearing["unsure"]
        line = Text()
        if sure or unsure:
            line.append(f"{sure:,} sure ({_percent(sure, found.tracks)})", GOOD)
            line.append(f"  {unsure:,} unsure")
        for count, word in ((found.hearing["unheard"], "not heard yet"), (found.hearing["failed"], "failed")):
            if count:
                line.append(f"{'  ' if line else ''}{count:,} {word}")
        yield line
        none = next((row for row in found.genres if row.genre is None), None)
        without = none.now if none else 0
        words = f"{_count(without, 'file')} without a genre"
        if found.written:
            before = none.before if none else 0
            words += f", {before:,} before genretag wrote {found.written:,}"
        yield Text(words, QUIET)
        if self.library.gone:
            yield Text(f"{_count(self.library.gone, 'known file')} no longer there", QUIET)

    def _genres(self, width: int) -> Table:
        rows = [row for row in self.found.genres if row.genre is not None]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style=QUIET)
        table.add_column("genre", no_wrap=True, overflow="ellipsis", min_width=8, max_width=28)
        names = ["heard", "hours", "score", "in files"]
        if self.found.written:
            names.append("before")
        if width < 52:
            names.remove("hours")
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows[:MOST_GENRES]:
            cells = _cells(row)
            table.add_row(Text(printable(str(row.genre)), STRONG), *(cells[name] for name in names))
        if len(rows) > MOST_GENRES:
            rest = rows[MOST_GENRES:]
            sums = {
                "heard": f"{sum(row.heard for row in rest):,}",
                "hours": f"{sum(row.hours for row in rest):,.1f}",
                "score": "",
                "in files": f"{sum(row.now for row in rest):,}",
                "before": f"{sum(row.before for row in rest):,}",
            }
            table.add_row(Text(f"{len(rest):,} more", QUIET), *(sums[name] for name in names))
        return table

    def _rest(self, width: int) -> Iterator[Text]:
        found = self.found
        totals = [sure + unsure for sure, unsure in found.sureness]
        if most := max(totals):
            bars = "".join(LEVELS[-(-8 * count // most)] * 2 for count in totals)
            yield Text()
            line = Text().append("score  0 ", QUIET).append(bars, GOOD)
            yield line.append(" 1   tracks by their best score", QUIET)
        if changes := [change for change in found.changes if change[0] != change[1]]:
            shown = (
                f"{printable(before or 'none')} → {printable(now or 'none')} {count:,}"
                for before, now, count in changes[:MOST_CHANGES]
            )
            yield Text().append("changed  ", QUIET).append(", ".join(shown))
        if found.failures:
            codes = ", ".join(f"{code} {count:,}" for code, count, _ in found.failures)
            yield Text().append("failed  ", QUIET).append(codes)
        yield from self._strangers(width)

    def _strangers(self, width: int) -> Iterator[Text]:
        strangers = by_strangeness(self.library)
        if not strangers:
            return
        yield Text()
        yield Text(f"{_count(len(strangers), 'track')} unlike their album", STRONG)
        for stranger in strangers[:MOST_STRANGERS]:
            track = self.library.tracks[stranger.track]
            own = (track.heard if stranger.sounds else track.genres)[0]
            tail = f"  {printable(own)} among {printable(stranger.genre)}"
            album = f" · {printable(stranger.album)}"
            room = max(width - 2 - cell_len(tail), 12)
            line = Text("  ").append(_shortened(printable(track.path.name), room)).append(tail)
            if line.cell_len + cell_len(album) <= width:
                line.append(album, QUIET)
            yield line
        if len(strangers) > MOST_STRANGERS:
            yield Text(f"  and {len(strangers) - MOST_STRANGERS:,} more", QUIET)

    def next_steps(self) -> list[str]:
        """Lines that say what to do now. They are as long as they are: commands are there to be copied."""
        steps = list(self._steps())[:3] if self.found.tracks else []
        lines = [f"  {what}\n    genretag {printable(command)}" for what, command in steps]
        return ["", "Next", *lines] if lines else []

    def _steps(self) -> Iterator[tuple[str, str]]:
        """What a person may do now, the most useful first, with the command that does it."""
        paths = f" {self.paths}" if self.paths else ""
        if unheard := self.found.hearing["unheard"]:
            yield f"listen to {_count(unheard, 'track')} not heard yet", f"report --analyse{paths}"
        bare = sum(1 for track in self.library.tracks if track.hearing == "sure" and not track.genres)
        if bare:
            yield f"write genres into {_count(bare, 'file')} without one", f"tag{paths or ' FOLDER'}"
        if not self.has_page:
            yield "see the map and every track", f"report --html library.html{paths}"
        if strangers := by_strangeness(self.library):
            if self.found.written:
                yield (
                    "give each album one genre",
                    f"tag --by album --existing refresh{paths or ' FOLDER'}",
                )
            else:
                path = self.library.tracks[strangers[0].track].path
                yield "hear why a track stands out", f"inspect {shlex.quote(str(path))}"


def by_strangeness(library: Library) -> Sequence[Stranger]:
    """Tracks unlike their album, the surest first: those that sound unlike it, then those only called so."""
    return sorted(
        library.strangers,
        key=lambda one: (not one.sounds, -(library.tracks[one.track].confidence or 0.0), one.track),
    )


def _cells(row: GenreRow) -> dict[str, str]:
    return {
        "heard": f"{row.heard:,}",
        "hours": "<0.1" if 0 < row.hours < 0.05 else f"{row.hours:,.1f}",
        "score": "-" if row.sureness is None else f"{row.sureness:.2f}",
        "in files": f"{row.now:,}",
        "before": f"{row.before:,}",
    }


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _hours(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:,.0f} minutes"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"


def _shortened(text: str, room: int) -> str:
    return text if cell_len(text) <= room else set_cell_size(text, room - 1).rstrip() + "…"
