"""`genretag config`: what is in force and where it was set; one key set or removed."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from genretag.cli import configured, options, settings
from genretag.cli.output import say, table
from genretag.errors import ConfigError, UsageError
from genretag.escapes import printable

app = typer.Typer(
    help="Show what is in force and where it was set, and change it.\n\n"
    "Example: genretag config set tag.existing refresh",
    invoke_without_command=True,
    rich_markup_mode=None,
)
KEY = typer.Argument(metavar="COMMAND.OPTION", help="Such as tag.model; all.device is for every command.")

_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Row:
    """One option as it is in force: `source` is "default" or file and line, `table` where it stands there."""

    command: str
    option: str
    value: Any
    source: str
    table: str | None
    default: Any


@app.callback()
def config(
    context: typer.Context,
    path: Annotated[bool, typer.Option("--path", help="Print only where the file is, or would be.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Every command; without it tag and those that the file sets.")
    ] = False,
    json: options.JsonDocument = False,
) -> int:
    if context.invoked_subcommand is not None:
        return 0
    if path:
        print(settings.path())
        return 0
    rows, problems = _rows(context.find_root())
    if json:
        document = {"path": str(settings.path()), "options": list(map(asdict, rows)), "problems": problems}
        print(jsonlib.dumps(document, default=str))
    else:
        _show(rows, everything)
    for problem in problems:
        say(problem)
    return 2 if problems else 0


@app.command("set")
def set_value(
    context: typer.Context,
    key: Annotated[str, KEY],
    values: Annotated[list[str], typer.Argument(metavar="VALUE", help="Several for a list.")],
) -> int:
    """Make a value the default of an option from now on.

    Example: genretag config set tag.exclude "*.part" "*.tmp"
    """
    command, name, option = _named(context, key)
    value = _parsed(option, values)
    try:
        accepted = configured.accept(option, value)
    except ConfigError as error:
        raise UsageError(f"{key} cannot be {' '.join(values)!r}; {error}") from None
    # A path is meant from where the person stands now, not from the file's folder.
    if isinstance(accepted, str) and configured.is_path(option) and accepted != "-":
        value = str(Path(values[0]).expanduser().absolute())
    print(f"{settings.remember(command, name, value)}: {key} = {_shown(value)}")
    return 0


@app.command("unset")
def unset(context: typer.Context, key: Annotated[str, KEY]) -> int:
    """Go back to the default of an option.

    Example: genretag config unset tag.existing
    """
    # Names that no option has can be removed, too: that is how a mistake leaves the file.
    command, _, name = key.rpartition(".")
    file = settings.forget(command, name) if command else None
    print(f"{file}: {key} removed" if file else f"{settings.path()}: {key} is not set there")
    return 0


def _rows(root: Any) -> tuple[list[Row], list[str]]:
    """Every option of every command, and what is wrong with the file."""
    rows: list[Row] = []
    problems: dict[str, None] = {}
    for path, command in configured.commands(root):
        found = configured.in_force(path, command.params, root)
        problems |= dict.fromkeys(found.problems)
        for name, option in configured.keys(command.params).items():
            default = option.default() if callable(option.default) else option.default
            setting = found.values.get(option.name)
            row = Row(".".join(path), name, default, "default", None, default)
            if setting:
                row = replace(row, value=setting.value, source=setting.where, table=setting.entry.table)
            rows.append(row)
    return rows, list(problems)


def _show(rows: list[Row], everything: bool) -> None:
    file = settings.path()
    hint = "" if file.exists() else " (not there yet; genretag config set tag.top 1 makes it)"
    print(f"{printable(str(file))}{hint}")
    chosen = {"tag", *(row.command for row in rows if row.table == row.command)}
    lines = [
        (f"{row.command}.{row.option}", _shown(row.value), _place(row))
        for row in rows
        if everything or row.command in chosen
    ]
    table(("option", "value", "set in"), lines)
    if not everything:
        say("the command line beats these; genretag config --all also shows the other commands")


def _place(row: Row) -> str:
    """Where a value was set, beside the name of the file that stands above."""
    return row.source.replace(f"{settings.path()}:", "line ")


def _named(context: typer.Context, key: str) -> tuple[str, str, Any]:
    """Table, key and option of COMMAND.OPTION."""
    command, _, name = key.rpartition(".")
    known = {".".join(path): found.params for path, found in configured.commands(context.find_root())}
    tables = [*known, settings.SHARED]
    if command not in tables:
        near = configured.near(command or name, tables)
        raise UsageError(f"{key}: give COMMAND.OPTION, such as tag.top{near}")
    params = known.get(command) or [option for params in known.values() for option in params]
    found = configured.opposites(params) | configured.keys(params)
    if name not in found:
        raise UsageError(f"{key}: {command} has no such option{configured.near(name, list(found))}")
    return command, name, found[name]


def _parsed(option: Any, values: list[str]) -> settings.Value:
    """Text of the command line as the TOML value that the option takes."""
    if option.multiple:
        return values
    if len(values) > 1:
        raise UsageError(f"--{option.name.replace('_', '-')} takes one value; put quotes around it")
    text = values[0]
    if option.is_flag:
        return _SWITCHES.get(text.lower(), text)
    kind: type[int] | type[float] | type[str] = option.type_descriptor.annotation
    try:
        return kind(text) if kind in (int, float) else text
    except ValueError:
        return text


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
