"""What a genre map would do to a library and to the answers of a model, and what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genretag.labels import canonical, known_genres, lookup
from genretag.library.vocabulary import Vocabulary
from genretag.tagging.genremap import Fate, GenreMap, parse_map, read_document


@dataclass(frozen=True)
class Row:
    """One genre and its fate. `tagged` files name it now, `heard` in so many; `answered`: the model can."""

    fate: Fate
    tagged: int
    heard: int
    answered: bool


@dataclass(frozen=True)
class Finding:
    """A rule that does not do what it says. `fix` where a person should change it; else it does no harm."""

    rule: str
    message: str
    fix: bool


@dataclass(frozen=True)
class MapReport:
    """The genres of library and model with their fates, and what was found about the rules.

    `left` files would get no genre although the model heard one.
    """

    path: Path
    vocabulary: Vocabulary
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    left: int

    @property
    def sound(self) -> bool:
        """Whether there is nothing that a person should fix."""
        return not any(finding.fix for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        seen = self.vocabulary
        return {
            "map": str(self.path),
            "model": seen.model,
            "files": seen.files,
            "tagged": seen.tagged,
            "analysed": seen.analysed,
            "left_without": self.left,
            "genres": [
                {
                    "genre": row.fate.genre,
                    "becomes": row.fate.becomes,
                    "how": row.fate.how,
                    "tagged": row.tagged,
                    "heard": row.heard,
                    "answered": row.answered,
                }
                for row in self.rows
            ],
            "findings": [asdict(finding) for finding in self.findings],
        }


def check(path: Path, vocabulary: Vocabulary) -> MapReport:
    """Look at the map of a file beside a library and a model. MapError where it is malformed."""
    document = read_document(path)
    genre_map = parse_map(document, path)
    names = {name.known or name.text: name for name in vocabulary.names}
    heard = vocabulary.heard
    rows = []
    for genre in dict.fromkeys((*names, *vocabulary.answers)):
        spelled = names[genre].text if genre in names else genre
        tagged = names[genre].files if genre in names else 0
        answered = genre in vocabulary.answers
        fate = genre_map.fate(genre if answered else spelled)
        rows.append(Row(fate, tagged, heard[genre], answered))
    rows.sort(key=lambda row: (-row.heard, -row.tagged, row.fate.genre.casefold()))
    findings = tuple(_Rules(document, genre_map, vocabulary).findings())
    left = sum(
        files for genres, files in vocabulary.decided.items() if genres and not genre_map.apply(genres)
    )
    return MapReport(path, vocabulary, tuple(rows), findings, left)


class _Rules:
    """The rules of a map one by one, as they are spelled in its file."""

    def __init__(self, document: dict[str, Any], genre_map: GenreMap, vocabulary: Vocabulary) -> None:
        self.map = genre_map
        self.vocabulary = vocabulary
        self.rename: dict[str, str] = document.get("rename", {})
        self.drop = _list(document.get("drop", []))
        self.allow = _list(document.get("allow", []))
        above = document.get("parents", {})
        self.parents = {genre: _list(names) for genre, names in above.items()} if above is not True else {}
        # What can come in: the model's answers, and genres that files already have.
        self.sources = {canonical(genre) for genre in vocabulary.answers}
        self.sources |= {canonical(spelling) for name in vocabulary.names for spelling in name.spellings}
        self.results = {canonical(name) for name in self.rename.values()}

    def findings(self) -> Iterator[Finding]:
        yield from self._renames()
        yield from self._twice("rename", self.rename)
        for genre in self.drop:
            yield from self._never(f"drop {genre}", genre, self.sources | self.results)
        yield from self._allowed()
        yield from self._added()
        if self.map.broaden and not self.allow:
            yield Finding("broaden", "does nothing without an allow-list; give one or remove it", True)
        if not any(self.map.fate(genre).becomes for genre in self.vocabulary.answers):
            yield Finding("allow", f"of all that {self.vocabulary.model} can answer nothing is left", True)

    def _renames(self) -> Iterator[Finding]:
        for old, new in self.rename.items():
            rule = f"rename {old} = {new}"
            onward = self.map.rename.get(canonical(new))
            if canonical(old) in self.map.drop:
                yield Finding(rule, f"never applies: {old} is dropped before", True)
            elif not self.map.writes(new):
                place = "is dropped" if canonical(new) in self.map.drop else "is not on the allow-list"
                becomes = self.map.fate(old).becomes
                instead = f"{', '.join(becomes)} is written" if becomes else "nothing is written"
                yield Finding(rule, f"{new} {place}: {instead}; allow it or rename to another", True)
            elif onward is not None and canonical(onward) != canonical(new):
                yield Finding(
                    rule,
                    f"gives {new}, not {onward}: renames do not chain; name {onward}",
                    True,
                )
            yield from self._never(rule, old, self.sources)

    def _allowed(self) -> Iterator[Finding]:
        added = {canonical(name) for names in self.parents.values() for name in names}
        for genre in self.allow:
            if canonical(genre) in self.map.drop:
                yield Finding(f"allow {genre}", "is dropped as well, and so never written; choose one", True)
            else:
                yield from self._never(f"allow {genre}", genre, self.sources | self.results | added)

    def _added(self) -> Iterator[Finding]:
        yield from self._twice("parents", self.parents)
        for genre, names in self.parents.items():
            rule = f"parents {genre} = {', '.join(names)}"
            if not self.map.writes(genre) and not any(map(self.map.writes, names)):
                yield Finding(rule, f"never applies: {genre} is not written", True)
            yield from self._never(rule, genre, self.sources | self.results)
            for name in names:
                if not self.map.writes(name):
                    place = "dropped" if canonical(name) in self.map.drop else "not on the allow-list"
                    yield Finding(rule, f"{name} is {place} and never added; allow it or remove it", True)

    def _never(self, rule: str, genre: str, sources: set[str]) -> Iterator[Finding]:
        """A name that nothing here is called: a slip, or a genre that only another model or library has."""
        if canonical(genre) in sources:
            return
        if lookup(genre) is not None:
            model = self.vocabulary.model
            yield Finding(rule, f"never applies here: neither {model} nor a file says {genre}", False)
            return
        known = [*self.vocabulary.answers, *(name.text for name in self.vocabulary.names), *known_genres()]
        near = difflib.get_close_matches(genre, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "correct or remove it"
        yield Finding(rule, f"never applies: {genre} is unknown; {hint}", True)

    def _twice(self, table: str, names: Iterable[str]) -> Iterator[Finding]:
        met: dict[str, str] = {}
        for name in names:
            first = met.setdefault(canonical(name), name)
            if first != name:
                yield Finding(
                    f"{table} {name}",
                    f"is the same genre as {first}; the later rule counts, keep one",
                    True,
                )


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
