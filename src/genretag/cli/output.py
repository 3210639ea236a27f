"""How things are shown: records on stdout, progress, warnings and summaries on stderr."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from genretag import interruption
from genretag.cli import advice, narrow
from genretag.escapes import printable
from genretag.tagging.plan import Record

if TYPE_CHECKING:
    from rich.console import RenderableType
    from tqdm import tqdm

    from genretag.store import Store
    from genretag.tagging.album import Verdict
    from genretag.tagging.writer import GenreWriter

# Of files that nothing happened to, a person who did not ask wants the count only.
_QUIET_STATUSES = frozenset({"kept", "unchanged"})


def prepare_streams() -> None:
    """UTF-8 on both streams whatever the locale: a name must never end a run over its letters."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def say(message: str) -> None:
    """One line to the person, on stderr: an error, a warning, a piece of news."""
    _tell(f"genretag: {message}")


def _tell(line: str) -> None:
    print(printable(line), file=sys.stderr)


def show_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault of this program on stderr, for a report; what strangers wrote may stand in its lines."""
    for line in "".join(traceback.format_exception(kind, error, trace)).rstrip("\n").split("\n"):
        _tell(line)


class RecordPrinter:
    """Prints records as they come, counts them, and sums up at the end.

    A failure that is known from an earlier run neither sets the exit code nor gets a line of text, unless its
    file is one of `named`, the paths on the command line.
    """

    def __init__(self, *, as_json: bool, quiet: bool, verbose: bool, named: Iterable[Path] = ()) -> None:
        self.named = frozenset(map(_real, named))
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.statuses: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.known_failures = 0
        self.exit_code = 0
        self.started = time.monotonic()
        self.bar: tqdm[None] | None = None

    def print_all(self, records: Iterable[Record], count_files: Callable[[], int]) -> None:
        """Print every record; on a terminal a progress bar shows files, rate, time left and failures.

        `count_files` runs beside the work and gives the bar its total.
        """
        with self._progress(count_files):
            for record in records:
                self.print(record)
                interruption.check()

    def print(self, record: Record) -> None:
        self.statuses[record.status] += 1
        expected = False
        if record.error is not None:
            self.failures[record.error.code] += 1
            self.known_failures += record.error.known
            expected = record.error.known and _real(record.path) not in self.named
            self.exit_code = self.exit_code if expected else 1
        if self.as_json:
            self._write(record.to_json(), sys.stdout)
        elif expected and not self.verbose:
            pass
        elif record.error is not None:
            self._write(printable(f"genretag: [{record.error.code}] {record.error.message}"), sys.stderr)
        elif self.verbose or record.status not in _QUIET_STATUSES:
            genres = record.genres or (record.previous if record.status == "kept" else ())
            shown = printable(", ".join(genres)) or "-"
            self._write(f"{record.status:<9} {shown:<32} {printable(str(record.path))}", sys.stdout)
        if self.bar is not None:
            self.bar.update()
            failed, unsure = sum(self.failures.values()), self.statuses["unsure"]
            self.bar.set_postfix_str(advice.counted(failed, unsure, _columns()), refresh=False)

    def summary(self, hint: str | None = None) -> None:
        """What became of the files, and what a person may do next."""
        if self.quiet:
            return
        total, seconds = self.statuses.total(), time.monotonic() - self.started
        known = f" ({self.known_failures:,} known from earlier runs)" if self.known_failures else ""
        counts = ", ".join(
            f"{count:,} {status}{known if status == 'failed' else ''}"
            for status, count in self.statuses.most_common()
        )
        rate = f", {total / seconds:,.1f} a second" if seconds >= 1 else ""
        if not total:
            say(
                "no audio files there; known suffixes are looked for in folders, any file can be named itself"
            )
            return
        files = "1 file" if total == 1 else f"{total:,} files"
        _tell(f"{files} in {seconds:,.1f} s{rate}: {counts}")
        steps = advice.next_steps(self.statuses, more=hint is not None)
        hints = [hint] if hint else []
        if self.known_failures and not (self.verbose or self.as_json):
            hints.insert(0, "known from earlier runs: --verbose lists these files, --no-cache retries them")
        for line in [*advice.failures(self.failures), *steps, *hints]:
            _tell(line)

    def undo_hint(self, run: int | None) -> str | None:
        """How to go back, where something was written."""
        return f"run {run}; take it back with: genretag undo" if self.statuses["written"] else None

    def _write(self, line: str, stream: TextIO) -> None:
        if self.bar is not None and stream.isatty():
            self.bar.write(line, file=stream)
        else:
            print(line, file=stream, flush=True)

    @contextmanager
    def _progress(self, count_files: Callable[[], int]) -> Iterator[None]:
        if self.quiet or not sys.stderr.isatty():
            yield
            return
        from tqdm import tqdm

        with tqdm(
            unit="",
            bar_format=advice.bar_format(_columns()),
            dynamic_ncols=True,
            file=sys.stderr,
            smoothing=0.1,
        ) as self.bar:
            bar = self.bar

            def set_total() -> None:
                bar.total = count_files()

            threading.Thread(target=set_total, daemon=True).start()
            yield
        self.bar = None


def _real(path: Path) -> str:
    return os.path.realpath(str(path))


def _columns() -> int:
    return shutil.get_terminal_size().columns


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table on stdout; numbers stand to the right."""
    from rich import box
    from rich.table import Table

    columns = [printable(column) for column in columns]
    lines = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty() and _columns() < narrow.needed(columns, lines):
        print(narrow.blocks(columns, lines, _columns()))
        return
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        numeric = bool(lines) and all(
            row[number].replace(",", "").isdigit() or row[number] == "-" for row in lines
        )
        shown.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in lines:
        shown.add_row(*row)
    _render(shown, 120)


