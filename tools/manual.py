"""Makes docs/commands.md and docs/genretag.1 from the live commands: python -m tools.manual."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from genretag import __version__
from genretag.cli.app import app

DOCS = Path(__file__).resolve().parents[1] / "docs"
SYNOPSIS = "genretag COMMAND [OPTIONS] [ARGUMENTS]"
EXITS = {
    "0": "everything was done",
    "1": "some files failed; the rest were done (in tag, a file that failed the same way in an earlier run "
    "counts only if it is named on the command line itself, not in a folder or list)",
    "2": "wrong usage, or nothing could start",
    "130": "interrupted; what was finished is kept",
}
VARIABLES = {
    "GENRETAG_HOME": "the folder of the store: what was analysed, and the journal that undo needs; default: "
    "the user's data folder",
    "NO_COLOR": "whatever its value: no colours",
}


@dataclass(frozen=True)
class Parameter:
    """An argument or option as a person types it, what it does, and its default if there is one to tell."""

    names: str
    help: str
    default: str = ""


@dataclass(frozen=True)
class Entry:
    """One command."""

    name: str
    usage: str
    summary: str
    text: tuple[str, ...]
    examples: tuple[str, ...]
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]


def entries() -> list[Entry]:
    """Every command of the program, groups included, in the order of its help."""
    root = typer.main.get_command(app)
    return list(_entries(root, typer.Context(root, info_name="genretag")))


def _entries(group: Any, context: Any) -> Iterator[Entry]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        inner = type(context)(command, info_name=name, parent=context)
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield _entry(command, inner)
            yield from _entries(command, inner)
        else:
            yield _entry(command, inner)


def _entry(command: Any, context: Any) -> Entry:
    paragraphs = [" ".join(part.split()) for part in inspect.cleandoc(command.help).split("\n\n")]
    kinds = {"argument": [], "option": []}
    for parameter in command.params:
        if not getattr(parameter, "hidden", False):
            kinds[parameter.param_type_name].append(_parameter(parameter))
    usage = context.command.collect_usage_pieces(context)
    return Entry(
        context.command_path,
        " ".join([context.command_path, *usage]),
        paragraphs[0],
        tuple(part for part in paragraphs if not part.startswith("Example: ")),
        tuple(part.removeprefix("Example: ") for part in paragraphs if part.startswith("Example: ")),
        tuple(kinds["argument"]),
        tuple(kinds["option"]),
    )


def _parameter(parameter: Any) -> Parameter:
    metavar = parameter.metavar or ""
    if parameter.param_type_name == "argument":
        return Parameter(metavar, parameter.help or "")
    names = ", ".join([*sorted(parameter.opts, key=len), *parameter.secondary_opts])
    default = parameter.default
    told = default is not None and not isinstance(default, bool) and default not in ((), [], "")
    return Parameter(f"{names} {metavar}".rstrip(), parameter.help or "", f"{default}" if told else "")


def page() -> str:
    """docs/commands.md."""
    lines = [
        "# Commands",
        "",
        "Every command with its options, made from the program itself by `make docs`.",
        "`genretag COMMAND --help` and, where the page is installed, `man genretag` say the same.",
        "",
        "| command | what it does |",
        "| --- | --- |",
    ]
    commands = entries()
    lines += [f"| [`{one.name}`](#{one.name.replace(' ', '-')}) | {_cell(one.summary)} |" for one in commands]
    for one in commands:
        lines += ["", f"## {one.name}", "", "```", one.usage, "```"]
        for paragraph in one.text:
            lines += ["", *_wrapped(paragraph)]
        if one.examples:
            lines += ["", "```sh", *one.examples, "```"]
        if one.arguments:
            lines += ["", "| argument | meaning |", "| --- | --- |"]
            lines += [f"| `{_cell(each.names)}` | {_cell(each.help)} |" for each in one.arguments]
        if one.options:
            lines += ["", "| option | meaning | default |", "| --- | --- | --- |"]
            lines += [_row(each) for each in one.options]
    lines += ["", "## Exit codes", "", "| code | meaning |", "| --- | --- |"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXITS.items()]
    lines += ["", "## Environment", "", "| variable | meaning |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items()]
    return "\n".join(lines) + "\n"


def manual() -> str:
    """docs/genretag.1, in the man macros."""
    root = typer.main.get_command(app)
    lines = [
        f'.TH GENRETAG 1 "" "genretag {__version__}" "User Commands"',
        ".SH NAME",
        f"genretag \\- {_roff(root.help.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_roff(SYNOPSIS)}",
        ".SH COMMANDS",
    ]
    for one in entries():
        lines += [f".SS {_roff(one.name)}", ".PP", f".B {_roff(one.usage)}"]
        for paragraph in one.text:
            lines += [".PP", _roff(paragraph)]
        for each in (*one.arguments, *one.options):
            default = f" Default: {each.default}." if each.default else ""
            lines += [".TP", f".B {_roff(each.names)}", _roff(f"{each.help}{default}") or "\\&"]
        for example in one.examples:
            lines += [".PP", "Example:", ".PP", ".nf", f".RS\n{_roff(example)}\n.RE", ".fi"]
    lines += [".SH EXIT STATUS"]
    lines += [f".TP\n.B {code}\n{_roff(meaning)}" for code, meaning in EXITS.items()]
    lines += [".SH ENVIRONMENT"]
    lines += [f".TP\n.B {name}\n{_roff(meaning)}" for name, meaning in VARIABLES.items()]
    return "\n".join(lines) + "\n"


def _row(option: Parameter) -> str:
    default = f"`{option.default}`" if option.default else ""
    return f"| `{_cell(option.names)}` | {_cell(option.help)} | {default} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(['.])", r"\\&\1", text)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    """Write both pages."""
    (DOCS / "commands.md").write_text(page(), encoding="utf-8")
    (DOCS / "genretag.1").write_text(manual(), encoding="utf-8")


if __name__ == "__main__":
    main()
