"""Read commands, arguments and options from the help of the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

# Returns the help of a command, given the words after `genretag`.
Help = Callable[..., str]

# "-n, --dry-run", "--single / --multi", "--model NAME|FILE": names, then what stands for the value.
NAMES = re.compile(r"-{1,2}[\w-]+(?:(?:, | / )-{1,2}[\w-]+)*")
ENTRY = re.compile(r"  (\S.*?)(?:  +(.*))?$")
# At the end of a help text: [default: 0; x>=0], [required].
FACTS = re.compile(r"\[((?:default: |required|env var: |x?[<>]|-?\d+(?:\.\d+)?<)[^\]]*)\]$")
# Every command has it.
HELP = "-h, --help"


def commands(show_help: Help, *above: str) -> dict[str, Any]:
    """Return all commands below a group by name, with the group itself as "genretag" or "genretag NAME"."""
    text = show_help(*above, "--help")
    sections = dict(_sections(text))
    name = " ".join(("genretag", *above))
    found = {name: {"arguments": _arguments(text.splitlines()[0]), "options": _options(sections)}}
    for below, _ in sections.get("Commands", ()):
        found |= commands(show_help, *above, below)
    return found


def _arguments(usage: str) -> list[dict[str, bool]]:
    """Describe the arguments in a line such as "Usage: genretag playlists [OPTIONS] {OUT} [PATH]...".

    Their names are left out: they are texts for the user.
    """
    _, _, after = usage.partition(" [OPTIONS]")
    words = after.split()
    if words[:1] == ["COMMAND"]:
        return []
    return [{"required": word[0] != "[", "several": word.endswith("...")} for word in words]


def _options(sections: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    """Describe the options by their names. Help texts, panels and their order are left out."""
    options = {}
    for section, entries in sections.items():
        for names, text in entries if section not in ("Arguments", "Commands") else ():
            spellings, about = _option(names, text)
            options[spellings] = about
    options.pop(HELP)
    return options


def _option(names: str, text: str) -> tuple[str, dict[str, Any]]:
    match = NAMES.match(names)
    assert match is not None, f"not an option: {names!r}"
    value = names[match.end() :].strip()
    about: dict[str, Any] = {"value": bool(value)}
    if value:
        words = value.strip("[]<>").split("|")
        # Lower-case words and figures are choices, others stand for what the user gives.
        choices = [word for word in words if word == word.lower()]
        about |= {"choices": choices} if choices else {}
        about |= {"other values": True} if choices and len(choices) < len(words) else {}
    return match[0], about | _facts(text)


def _facts(text: str) -> dict[str, Any]:
    """Return default, range and whether a value is required, from the end of a help text."""
    facts: dict[str, Any] = {}
    match = FACTS.search(text)
    for fact in match[1].split("; ") if match else ():
        name, colon, value = fact.partition(": ")
        if fact == "required":
            facts["required"] = True
        elif colon:
            facts[name] = value
        else:
            facts["range"] = fact
    return facts


def _sections(text: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Return sections ("Options") with their entries: names, and the help text in one line."""
    title = ""
    entries: list[tuple[str, str]] = []
    for line in text.splitlines():
        if re.match(r"\S.*:$", line):
            if title:
                yield title, entries
            title, entries = line[:-1], []
        elif title and line.startswith("   ") and entries:
            names, about = entries[-1]
            entries[-1] = names, f"{about} {line.strip()}".strip()
        elif title and (match := ENTRY.match(line)) and not line.startswith("  Example:"):
            entries.append((match[1], match[2] or ""))
    if title:
        yield title, entries
