"""The table of commands. Importing it must stay cheap: no command imports its work before it is run."""

from __future__ import annotations

from typing import Annotated

import typer

from genretag import __version__
from genretag.cli import (
    apply,
    completion,
    datasets,
    history,
    inspect,
    models,
    playlists,
    tag,
    train,
    tune,
    undo,
    watch,
)
from genretag.cli.eval import evaluate
from genretag.cli.grouping import GroupedCommand

app = typer.Typer(
    name="genretag",
    help="Tag music libraries with genres from the audio itself.",
    epilog="Example: genretag tag --dry-run ~/Music; genretag tag ~/Music; genretag undo",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"genretag {__version__}")
        raise typer.Exit


@app.callback()
def _genretag(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave."),
    ] = False,
) -> None:
    pass


for command in (
    tag.tag,
    apply.apply,
    undo.undo,
    watch.watch,
    playlists.playlists,
    history.history,
    inspect.inspect,
    models.models,
    datasets.datasets,
    train.train,
    tune.tune,
    evaluate,
):
    app.command("eval" if command is evaluate else None, cls=GroupedCommand)(command)

if completion.is_wanted():
    completion.attach_all(app)
