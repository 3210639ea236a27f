"""`genretag report`: a library at a glance."""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from genretag.cli import options
from genretag.cli.output import render, report_store, say
from genretag.errors import UsageError
from genretag.escapes import json_line

if TYPE_CHECKING:
    from genretag.library.tracks import Library
    from genretag.store import Store
    from genretag.tagging.scan import Found
    from genretag.tagging.tag import TagOptions

T = TypeVar("T")

# Measured: benchmarks/pages_speed.py.
PAGE_TRACKS = 50_000


def report(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH", help="Files and folders; default: all that is known.", show_default=False
        ),
    ] = None,
    *,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.html", help="Also write a page: map, albums, every track to search and play."
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="OUT.csv|-", help="Also write every track as a table.")
    ] = None,
    analyse: Annotated[
        bool, typer.Option("--analyse", help="Listen to what was not heard yet; else it is only counted.")
    ] = False,
    model: options.Model = "auto",
    coverage: options.Coverage = "fast",
    device: options.Device = "auto",
    workers: options.Workers = "auto",
    json: options.JsonDocument = False,
    quiet: options.Quiet = False,
) -> int:
    """Show a library at a glance: genres, how sure, before and after, what stands out. Changes no music file.

    Example: genretag report --html library.html ~/Music
    """
    from genretag.audio.windows import parse_coverage
    from genretag.predict.engine import EngineOptions
    from genretag.store import Store
    from genretag.tagging.plan import Existing
    from genretag.tagging.scan import require_any
    from genretag.tagging.tag import TagOptions

    _require_names(html, csv)
    require_any(paths or [])
    # Every file is to be heard, also one whose genre tag would keep.
    listening = TagOptions(
        model=model,
        write=False,
        existing=Existing.REPLACE,
        engine=EngineOptions(
            device=device,
            workers=options.positive(workers, "--workers"),
            coverage=parse_coverage(coverage),
        ),
    )
    with Store.open() as store:
        report_store(store)
        library = _gather(paths, store, listening, analyse=analyse, quiet=quiet)
    if html is not None:
        _write_page(library, html)
    if csv is not None:
        _write_csv(library, csv)
    _show(library, [str(path) for path in paths or ()], html, as_json=json, silent=quiet or str(csv) == "-")
    return 0


def _require_names(html: Path | None, csv: Path | None) -> None:
    # The suffixes are asked for because a song's name is easily typed where these names stand.
    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--html {html}: give a name that ends in .html; folders stand without an option")
    if csv is not None and str(csv) != "-" and csv.suffix.lower() != ".csv":
        raise UsageError(f"--csv {csv}: give a name that ends in .csv, or - for standard output")


def _gather(
    paths: list[Path] | None, store: Store, listening: TagOptions, *, analyse: bool, quiet: bool
) -> Library:
    from genretag.library.tracks import gather, known_files
    from genretag.tagging.scan import Found, scan

    if paths:
        found, gone = list(scan(paths)), 0
    else:
        found, gone = known_files(store)
        if not found:
            raise UsageError("no files are known yet; name a folder, as in: genretag report ~/Music")

    def look() -> Library:
        seen = _progress(found, len(found), "looking", quiet=quiet)
        return gather(seen, store, listening.model, listening.engine.coverage, gone)

    library = look()
    unheard = [Found(track.path) for track in library.tracks if track.hearing == "unheard"]
    if analyse and unheard:
        _listen(unheard, store, listening, quiet=quiet)
        library = look()
    return library


def _listen(unheard: list[Found], store: Store, listening: TagOptions, *, quiet: bool) -> None:
    """Analyse tracks as a dry run of `tag` does; the store remembers what was heard."""
    from contextlib import closing

    from genretag.tagging.tag import Tagging

    with closing(Tagging(listening, store).records(unheard)) as records:
        for _ in _progress(records, len(unheard), "listening", quiet=quiet):
            pass


def _progress(items: Iterable[T], total: int, doing: str, *, quiet: bool) -> Iterator[T]:
    if quiet or not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    bar = tqdm(items, doing, total, unit=" files", leave=False, dynamic_ncols=True, file=sys.stderr, delay=1)
    yield from bar


def _show(library: Library, paths: list[str], html: Path | None, *, as_json: bool, silent: bool) -> None:
    from genretag.library.overview import figures, overview

    found = overview(library)
    if as_json:
        from genretag.library.listing import rows

        head = {"model": library.meta.name, "gone": library.gone}
        print(json_line(head | figures(found) | {"library": list(rows(library))}))
    elif not silent:
        from genretag.cli.glance import Glance

        named = " ".join(map(shlex.quote, paths))
        glance = Glance(library, found, named, has_page=html is not None)
        render(glance)
        for line in glance.next_steps():
            print(line)


def _write_page(library: Library, out: Path) -> None:
    from genretag.pages.report import page

    if len(library.tracks) > PAGE_TRACKS:
        say(
            f"{len(library.tracks):,} tracks: the page is made for up to {PAGE_TRACKS:,} and will be slow; "
            "name a folder for a smaller one"
        )
    _write(out, page(library, out), "--html")
    say(f"page written to {out}; open it in a browser")


def _write_csv(library: Library, out: Path) -> None:
    from genretag.library.listing import write_csv

    if str(out) == "-":
        write_csv(library, sys.stdout)
        return
    text = io.StringIO()
    write_csv(library, text)
    # Spreadsheets know UTF-8 by this mark only.
    _write(out, text.getvalue().encode("utf-8-sig"), "--csv")
    say(f"table written to {out}")


def _write(out: Path, content: bytes, option: str) -> None:
    from genretag.files import put_in_place

    try:
        put_in_place(out, content)
    except OSError as error:
        raise UsageError(f"{option} {out}: cannot be written ({error.strerror}); check that folder") from None
