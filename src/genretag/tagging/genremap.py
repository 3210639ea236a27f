"""A person's own taste: genres renamed, dropped, allowed only from a list, or given their parents."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genretag.errors import MapError
from genretag.escapes import has_control, printable
from genretag.labels import canonical
from genretag.labels import parents as broader

_ENTRIES = ("rename", "drop", "allow", "parents", "broaden")


How = Literal["kept", "renamed", "broadened", "dropped", "not allowed"]


@dataclass(frozen=True)
class Fate:
    """What a map makes of one genre: the names that are written for it, itself first and parents after it."""

    genre: str
    becomes: tuple[str, ...]
    how: How


@dataclass(frozen=True)
class GenreMap:
    """What `--map` does to the genres of a track: rename, add parents, drop, keep what is allowed.

    Names on the left are matched by their canonical spelling ("hip hop" is "Hip-Hop"); names on the right are
    written as they stand. An empty `allow` allows everything. With `tree` every genre is followed by its
    broader ones in the genre tree; with `broaden` one that is not allowed becomes the nearest broader one of
    the tree that is.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    allow: frozenset[str] = frozenset()
    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tree: bool = False
    broaden: bool = False

    def apply(self, genres: Iterable[str]) -> tuple[str, ...]:
        """Genres as this map wants them, in order and without repeats; parents follow their genre."""
        return tuple(dict.fromkeys(name for genre in genres for name in self.fate(genre).becomes))

    def fate(self, genre: str) -> Fate:
        """What becomes of one genre, and by which of the rules."""
        if canonical(genre) in self.drop:
            return Fate(genre, (), "dropped")
        renamed = self.rename.get(canonical(genre), genre)
        chosen = self._allowed(renamed)
        wanted = (
            chosen,
            *self.parents.get(canonical(chosen), ()),
            *(broader(chosen) if self.tree else ()),
        )
        becomes = tuple(dict.fromkeys(filter(self.writes, wanted)))
        if not becomes:
            return Fate(genre, (), "dropped" if canonical(chosen) in self.drop else "not allowed")
        if becomes[0] != renamed:
            return Fate(genre, becomes, "broadened")
        return Fate(genre, becomes, "kept" if renamed == genre else "renamed")

    def writes(self, genre: str) -> bool:
        """Whether this name may be written: it is not dropped, and allowed where there is a list."""
        return canonical(genre) not in self.drop and self._allows(genre)

    def _allows(self, genre: str) -> bool:
        return not self.allow or canonical(genre) in self.allow

    def _allowed(self, genre: str) -> str:
        """The genre itself or, where it is to be broadened, what stands for it."""
        if not self.broaden or self._allows(genre):
            return genre
        return next(filter(self._allows, broader(genre)), genre)


def load_map(path: Path) -> GenreMap:
    """A genre map from a TOML file; MapError in one line that names the file and what is wrong in it."""
    return parse_map(read_document(path), path)


def read_document(path: Path) -> dict[str, Any]:
    """The entries of a map file as they are spelled there; MapError as `load_map`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MapError(f"{path}: no such map file") from None
    except OSError as error:
        raise MapError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise MapError(f"{path}: a map file must be UTF-8 text") from None
    except (ValueError, RecursionError) as error:  # tomllib lets some pass as they are
        raise MapError(f"{path}: not valid TOML: {error}") from None
    for key in document:
        if key not in _ENTRIES:
            near = difflib.get_close_matches(key, _ENTRIES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(_ENTRIES)}"
            raise MapError(f"{path}: unknown entry {key[:100]!r}{hint}")
    return document


def parse_map(document: dict[str, Any], path: Path) -> GenreMap:
    """The map that the entries of the file `path` make; MapError as `load_map`."""
    rename = _table(document, "rename", path)
    tree = document.get("parents") is True
    above = {} if tree else _table(document, "parents", path)
    broaden = document.get("broaden", False)
    if not isinstance(broaden, bool):
        raise MapError(f"{path}: broaden must be true or false, not {broaden!r}"[:300])
    return GenreMap(
        rename={canonical(old): _name(new, f"rename.{printable(old)}", path) for old, new in rename.items()},
        drop=frozenset(map(canonical, _names(document.get("drop", []), "drop", path))),
        allow=frozenset(map(canonical, _names(document.get("allow", []), "allow", path))),
        parents={
            canonical(genre): _names(names, f"parents.{printable(genre)}", path)
            for genre, names in above.items()
        },
        tree=tree,
        broaden=broaden,
    )


def _table(document: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise MapError(f'{path}: {key} must be a table, as in [{key}] with lines like "Rap" = "Hip-Hop"')
    return table


def _names(value: object, key: str, path: Path) -> tuple[str, ...]:
    """One name or a list of names."""
    if not isinstance(value, list):
        value = [value]
    return tuple(_name(name, key, path) for name in value)


def _name(value: object, key: str, path: Path) -> str:
    if not isinstance(value, str) or not value.strip() or has_control(value):
        raise MapError(f"{path}: {key} must be a genre name or a list of them, not {value!r}"[:300])
    return value.strip()