def render(document: RenderableType) -> None:
    """Tables and sentences on stdout, as wide as the terminal or, into a file, 100 columns."""
    _render(document, 100)


def _render(document: RenderableType, width: int) -> None:
    from rich.console import Console
    from rich.segment import Segment, Segments

    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else width)
    # Names stand anywhere in a document, and rich passes escape sequences in them on to the terminal.
    harmless = [
        Segment("\n".join(map(printable, segment.text.split("\n"))), segment.style)
        for segment in console.render(document)
        if not segment.control
    ]
    console.print(Segments(harmless), end="", crop=False)


def details(document: Mapping[str, object]) -> None:
    """Names and values on stdout, one below the other."""
    width = max(map(len, document))
    for name, value in document.items():
        print(printable(f"{name.replace('_', ' '):<{width}}  {_in_words(value)}"))


def _in_words(value: object) -> str:
    if value is None or value == [] or value == {}:
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ("; " if isinstance(value[0], Mapping) else ", ").join(_in_words(item) for item in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def greet(store: Store) -> None:
    """Before the first run of all, in a terminal: what will be written and how to undo it."""
    if sys.stderr.isatty() and store.row("SELECT 1 FROM files LIMIT 1") is None:
        for sentence in advice.before_the_first_run(store.folder):
            say(sentence)


def report_writes(writer: GenreWriter) -> None:
    """Warn of what a write could not keep, and of files that are shorter than their headers state."""
    _warn(
        writer.links_broken,
        "had other names (hard links), which still show the old genre; --in-place keeps such names together",
    )
    _warn(
        writer.owner_changed,
        "belonged to another user and is now yours, since only root can keep another owner; --in-place does",
    )
    _warn(
        writer.cut_short,
        "is shorter than its header states; tagged anyway, but it may be damaged",
    )


def _warn(paths: Sequence[Path], text: str) -> None:
    if paths:
        others = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        say(f"{paths[0]}{others}: {text}")


def report_outliers(outliers: Sequence[tuple[Path, Verdict]]) -> None:
    """Tell which tracks differ strongly from the album that decided for them."""
    if outliers:
        path, verdict = outliers[0]
        others = f" and {len(outliers) - 1:,} more (album.outlier in --json)" if len(outliers) > 1 else ""
        heard, album = ", ".join(verdict.own) or "nothing", ", ".join(verdict.genres) or "nothing"
        say(f"{path}{others}: differs from its album: {heard} by itself, {album} with the others")


def report_store(store: Store) -> None:
    """Tell what opening the store brought to light, after setting right what an earlier crash left."""
    from genretag.tagging.recover import recover

    if store.warning:
        say(store.warning)
    for sentence in recover(store):
        say(sentence)
