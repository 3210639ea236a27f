"""`genretag tag`: predict genres and write them into the files."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from genretag.audio.remote import RemotePath, place, require_storage
from genretag.cli import deciding, options
from genretag.cli.interrupted import interruptible
from genretag.cli.output import RecordPrinter, greet, report_outliers, report_store, report_writes
from genretag.errors import UsageError
from genretag.tagging.plan import Existing, plan_writer
from genretag.tagging.scan import Found, ScanOptions, read_file_list, require_any, scan

if TYPE_CHECKING:
    from genretag.places import Place
    from genretag.predict.cluster import ClusterPredictor
    from genretag.tagging.tag import TagOptions


def tag(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Files and folders; with --dry-run or --plan also addresses such as s3://bucket/music.",
            parser=place,
            show_default=False,
        ),
    ] = None,
    *,
    model: options.Model = "auto",
    dry_run: deciding.DryRun = False,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a plan for `genretag apply`; change no music file."),
    ] = None,
    existing: deciding.ExistingGenres = "keep",
    single: deciding.Single = None,
    top: deciding.Top = 3,
    threshold: deciding.Threshold = "auto",
    min_confidence: deciding.MinConfidence = 0.0,
    map_file: deciding.MapFile = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="track|album",
            help="Decide for every track by itself, or for the tracks of an album together.",
        ),
    ] = "track",
    coverage: options.Coverage = "fast",
    separator: options.Separator = None,
    id3: options.Id3 = "keep",
    preserve_mtime: options.PreserveMtime = False,
    provenance: options.Provenance = False,
    in_place: options.InPlace = False,
    files_from: Annotated[
        Path | None, typer.Option(metavar="FILE|-", help="Read paths from a list, one per line.")
    ] = None,
    nul: Annotated[
        bool, typer.Option("-0", help="The list is NUL-separated, as `find -print0` makes it.")
    ] = False,
    exclude: options.Exclude = None,
    follow_symlinks: options.FollowSymlinks = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Analyse again what is known.")] = False,
    device: options.Device = "auto",
    batch_size: options.BatchSize = "auto",
    workers: options.Workers = "auto",
    engine: Annotated[
        str,
        typer.Option(metavar="local|ray", help="ray: analyse on all nodes of a Ray cluster."),
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDR",
            help="The cluster: host:port, or auto for one of this machine. Default: RAY_ADDRESS, or else Ray "
            "is started here.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Predict genres from the sound and write them into the files.

    Files that have a genre are left alone unless --existing says otherwise; `genretag undo` takes it back.

    Example: genretag tag --dry-run ~/Music

    Example: genretag tag --top 1 --existing add ~/Music/New
    """
    from genretag.audio.windows import parse_coverage
    from genretag.predict.engine import EngineOptions
    from genretag.store import Store
    from genretag.tagging.album import By
    from genretag.tagging.tag import Tagging, TagOptions

    if nul and files_from is None:
        raise UsageError("-0 says how the list of --files-from is separated; give that too")
    tag_options = TagOptions(
        model=model,
        write=not dry_run and plan is None,
        existing=Existing(options.one_of(existing, tuple(Existing), "--existing")),
        rule=deciding.decision_rule(top, threshold, min_confidence, single),
        genre_map=deciding.genre_map(map_file),
        writing=options.writing_options(separator, id3, preserve_mtime, provenance, in_place),
        engine=EngineOptions(
            device=device,
            batch_size=options.positive(batch_size, "--batch-size"),
            workers=options.positive(workers, "--workers"),
            coverage=parse_coverage(coverage),
        ),
        use_cache=not no_cache,
        by=options.one_of(by, get_args(By), "--by"),
    )
    sources = _sources(paths or [], files_from, nul=nul)
    require_storage(paths or [])
    require_any(paths or [])
    if tag_options.write:
        _refuse_remote(paths or [])
    scan_options = ScanOptions(tuple(exclude or ()), follow_symlinks)

    def found() -> Iterator[Found]:
        return scan(sources(), scan_options)

    def count() -> int:
        # A list on standard input or in a pipe can be read only once: its run has no total.
        return 0 if options.is_stream(files_from) else sum(1 for _ in found())

    with _cluster(engine, ray_address, tag_options) as predictor, Store.open() as store:
        report_store(store)
        if tag_options.write and not (json or quiet):
            greet(store)
        places = _places(paths or [], files_from, nul=nul) if tag_options.write else ()
        tagging = Tagging(tag_options, store, places, predictor)
        printer = RecordPrinter(as_json=json, quiet=quiet, verbose=verbose, named=paths or ())
        with (
            interruptible(printer.statuses),
            plan_writer(plan) as keep,
            closing(tagging.records(found())) as records,
        ):
            printer.print_all(map(keep, records), count)
        report_writes(tagging.writer)
        if tagging.albums is not None and not quiet:
            report_outliers(tagging.albums.outliers)
        printer.summary(_plan_hint(plan) if plan else printer.undo_hint(tagging.writer.run_id))
    return printer.exit_code


def _refuse_remote(paths: list[Path]) -> None:
    """UsageError where a file would have to be written that no file system holds."""
    if remote := next((path for path in paths if isinstance(path, RemotePath)), None):
        raise UsageError(
            f"{remote}: remote storage is read, never written; add --plan FILE or --dry-run, and carry "
            "the plan out where the files are mounted"
        )


@contextmanager
def _cluster(engine: str, address: str | None, tagging: TagOptions) -> Iterator[ClusterPredictor | None]:
    """What `--engine` and `--ray-address` ask for; None for this machine alone."""
    from genretag import checkpoint
    from genretag.predict.cluster import ClusterPredictor

    if options.one_of(engine, ("local", "ray"), "--engine") == "ray":
        with closing(ClusterPredictor(checkpoint.resolve(tagging.model), tagging.engine, address)) as cluster:
            yield cluster
    elif address is not None:
        raise UsageError("--ray-address says which cluster --engine ray means; give that too")
    else:
        yield None


def _sources(paths: list[Path], files_from: Path | None, *, nul: bool) -> Callable[[], Iterator[Path]]:
    """What to scan: the named paths, then those of the list; called again for a second walk."""
    if not paths and files_from is None:
        raise UsageError("give a file or folder to tag (see genretag tag --help)")
    if files_from is not None:
        options.readable_source(files_from)

    def sources() -> Iterator[Path]:
        yield from paths
        if files_from is None:
            return
        if str(files_from) == "-":
            yield from read_file_list(sys.stdin.buffer, nul=nul)
        else:
            with files_from.open("rb") as lines:
                yield from read_file_list(lines, nul=nul)

    return sources


def _places(paths: list[Path], files_from: Path | None, *, nul: bool) -> tuple[Place, ...]:
    """Return the folders and files that this run may write; none for a list that can be read only once."""
    from genretag.places import places_listed, places_named

    if files_from is None or options.is_stream(files_from):
        return places_named(paths)
    with files_from.open("rb") as lines:
        return (*places_named(paths), *places_listed(read_file_list(lines, nul=nul)))


def _plan_hint(plan: Path) -> str:
    return f"plan written to {plan}; carry it out with: genretag apply {shlex.quote(str(plan))}"
