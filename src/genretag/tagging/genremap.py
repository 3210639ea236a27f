"""A person's own taste: genres renamed, dropped, allowed only from a list, or given their parents."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genretag.errors import MapError
from genretag.labels import canonical

_TABLES = ("rename", "drop", "allow", "parents")


@dataclass(frozen=True)
class GenreMap:
    """What `--map` does to the genres of a track: rename, add parents, drop, keep what is allowed.

    Names on the left are matched by their canonical spelling ("hip hop" is "Hip-Hop"); names on the right are
    written as they stand. An empty `allow` allows everything.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    drop: frozenset[str] = frozenset()
    allow: frozenset[str] = frozenset()
    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def apply(self, genres: Iterable[str]) -> tuple[str, ...]:
        """Genres as this map wants them, in order and without repeats; parents follow their genre."""
        wanted: list[str] = []
        for genre in genres:
            if canonical(genre) in self.drop:
                continue
            renamed = self.rename.get(canonical(genre), genre)
            wanted += [renamed, *self.parents.get(canonical(renamed), ())]
        return tuple(
            dict.fromkeys(
                genre
                for genre in wanted
                if canonical(genre) not in self.drop and (not self.allow or canonical(genre) in self.allow)
            )
        )


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
    except tomllib.TOMLDecodeError as error:
        raise MapError(f"{path}: not valid TOML: {error}") from None
    for key in document:
        if key not in _TABLES:
            near = difflib.get_close_matches(key, _TABLES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(_TABLES)}"
            raise MapError(f"{path}: unknown entry {key!r}{hint}")
    rename = _table(document, "rename", path)
    return GenreMap(
        rename={canonical(old): _name(new, f"rename.{old}", path) for old, new in rename.items()},
        drop=frozenset(map(canonical, _names(document.get("drop", []), "drop", path))),
        allow=frozenset(map(canonical, _names(document.get("allow", []), "allow", path))),
        parents={
            canonical(genre): _names(above, f"parents.{genre}", path)
            for genre, above in _table(document, "parents", path).items()
        },
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
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise MapError(f"{path}: {key} must be a genre name or a list of them, not {value!r}"[:300])
    return value.strip()
