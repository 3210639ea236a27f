"""What the shell proposes behind an option: names and words, quickly and without loading a model.

Nothing proposed means that the shell proposes files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, get_type_hints

from typer import Typer
from typer.models import ArgumentInfo, OptionInfo

# Set by the shell's completion script.
VARIABLE = "_GENRETAG_COMPLETE"
# The names of `genretag datasets`, whose own modules take too long to import while a person waits.
DATASETS = ("gtzan", "fma", "magnatagatune", "folder")
DEVICES = ("auto", "cpu", "cuda", "mps")


def is_wanted() -> bool:
    """Whether this process was started by a shell to propose something."""
    return VARIABLE in os.environ


def attach_all(app: Typer) -> None:
    """Give every command, those of groups included, its proposals."""
    for command in app.registered_commands:
        if command.callback is not None:
            _attach(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            attach_all(group.typer_instance)


def _attach(command: Callable[..., Any]) -> None:
    """Give the parameters of a command their proposals, from what their names and metavars say."""
    hints = get_type_hints(command, include_extras=True)
    for name, hint in hints.items():
        for info in getattr(hint, "__metadata__", ()):
            if isinstance(info, ArgumentInfo | OptionInfo) and info.autocompletion is None:
                info.autocompletion = _proposals(command.__name__, name, (info.metavar or "").strip("[]."))
    # Evaluated: each evaluation of the text would make parameters anew, without proposals.
    command.__annotations__ = hints


def _proposals(command: str, name: str, metavar: str) -> Callable[[str], list[str]] | None:
    """What to ask for the words that fit; None where there are none to propose."""
    if metavar == "DEVICE":
        return _fitting(lambda: DEVICES)
    if name == "dataset" or (command == "datasets" and metavar == "NAME"):
        return _fitting(lambda: DATASETS)
    if metavar == "PRESET":
        return _fitting(_presets)
    if metavar == "NAME|FILE":
        return _fitting(_everything if command == "models" else _models)
    words = tuple(word for word in metavar.split("|") if word != word.upper() or word[:1].isdigit())
    return _fitting(lambda: words) if words else None


def _fitting(words: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [word for word in words() if word.startswith(incomplete)]

    return complete


def _models() -> Iterable[str]:
    from genretag.checkpoint import shipped

    return shipped()


def _presets() -> Iterable[str]:
    from genretag.models.presets import PRESETS

    return PRESETS


def _everything() -> Iterable[str]:
    return dict.fromkeys([*_models(), *_presets()])
