"""The configuration file: where it is, what it says and on which line, and one key of it written or removed.

What an option may be is the business of `cli.configured`; here keys and values are only TOML.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genretag.errors import ConfigError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

FILE_NAME = "config.toml"
# The table whose options hold for every command that has them.
SHARED = "all"

Value = bool | int | float | str | Path | Sequence[str]


@dataclass(frozen=True)
class Entry:
    """One key of the file: `table` ("tag", "map.init", "all"), `key` ("top"), and its line, 0 if unknown."""

    table: str
    key: str
    value: object
    line: int


@dataclass(frozen=True)
class Settings:
    """The configuration file as it stands: its entries, in order."""

    path: Path
    entries: tuple[Entry, ...]

    def where(self, entry: Entry) -> str:
        """File and line of an entry, as a person looks it up."""
        return f"{self.path}:{entry.line}" if entry.line else str(self.path)


def path() -> Path:
    """`config.toml` in `GENRETAG_HOME`, or in the user's folder for configuration; it need not exist."""
    if home := os.environ.get("GENRETAG_HOME"):
        return Path(home, FILE_NAME)
    import platformdirs

    return platformdirs.user_config_path("genretag", appauthor=False) / FILE_NAME


def read() -> Settings | None:
    """What the file says; None where there is none. ConfigError where it cannot be read or is not TOML."""
    file = path()
    if (text := _text(file)) is None:
        return None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(file, error) from None
    entries = (
        Entry(table, key, value, _line(text, table, key)) for table, key, value in _leaves(document, ())
    )
    return Settings(file, tuple(entries))


def remember(command: str, option: str, value: Value) -> Path:
    """Make `value` the default of an option ("tag", "model") from now on, and return the file.

    Comments and order of the file are kept; it is written whole or not at all, and made where it is missing.
    Raises ConfigError where it cannot be understood or written.
    """
    import tomlkit

    file, document = _editable()
    table: Any = document
    for name in command.split("."):
        if name not in table:
            table[name] = tomlkit.table()
        table = _table(table, name, file)
    table[option] = _plain(value)
    return _write(file, document)


def forget(command: str, option: str) -> Path | None:
    """Take a key out of the file and return the file; None where it was not there. Raises ConfigError."""
    file, document = _editable()
    table: Any = document
    for name in command.split("."):
        if name not in table:
            return None
        table = _table(table, name, file)
    if option not in table:
        return None
    del table[option]
    return _write(file, document)


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: must be UTF-8 text; save it as that") from None


def _not_toml(file: Path, error: ValueError) -> ConfigError:
    # tomllib ends its sentence with "(at line 3, column 5)".
    return ConfigError(f"{file}: not valid TOML: {error}; correct or remove that line")


def _leaves(table: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, str, object]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield ".".join(above), key, value


def _line(text: str, table: str, key: str) -> int:
    """The line of a key below its table's name, or with it before a dot; 0 where it stands otherwise."""
    inside = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if heading := re.match(r"\s*\[([^\[\]]+)\]\s*(#.*)?$", line):
            inside = re.sub(r"[\s\"']", "", heading[1])
        elif assigned := re.match(r"\s*([\w.\s\"'-]+?)\s*=", line):
            name = re.sub(r"[\s\"']", "", assigned[1])
            if ".".join(filter(None, (inside, name))) == ".".join(filter(None, (table, key))):
                return number
    return 0


def _editable() -> tuple[Path, TOMLDocument]:
    """The file that is really there, behind links, and its content with comments and order."""
    import tomlkit
    from tomlkit.exceptions import ParseError

    file = path().resolve()
    try:
        return file, tomlkit.parse(_text(file) or "")
    except ParseError as error:
        raise _not_toml(file, error) from None


def _table(above: Any, name: str, file: Path) -> Any:
    table = above[name]
    if not isinstance(table, MutableMapping):  # tables, inline tables, and what dotted keys make
        raise ConfigError(f"{file}: {name} must be a table, as in [{name}]; correct that first")
    return table


def _plain(value: Value) -> object:
    if isinstance(value, Path):
        return str(value)
    return value if isinstance(value, str | int | float) else list(value)


def _write(file: Path, document: TOMLDocument) -> Path:
    from genretag.files import put_in_place

    try:
        put_in_place(file, document.as_string().encode())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror}); check its folder") from None
    return file
