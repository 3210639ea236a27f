"""`genretag inspect`: one song over time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from genretag.cli import options
from genretag.cli.output import render, say
from genretag.errors import DecodeError, TagError, UsageError
from genretag.escapes import json_line

if TYPE_CHECKING:
    from genretag.predict.timeline import Timeline


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A song.", show_default=False)],
    *,
    html: Annotated[
        Path | None,
        typer.Option(metavar="OUT.html", help="Also write a page: player, scores over time, waveform."),
    ] = None,
    audio: Annotated[
        str,
        typer.Option(
            metavar="embed|link|none",
            help="What the page plays: a small copy within it, the file itself, or nothing.",
        ),
    ] = "embed",
    model: options.Model = "auto",
    coverage: options.Coverage = "full",
    device: options.Device = "auto",
    json: options.JsonDocument = False,
) -> int:
    """Show what the model hears in one song, where, and why it decides as it does. Changes nothing.

    Example: genretag inspect --html song.html song.mp3
    """
    from genretag.audio.windows import parse_coverage
    from genretag.checkpoint import resolve
    from genretag.pages.sound import Choice
    from genretag.predict.decide import DecisionRule
    from genretag.predict.engine import EngineOptions
    from genretag.predict.timeline import listen

    # The page's suffix is asked for because its name stands where a song's name is easily typed.
    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--html {html}: give a name that ends in .html; the song stands without an option")
    options.one_of(audio, get_args(Choice), "--audio")
    engine = EngineOptions(device=device, coverage=parse_coverage(coverage))
    if file.is_dir():
        raise UsageError(f"{file}: a folder; give one song")
    if not file.exists():
        raise UsageError(f"{file}: no such file; check the spelling")
    try:
        with _patience("listening"):
            song = listen(file, resolve(model), engine, DecisionRule())
    except DecodeError as error:
        if json:
            print(json_line(_failed(file, error)))
        else:
            say(f"[{error.code}] {error}")
        return 1
    present = _present(file)
    if json:
        print(json_line(song.to_dict()))
    else:
        from genretag.cli.picture import SongPicture

        render(SongPicture(song, present or ()))
    if html is not None:
        _write_page(song, present, html, audio)
    return 0


def _write_page(song: Timeline, present: tuple[str, ...] | None, out: Path, audio: str) -> None:
    from genretag.files import put_in_place
    from genretag.pages.inspect import page
    from genretag.pages.sound import LONGEST, Sound, embed, link

    if audio == "embed" and song.duration > LONGEST:
        say(f"{song.path}: longer than {LONGEST / 60:.0f} minutes; the page links to it (--audio link)")
        audio = "link"
    with _patience("copying the sound"):
        sound = embed(song.path) if audio == "embed" else link(song.path, out) if audio == "link" else Sound()
    try:
        put_in_place(out, page(song, present, sound))
    except OSError as error:
        raise UsageError(f"--html {out}: cannot be written ({error.strerror})") from None
    say(f"page written to {out}; open it in a browser")


def _present(path: Path) -> tuple[str, ...] | None:
    """The genres that the file holds now; None where its tags cannot be read."""
    from genretag.tagging import tags

    try:
        state = tags.read(path)
    except (TagError, OSError):
        return None
    return state.genres if state.taggable else None


def _failed(path: Path, error: DecodeError) -> dict[str, Any]:
    from genretag.predict.timeline import KEYS

    nothing: dict[str, Any] = dict.fromkeys(KEYS)
    return nothing | {"path": str(path), "error": {"code": error.code, "message": str(error)}}


@contextmanager
def _patience(doing: str) -> Iterator[None]:
    """A line on a terminal while there is nothing to see yet."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{doing} ..."):
        yield
