"""`genretag watch`: tag what arrives."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag import interruption
from genretag.cli import deciding, options
from genretag.cli.output import RecordPrinter, greet, report_links, report_store, say
from genretag.errors import ScanError, UsageError

if TYPE_CHECKING:
    from genretag.library.arrivals import Arrivals
    from genretag.predict.engine import Predictor
    from genretag.store import Store
    from genretag.tagging.scan import Found
    from genretag.tagging.tag import TagOptions

LOOK_MILLISECONDS = 500


def watch(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders to watch.")],
    *,
    initial: Annotated[
        bool, typer.Option("--initial", help="First tag what is there already; default: only what comes.")
    ] = False,
    settle: Annotated[
        float, typer.Option(metavar="S", help="Seconds in which a file must not change to be complete.")
    ] = 5.0,
    poll: Annotated[
        bool, typer.Option("--poll", help="Look every half second: for network drives, which report nothing.")
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
    """Tag what arrives in folders, until Ctrl-C.

    A file is tagged when it has stood still for some seconds; hidden files and downloads under way are passed
    over. What arrives together is one run of the history.

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
    """One `watch`, from its first word to its summary."""

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
        try:
            if not initial:
                self.arrivals.know()
            for places in self._places(poll):
                now = time.monotonic()
                for place in places:
                    self.arrivals.seen(place, now)
                if found := list(self.arrivals.ready(now)):
                    self._burst(found)
        except KeyboardInterrupt:
            interruption.expected()
        if self.printer.statuses:
            self.printer.summary(self._hint())
        elif not self.printer.quiet:
            say("nothing arrived")

    def _burst(self, found: list[Found]) -> None:
        """Tag what is complete: a run of its own, so that it can be taken back by itself."""
        from genretag.tagging.tag import Tagging

        tagging = Tagging(self.tag_options, self.store, predictor=self.predictor)
        try:
            with closing(tagging.records(found)) as records:
                for record in records:
                    self.arrivals.done(record)
                    self.printer.print(record)
        finally:
            report_links(tagging.writer.links_broken)
            if tagging.writer.run_id is not None:
                self.runs.append(tagging.writer.run_id)

    def _places(self, poll: bool) -> Iterator[list[Path]]:
        """Where something may have happened, at least every half second.

        Every watched folder comes whole when its watching begins: what arrived before that is not missed.
        """
        roots = self.arrivals.roots
        told: list[Path] = []
        while True:
            here = [root for root in roots if root.is_dir()]
            identities = _identities(roots)
            begun = False
            for places in self._events(here, poll) if here else _waits():
                if here != told and not self.printer.quiet:
                    say(f"watching {', '.join(map(str, here))}; Ctrl-C ends it")
                    told = here
                yield places if begun else [*here, *places]
                begun = True
                if _identities(roots) != identities:
                    break
            for root in here:
                if not root.is_dir():
                    say(f"{root}: has gone; watched again when it is back")

    def _events(self, here: list[Path], poll: bool) -> Iterator[list[Path]]:
        """What the system reports of these folders; nothing where it has nothing to report."""
        import watchfiles

        try:
            for changes in watchfiles.watch(
                *here,
                watch_filter=None,
                force_polling=poll or None,
                poll_delay_ms=LOOK_MILLISECONDS,
                rust_timeout=LOOK_MILLISECONDS,
                yield_on_timeout=True,
                ignore_permission_denied=True,
            ):
                yield [Path(path) for _, path in changes]
        except RuntimeError:
            # A name that is not UTF-8, which watchfiles cannot tell: watched anew, the folders come whole.
            return
        except OSError as error:
            if all(root.is_dir() for root in here):
                raise ScanError(f"{here[0]}: cannot be watched ({error}); try --poll") from error

    def _hint(self) -> str | None:
        if len(self.runs) > 1:
            first, last = self.runs[0], self.runs[-1]
            return f"runs {first} to {last}; take one back with: genretag undo {last}"
        return self.printer.undo_hint(self.runs[0]) if self.runs else None


def _waits() -> Iterator[list[Path]]:
    while True:
        time.sleep(LOOK_MILLISECONDS / 1000)
        yield []


def _identities(roots: Sequence[Path]) -> list[tuple[int, int] | None]:
    """What stands at each of these names now, if anything does."""
    found: list[tuple[int, int] | None] = []
    for root in roots:
        try:
            status = root.stat()
            found.append((status.st_dev, status.st_ino))
        except OSError:
            found.append(None)
    return found
