"""`genretag watch`: tag new files in folders."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag import interruption
from genretag.cli import deciding, options
from genretag.cli.output import RecordPrinter, greet, report_store, report_writes, say
from genretag.errors import ScanError, UsageError

if TYPE_CHECKING:
    from genretag.library.arrivals import Arrivals
    from genretag.predict.engine import Predictor
    from genretag.store import Store
    from genretag.tagging.scan import Found
    from genretag.tagging.tag import TagOptions

TICK_SECONDS = 0.5


def watch(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders to watch.")],
    *,
    initial: Annotated[bool, typer.Option("--initial", help="Also tag files that exist already.")] = False,
    settle: Annotated[
        float, typer.Option(metavar="S", help="Seconds without change before a file is tagged.")
    ] = 5.0,
    poll: Annotated[
        bool, typer.Option("--poll", help="Scan every 2 s instead of using notifications.")
    ] = False,
    model: options.Model = "auto",
    dry_run: deciding.DryRun = False,
    existing: deciding.ExistingGenres = "keep",
    single: deciding.Single = None,
    top: deciding.Top = 3,
    threshold: deciding.Threshold = "auto",
    min_confidence: deciding.MinConfidence = 0.0,
    map_file: deciding.MapFile = None,
    coverage: options.Coverage = "fast",
    separator: options.Separator = None,
    id3: options.Id3 = "keep",
    preserve_mtime: options.PreserveMtime = False,
    provenance: options.Provenance = False,
    in_place: options.InPlace = False,
    exclude: options.Exclude = None,
    follow_symlinks: options.FollowSymlinks = False,
    device: options.Device = "auto",
    workers: options.Workers = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Watch folders and tag new files.

    Runs until Ctrl-C. A file is tagged once it has not changed for some seconds and no program has it open
    for writing; hidden files and unfinished downloads are left out. Files that arrive together are one run
    of the history.

    Example: genretag watch ~/Downloads/Music

    Example: genretag watch --initial --existing refresh --quiet ~/Music
    """
    from genretag.audio.windows import parse_coverage
    from genretag.library.arrivals import Arrivals
    from genretag.predict.engine import EngineOptions, Predictor
    from genretag.store import Store
    from genretag.tagging.plan import Existing
    from genretag.tagging.scan import ScanOptions
    from genretag.tagging.tag import Tagging, TagOptions

    if not 0 <= settle < 3600:
        raise UsageError(f"--settle {settle:g}: give seconds from 0 up, such as 5")
    for folder in folders:
        if not folder.is_dir():
            raise ScanError(f"{folder}: no such folder; give one that exists")
    tag_options = TagOptions(
        model=model,
        write=not dry_run,
        existing=Existing(options.one_of(existing, tuple(Existing), "--existing")),
        rule=deciding.decision_rule(top, threshold, min_confidence, single),
        genre_map=deciding.genre_map(map_file),
        writing=options.writing_options(separator, id3, preserve_mtime, provenance, in_place),
        engine=EngineOptions(
            device=device,
            workers=options.positive(workers, "--workers"),
            coverage=parse_coverage(coverage),
        ),
    )
    # As the system reports them: whole, and without links on the way.
    roots = [folder.resolve() for folder in folders]
    arrivals = Arrivals(roots, ScanOptions(tuple(exclude or ()), follow_symlinks), settle)
    printer = RecordPrinter(as_json=json, quiet=quiet, verbose=verbose)
    with Store.open() as store:
        report_store(store)
        if tag_options.write and not (json or quiet):
            greet(store)
        model_path = Tagging(tag_options, store).model_path
        with closing(Predictor(model_path, tag_options.engine)) as predictor:
            session = _Session(tag_options, store, predictor, arrivals, printer)
            session.run(initial=initial, poll=poll)
    return printer.exit_code


class _Session:
    """One `watch`, from its first message to its summary."""

    def __init__(
        self,
        tag_options: TagOptions,
        store: Store,
        predictor: Predictor,
        arrivals: Arrivals,
        printer: RecordPrinter,
    ) -> None:
        self.tag_options = tag_options
        self.store = store
        self.predictor = predictor
        self.arrivals = arrivals
        self.printer = printer
        self.runs: list[int] = []

    def run(self, *, initial: bool, poll: bool) -> None:
        from genretag.library.changes import FolderWatcher

        watcher = FolderWatcher(self.arrivals, poll=poll, quiet=self.printer.quiet, report=say)
        try:
            if not initial:
                self.arrivals.know()
            with closing(watcher):
                while True:
                    interruption.check()
                    watcher.wait(TICK_SECONDS)
                    if found := list(self.arrivals.ready(time.monotonic())):
                        self._burst(found)
                    for sentence in self.arrivals.held_up(time.monotonic()):
                        say(sentence)
        except KeyboardInterrupt:
            interruption.expected()
        self._report_unfinished()
        if self.printer.statuses:
            self.printer.summary(self._hint())
        elif not self.printer.quiet:
            say("nothing arrived")

    def _burst(self, found: list[Found]) -> None:
        """Tag files that are complete, in a run of their own that can be undone by itself."""
        from genretag.tagging.tag import Tagging

        tagging = Tagging(self.tag_options, self.store, predictor=self.predictor)
        # Of many files, some may have changed by the time that it is their turn.
        still = (one for one in found if self.arrivals.still_ready(one.path, time.monotonic()))
        written = False
        try:
            with closing(tagging.records(still)) as records:
                for record in records:
                    written = written or record.status == "written"
                    if self.arrivals.done(record, time.monotonic()):
                        self.printer.print(record)
        finally:
            report_writes(tagging.writer)
            if tagging.writer.run_id is not None and written:
                self.runs.append(tagging.writer.run_id)

    def _report_unfinished(self) -> None:
        failures, arriving = self.arrivals.unfinished()
        for record in failures:
            self.printer.print(record)
        if arriving and not self.printer.quiet:
            files = "1 file was" if arriving == 1 else f"{arriving:,} files were"
            say(f"{files} still arriving, and not tagged; genretag tag does that later")

    def _hint(self) -> str | None:
        if len(self.runs) > 1:
            first, last = self.runs[0], self.runs[-1]
            return f"runs {first} to {last}; take one back with: genretag undo {last}"
        return self.printer.undo_hint(self.runs[0]) if self.runs else None
