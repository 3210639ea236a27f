"""Commands whose options may also stand in the configuration file, which the command line beats."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperOption

from genretag.cli import settings
from genretag.cli.settings import SHARED, Entry, Settings
from genretag.errors import ConfigError, GenretagError

# What brings files back, or only looks, is never kept from it by a file of settings.
NEVER_STOPPED = frozenset({"undo", "history"})
_IN_FORCE = "genretag.configuration"


class ConfiguredCommand(TyperCommand):
    """A command that takes defaults from the configuration file.

    Every switch can be turned off again on the command line, by `--no-` before its name, also where its help
    does not say so: without that the command line would not beat the file.
    """

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        if parent is None or parent.resilient_parsing:  # a shell that completes words
            return super().make_context(info_name, args, parent, **extra)
        path = (*_path_of(parent), info_name or "")
        found = in_force(path, self.params, parent.find_root())
        extra["default_map"] = {name: setting.value for name, setting in found.values.items()}
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[_IN_FORCE] = found
        return context

    def make_parser(self, ctx: Any) -> Any:
        parser = super().make_parser(ctx)
        taken = {name for option in self.params for name in (*option.opts, *option.secondary_opts)}
        for option in _options(self.params):
            off = _off_switch(option)
            if off and off not in taken:
                parser.add_option(obj=option, opts=[off], dest=option.name, action="store_const", const=False)
        return parser

    def invoke(self, ctx: Any) -> Any:
        found: InForce | None = ctx.meta.get(_IN_FORCE)
        if found is None:
            return super().invoke(ctx)
        if found.problems:
            if ctx.info_name not in NEVER_STOPPED:
                raise ConfigError(found.problems[0])
            from genretag.cli.output import say

            say(f"{found.problems[0]} ({ctx.info_name} goes on without it)")
        try:
            return super().invoke(ctx)
        except GenretagError as error:
            if origin := _origin(str(error), ctx, found):
                raise type(error)(f"{error} (set in {origin})", code=error.code) from None
            raise


@dataclass(frozen=True)
class Setting:
    """The value that the file gives to an option, ready for it, and where it stands."""

    value: object
    where: str
    entry: Entry


@dataclass(frozen=True)
class InForce:
    """What the file says to one command: by the name of the parameter, and what is wrong, a line each."""

    values: Mapping[str, Setting]
    problems: tuple[str, ...]


def in_force(path: tuple[str, ...], params: Sequence[Any], root: Any) -> InForce:
    """What the file sets for the command at `path` ("tag",), ("map", "init") with its `params`.

    `root` is the context of the whole program.

    Looked at are the tables of the command and of all, and the names of the other tables; what is wrong
    inside those is for their commands to say. A value that cannot be is left out and becomes a problem.
    """
    try:
        found = settings.read()
    except ConfigError as error:
        return InForce({}, (str(error),))
    if found is None:
        return InForce({}, ())
    own, values, problems = ".".join(path), {}, []
    # The command's own table comes last and wins.
    for entry in sorted(found.entries, key=lambda entry: entry.table == own):
        try:
            if entry.table not in (own, SHARED):
                _require_table(entry, found, root)
            elif setting := _setting(entry, found, params, root):
                name, value = setting
                values[name] = Setting(value, found.where(entry), entry)
        except ConfigError as error:
            problems.append(str(error))
    return InForce(values, tuple(problems))


def commands(root: Any) -> Iterator[tuple[tuple[str, ...], ConfiguredCommand]]:
    """Every command that can be configured, with the words it is called by; `root`: the program's context."""

    def below(group: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ConfiguredCommand]]:
        for name in group.list_commands(root):
            command = group.get_command(root, name)
            if isinstance(command, ConfiguredCommand):
                yield (*above, name), command
            elif hasattr(command, "list_commands"):
                yield from below(command, (*above, name))

    return below(root.command, ())


def keys(params: Sequence[Any]) -> dict[str, TyperOption]:
    """The options that a file can set, by their names there: the long one without its dashes."""
    named = {}
    for option in _options(params):
        for spelling in option.opts:
            if spelling.startswith("--"):
                named[spelling[2:]] = option
    return named


def opposites(params: Sequence[Any]) -> dict[str, TyperOption]:
    """The other side of a switch with two names: `multi` of `--single/--multi`."""
    return {
        spelling[2:]: option
        for option in _options(params)
        for spelling in option.secondary_opts
        if not spelling.startswith("--no-")
    }


