"""Labels of a model and the spelling of genres that people use."""

from __future__ import annotations

import functools
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal, get_args

from genretag.errors import CheckpointError
from genretag.escapes import has_control

Kind = Literal["single", "multi"]


@dataclass(frozen=True)
class LabelSet:
    """Ordered label names of a model; `kind` says whether one label is true of a track or several can be.

    `genres` gives the canonical spelling of every label that is a genre. A label absent there (a mood, a
    decade, an instrument, a voice) is a score only and is never written to a file.

    A set of two levels names in `broad` the labels that exclude each other (their scores sum to one) and
    between which a track is first decided; the others refine. `vetoes` are labels that are no genres and
    beside which none is written, such as speech.
    """

    names: tuple[str, ...]
    kind: Kind
    genres: Mapping[str, str] = field(default_factory=dict)
    broad: tuple[str, ...] = ()
    vetoes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise CheckpointError(f"labels: kind must be single or multi, not {self.kind!r}")
        if not self.names or len(set(self.names)) != len(self.names):
            raise CheckpointError("labels: names must be given and must differ")
        if odd := [text for text in (*self.names, *self.genres.values()) if has_control(text)]:
            raise CheckpointError(f"labels: {odd[0]!r} holds a control character"[:300])
        if stray := set(self.genres) - set(self.names):
            raise CheckpointError(f"labels: {sorted(stray)[0]!r} has a genre but is no label")
        if stray := set(self.broad) - set(self.genres):
            raise CheckpointError(f"labels: {sorted(stray)[0]!r} is broad but has no genre")
        if stray := set(self.vetoes) - (set(self.names) - set(self.genres)):
            raise CheckpointError(f"labels: {sorted(stray)[0]!r} is a veto but a genre, or no label")

    def __len__(self) -> int:
        return len(self.names)

    def genre(self, label: str) -> str | None:
        """Canonical genre of a label, or None where the label is no genre."""
        return self.genres.get(label)

    def beside_broad(self) -> tuple[str, ...]:
        """Labels of genres that a set of two levels lacks among its broad ones and that refine none."""
        covered = {self.genres[label] for label in self.broad}
        return tuple(
            label
            for label in self.names
            if (genre := self.genre(label)) is not None and genre not in covered and not parents(genre)
        )

    def to_dict(self) -> dict[str, Any]:
        document = {"names": list(self.names), "kind": self.kind, "genres": dict(self.genres)}
        levels = {"broad": list(self.broad), "vetoes": list(self.vetoes)}
        return document | {name: some for name, some in levels.items() if some}

    @classmethod
    def from_dict(cls, document: object) -> LabelSet:
        """The record that `to_dict` wrote; CheckpointError on anything else."""
        match document:
            case {"names": list(names), "kind": str(kind), "genres": dict(genres), **rest}:
                broad, vetoes = (_list(rest.pop(name, [])) for name in ("broad", "vetoes"))
                if not rest and kind in get_args(Kind):
                    texts = [*names, *genres, *genres.values(), *broad, *vetoes]
                    if all(isinstance(text, str) for text in texts):
                        task: Kind = "single" if kind == "single" else "multi"
                        return cls(tuple(names), task, genres, tuple(broad), tuple(vetoes))
        raise CheckpointError("labels: the record is not {names, kind, genres} with or without broad, vetoes")


def _list(value: object) -> list[Any]:
    """The list itself; anything else as a list that no label is in."""
    return value if isinstance(value, list) else [None]


@dataclass(frozen=True)
class Genre:
    """One row of genres.toml: canonical name, broader genre, number in ID3v1's list."""

    name: str
    parent: str | None
    id3v1: int | None


def genre_labels(names: Iterable[str], kind: Kind) -> LabelSet:
    """Labels of a genre dataset: every one is a genre, written in its canonical spelling."""
    ordered = tuple(names)
    return LabelSet(ordered, kind, {name: canonical(name) for name in ordered})


def tag_labels(names: Iterable[str], genres: Iterable[str]) -> LabelSet:
    """Labels of a tag dataset, several of which can be true; only those listed in `genres` are genres.

    The list must be given: "instrumental" or "beat" may be a genre to ID3v1, but is a remark to a listener.
    """
    return LabelSet(tuple(names), "multi", {name: canonical(name) for name in genres})


def canonical(name: str) -> str:
    """Spelling people use: "hip hop" and "hiphop" are "Hip-Hop"; an unknown name keeps its case, tidied."""
    genre = lookup(name)
    return genre.name if genre else " ".join(name.split())


def split_genres(values: Iterable[str], separator: str | None = None) -> tuple[str, ...]:
    """Split the genre values of a file into single genres.

    A value is split at semicolons, by which many programs join genres, and at `separator`, if given. Nothing
    else splits: "/", "," and "&" are parts of names ("AC/DC", "R&B").

    Returns:
        The genres in order, without surrounding spaces, empty ones and repeats.
    """
    parts = (part for value in values for part in (value.split(separator) if separator else (value,)))
    genres = (genre.strip() for part in parts for genre in part.split(";"))
    return tuple(dict.fromkeys(genre for genre in genres if genre))


@functools.lru_cache(maxsize=4096)  # asked for every label of every file
def lookup(name: str) -> Genre | None:
    """The genre that a name or alias stands for, whatever its case, accents and punctuation."""
    return _table().get(_key(name))


def known_genres() -> tuple[str, ...]:
    """Canonical names of all genres of the table."""
    return tuple(dict.fromkeys(genre.name for genre in _table().values()))


def parents(name: str) -> tuple[str, ...]:
    """Broader genres from the nearest to the broadest: "Black Metal" gives ("Metal",)."""
    chain: list[str] = []
    genre = lookup(name)
    while genre and genre.parent and genre.parent not in chain:
        chain.append(genre.parent)
        genre = lookup(genre.parent)
    return tuple(chain)


def families(genres: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group genres by the broadest genre above each of them.

    Returns:
        The genres of each family in alphabetical order, the broadest one first if it is among them.
    """
    grouped: dict[str, set[str]] = {}
    for genre in map(canonical, genres):
        grouped.setdefault((genre, *parents(genre))[-1], set()).add(genre)
    return {
        family: tuple(sorted(members, key=lambda genre: (genre != family, genre.casefold())))
        for family, members in sorted(grouped.items(), key=lambda item: item[0].casefold())
    }


def akin(one: str, other: str) -> bool:
    """Whether two genres are the same, or one is broader than the other, or both refine the same one."""
    return bool({one, *parents(one)} & {other, *parents(other)})


def id3v1_genre(number: int) -> str | None:
    """Canonical name of a genre number of ID3v1 (0-79) or of Winamp's extension (80-191)."""
    return _numbers().get(number)


@functools.cache
def _table() -> dict[str, Genre]:
    document = tomllib.loads(files("genretag").joinpath("genres.toml").read_text(encoding="utf-8"))
    table: dict[str, Genre] = {}
    for name, row in document["genres"].items():
        genre = Genre(name, row.get("parent"), row.get("id3v1"))
        for spelling in (name, *row.get("aliases", ())):
            table[_key(spelling)] = genre
    return table


@functools.cache
def _numbers() -> dict[int, str]:
    return {genre.id3v1: genre.name for genre in _table().values() if genre.id3v1 is not None}


def _key(name: str) -> str:
    """What remains of a name when case, accents, spacing and punctuation are ignored."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    joined = re.sub(r"(?<=\w)\W+n\W+(?=\w)", "and", plain.replace("&", "and"))  # rock 'n' roll, drum n bass
    return "".join(c for c in joined if c.isalnum())
