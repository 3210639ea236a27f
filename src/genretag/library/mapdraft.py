"""A genre map drafted from a library's own genres, as a commented file that a person goes on editing."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from genretag.escapes import has_control
from genretag.labels import known_genres, parents
from genretag.library.vocabulary import Name, Vocabulary

# Without a number of genres: those that as large a part of the files have, and more than one of them.
FREQUENT_SHARE = 0.01
FREQUENT_FILES = 2
# As alike as "Electornic" and "Electronic", and not as "Folk" and "Polka".
ALIKE = 0.85


@dataclass(frozen=True)
class Draft:
    """What a drafted map says. `others` are genres of the library that are not on its list.

    `rename` gives names on the list as the library mostly spells them; `slips` are renames that are only
    suggested, because somebody may have meant it so.
    """

    vocabulary: Vocabulary
    allow: tuple[Name, ...]
    others: tuple[Name, ...]
    rename: dict[str, str]
    slips: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The draft for programs."""
        allowed = {name.text for name in self.allow}
        return {
            "files": self.vocabulary.files,
            "tagged": self.vocabulary.tagged,
            "model": self.vocabulary.model,
            "genres": [
                {
                    "genre": name.text,
                    "files": name.files,
                    "spellings": name.spellings,
                    "known": name.known,
                    "answered": _answered(name, self.vocabulary),
                    "allowed": name.text in allowed,
                }
                for name in self.vocabulary.names
            ],
            "map": {"allow": sorted(allowed), "broaden": True, "rename": self.rename},
            "suggested": self.slips,
        }

    def to_toml(self) -> str:
        """The draft as a map file with the reasons beside the rules."""
        seen = self.vocabulary
        heard = seen.heard
        unnamed = [genre for genre in seen.answers if genre not in {name.known for name in seen.names}]
        unnamed.sort(key=lambda genre: -heard[genre])
        listed = [(f"  {_quoted(name.text)},", self._remark(name)) for name in self.allow]
        listed += [(f"  # {_quoted(name.text)},", self._remark(name)) for name in self.others]
        listed += [
            (f"  # {_quoted(genre)},", f"no file says so; {seen.model} hears it in {_files(heard[genre])}")
            for genre in unnamed
        ]
        renames = [
            (f"{_quoted(old)} = {_quoted(new)}", self._spelled(new)) for old, new in self.rename.items()
        ]
        renames += [
            (f"# {_quoted(old)} = {_quoted(new)}", f"a slip? {self._spelled(old)}")
            for old, new in self.slips.items()
        ]
        return _TEMPLATE.format(
            files=_files(seen.files),
            tagged=f"{seen.tagged:,}",
            allow=_columns(listed),
            rename=_columns(renames),
            parents="".join(f"# {_quoted(genre)} = {_listed(above)}\n" for genre, above in self._parents()),
        )

    def _remark(self, name: Name) -> str:
        unknown = "" if _answered(name, self.vocabulary) else f"; {self.vocabulary.model} cannot answer it"
        return f"{_files(name.files)}{unknown}"

    def _spelled(self, text: str) -> str:
        spellings = next(name.spellings for name in self.vocabulary.names if name.text == text)
        return ", ".join(f"{_quoted(spelling)} {count:,}" for spelling, count in spellings.items())

    def _parents(self) -> Iterator[tuple[str, list[str]]]:
        """Genres on the list whose broader genres are on it too."""
        named = {name.known: name.text for name in self.allow if name.known}
        for known, text in named.items():
            if above := [named[parent] for parent in parents(known) if parent in named]:
                yield text, above


_TEMPLATE = """\
# A map for `genretag tag --map`, drafted from {files}; {tagged} of them name a genre.
# Names on the left are matched whatever their spelling, names on the right are written as they stand.
# What it does: genretag map check THIS_FILE

# Only these are written. Put a # before what you do not want, and take it away from what you do.
# An empty list allows everything.
allow = [
{allow}]

# What is not on the list becomes the nearest broader genre that is: Death Metal becomes Metal.
broaden = true

# Never written, such as drop = ["Pop", "Dance"].
drop = []

# Take the # away to write the broader genres of genretag's own tree, too: Metal beside Death Metal.
# parents = true

# Left: what the model answers. Right: what you call it.
[rename]
{rename}
# Genres to write beside another. Not together with parents = true above.
# [parents]
{parents}"""


def draft(vocabulary: Vocabulary, most: int | None = None) -> Draft:
    """A map that writes the library's own genres in its own spelling: the `most` frequent ones.

    Without a number: those that one file in a hundred has, and more than one file.
    """
    # A map with a control character is refused.
    usable = tuple(name for name in vocabulary.names if not has_control(name.text))
    if most is None:
        least = max(FREQUENT_FILES, FREQUENT_SHARE * vocabulary.tagged)
        allow = tuple(name for name in usable if name.files >= least)
    else:
        allow = usable[:most]
    rename = {}
    for name in allow:
        for spelling in (name.known, *name.spellings):
            # The table knows all spellings of its genres: one line is enough for those.
            old = name.known or spelling
            if (spelling and old != name.text) or (name.known and len(name.spellings) > 1):
                rename[str(old)] = name.text
    others = tuple(name for name in vocabulary.names if name not in allow)
    return Draft(vocabulary, allow, others, rename, dict(_slips(vocabulary)))


def _slips(vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    """Names that no table knows and that read like another genre, with that one."""
    for name in vocabulary.names:
        if name.known is None:
            frequent = [other.text for other in vocabulary.names if other.files > name.files]
            if near := difflib.get_close_matches(name.text, [*frequent, *known_genres()], n=1, cutoff=ALIKE):
                yield name.text, near[0]


def _answered(name: Name, vocabulary: Vocabulary) -> bool:
    return name.known in vocabulary.answers or name.text in vocabulary.answers


def _columns(rows: Iterable[tuple[str, str]]) -> str:
    """Lines of TOML with their comments below each other."""
    lines = list(rows)
    width = max((len(line) for line, _ in lines), default=0)
    return "".join(f"{line:<{width}}  # {remark}\n" for line, remark in lines)


def _listed(names: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, names))}]"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _quoted(text: str) -> str:
    """Return a TOML string: a JSON string with every control character escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(f"\\u{ord(letter):04x}" if has_control(letter) else letter for letter in quoted)