def accept(option: TyperOption, value: object) -> object:
    """A value of the file as the option takes it; ConfigError says what it may be."""
    if option.is_flag:
        if isinstance(value, bool):
            return value
        raise ConfigError("give true or false")
    if option.multiple:
        values = [value] if isinstance(value, str) else value
        if isinstance(values, list) and all(isinstance(item, str) for item in values):
            return values
        raise ConfigError('give a list of texts, such as ["one", "two"]')
    kind = option.type_descriptor.annotation
    if kind is int and not (isinstance(value, int) and not isinstance(value, bool)):
        raise ConfigError("give a whole number")
    if kind is float and not (isinstance(value, int | float) and not isinstance(value, bool)):
        raise ConfigError("give a number")
    if kind in (int, float):
        return value
    return _word(option, value)


def is_path(option: TyperOption) -> bool:
    """Whether the option takes nothing but a path."""
    return option.type_descriptor.annotation is Path


def near(word: str, words: Iterable[str]) -> str:
    """The end of an error: the known word that is most like this one, if there is one."""
    found = difflib.get_close_matches(word, sorted(words), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _word(option: TyperOption, value: object) -> object:
    """Text of an option. Its metavar says which words there are: keep|add|replace, auto|N, NAME|FILE."""
    alternatives = (option.metavar or "").split("|")
    numeric = [item for item in alternatives if item in ("N", "P", "K") or item[:1].isdigit()]
    if isinstance(value, int | float) and not isinstance(value, bool) and numeric:
        value = str(value)
    if not isinstance(value, str):
        raise ConfigError('give text in quotes, such as "auto"' if not numeric else f"give {option.metavar}")
    words = [item for item in alternatives if item == item.lower() and item != "-"]
    if words == alternatives and value not in words:
        raise ConfigError(f"give one of {', '.join(words)}{near(value, words)}")
    if {"FILE", "DIR"} & set(alternatives):
        return _file(option, value)
    return value


def _file(option: TyperOption, value: str) -> str:
    """A path means what it means from the file's own folder; `~` is the user's home."""
    expanded = os.path.expanduser(value)
    if not is_path(option) or expanded == "-":
        return expanded
    return str(settings.path().parent / expanded)


def _setting(entry: Entry, found: Settings, params: Sequence[Any], root: Any) -> tuple[str, object] | None:
    """Parameter and value of an entry; None for one of all that this command does not have."""
    known, other = keys(params), opposites(params)
    option = known.get(entry.key) or other.get(entry.key)
    where = f"{found.where(entry)}: {entry.key} of [{entry.table}]"
    if option is None:
        everywhere = {key for _, command in commands(root) for key in keys(command.params)}
        if entry.table == SHARED and entry.key in everywhere:
            return None
        hint = near(entry.key, everywhere if entry.table == SHARED else [*known, *other])
        raise ConfigError(f"{where}: there is no such option{hint or '; genretag config --all lists them'}")
    try:
        value = accept(option, entry.value)
    except ConfigError as error:
        raise ConfigError(f"{where}: cannot be {entry.value!r}; {error}"[:400]) from None
    return option.name, not value if entry.key in other else value


def _require_table(entry: Entry, found: Settings, root: Any) -> None:
    names = [".".join(path) for path, _ in commands(root)] + [SHARED]
    if entry.table in names:
        return
    if not entry.table:
        raise ConfigError(
            f"{found.where(entry)}: {entry.key} stands in no table; put it below [tag], or below [{SHARED}] "
            "for every command that has it"
        )
    hint = near(entry.table, names) or "; see genretag --help"
    raise ConfigError(f"{found.where(entry)}: [{entry.table}] is no command{hint}")


def _options(params: Sequence[Any]) -> Iterator[TyperOption]:
    return (option for option in params if isinstance(option, TyperOption))


def _off_switch(option: TyperOption) -> str | None:
    """`--no-dry-run` of --dry-run, `--cache` of --no-cache; None where another side is, or no switch."""
    long = next((name[2:] for name in option.opts if name.startswith("--")), None)
    if not option.is_flag or option.secondary_opts or long is None:
        return None
    return f"--{long.removeprefix('no-')}" if long.startswith("no-") else f"--no-{long}"


def _path_of(context: Any) -> tuple[str, ...]:
    """The words by which a group was called, without the program's name."""
    return () if context.parent is None else (*_path_of(context.parent), context.info_name)


def _origin(message: str, context: Any, found: InForce) -> str:
    """Where the option or the file that an error begins with was set, if it came from the configuration."""
    for name, setting in found.values.items():
        source = context.get_parameter_source(name)
        begins = (f"--{setting.entry.key} ", f"{setting.value}: ")
        if source and source.name == "DEFAULT_MAP" and message.startswith(begins):
            return setting.where
    return ""
