"""A person's own taste: genres renamed, dropped, allowed only from a list, or given their parents."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genretag.errors import MapError
from genretag.escapes import has_control, printable
from genretag.labels import canonical
from genretag.labels import parents as broader

_ENTRIES = ("rename", "drop", "allow", "parents", "broaden")


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
        wanted: list[str] = []
        for genre in genres:
            if canonical(genre) in self.drop:
                continue
            renamed = self._allowed(self.rename.get(canonical(genre), genre))
            own = self.parents.get(canonical(renamed), ())
            wanted += [renamed, *own, *(broader(renamed) if self.tree else ())]
        return tuple(
            dict.fromkeys(
                genre for genre in wanted if canonical(genre) not in self.drop and self._allows(genre)
            )
        )

    def _allows(self, genre: str) -> bool:
        return not self.allow or canonical(genre) in self.allow

    def _allowed(self, genre: str) -> str:
        """The genre itself or, where it is to be broadened, what stands for it."""
        if not self.broaden or self._allows(genre):
            return genre
        return next(filter(self._allows, broader(genre)), genre)


def load_map(path: Path) -> GenreMap:
    """A genre map from a TOML file; MapError in one line that names the file and what is wrong in it."""
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
