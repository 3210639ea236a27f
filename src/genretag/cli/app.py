"""The table of commands. Importing it must stay cheap: no command imports its work before it is run."""

from __future__ import annotations

from typing import Annotated

import typer

from genretag import __version__
from genretag.cli import (
    apply,
    completion,
    config,
    datasets,
    doctor,
    history,
    inspect,
    learn,
    map,
    models,
    playlists,
    report,
    tag,
    train,
    tune,
    undo,
    watch,
)
from genretag.cli.configured import ConfiguredCommand
from genretag.cli.eval import evaluate
from genretag.errors import UsageError

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
        typer.Option(
            "--version", "-V", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
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
    report.report,
    inspect.inspect,
    learn.learn,
    models.models,
    datasets.datasets,
    train.train,
    tune.tune,
    evaluate,
):
    app.command("eval" if command is evaluate else None, cls=ConfiguredCommand)(command)
app.command("doctor", cls=ConfiguredCommand)(doctor.doctor)


@app.command("version")
def _version() -> None:
    """Show the version.

    Example: genretag version
    """
    typer.echo(f"genretag {__version__}")


@app.command("help")
def _help(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(help="A command, such as `tag` or `map init`.")
    ] = None,
) -> None:
    """Show help for genretag or for one of its commands.

    Example: genretag help tag
    """
    from typer.core import TyperGroup

    assert context.parent is not None
    shown = context.parent
    for name in command or ():
        group = shown.command
        found = group.get_command(shown, name) if isinstance(group, TyperGroup) else None
        if found is None:
            raise UsageError(f"help {' '.join(command or ())}: no such command (see genretag --help)")
        shown = typer.Context(found, info_name=name, parent=shown)
    typer.echo(shown.get_help())


app.add_typer(map.app, name="map")
app.add_typer(config.app, name="config")

if completion.is_wanted():
    completion.attach_all(app)
