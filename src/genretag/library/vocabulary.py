"""Genres of a library as its files name them now, however they are spelled, and as a model hears them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genretag import checkpoint
from genretag.errors import GenretagError
from genretag.labels import canonical, lookup, split_genres
from genretag.predict.decide import DecisionRule, decide
from genretag.predict.heads import KnownScores
from genretag.store import FileKey, Store
from genretag.tagging import tags


@dataclass(frozen=True)
class Name:
    """One genre of a library: `files` that have it, and how many of them spell it in which way.

    `text` is its most frequent spelling; `known` the genre of genretag's table that it is, or None.
    """

    text: str
    files: int
    spellings: dict[str, int]
    known: str | None


@dataclass(frozen=True)
class Vocabulary:
    """What a library calls its music: genres by falling number of files.

    `files` were looked at, `tagged` of them name a genre. `answers` are the genres that `model` can give,
    `decided` in how many files it decided for which of them together, where its scores are known.
    """

    names: tuple[Name, ...]
    files: int
    tagged: int
    model: str
    answers: tuple[str, ...]
    decided: dict[tuple[str, ...], int]

    @property
    def analysed(self) -> int:
        """Files whose scores are known."""
        return sum(self.decided.values())

    @property
    def heard(self) -> Counter[str]:
        """In how many files the model heard each genre."""
        counts: Counter[str] = Counter()
        for genres, files in self.decided.items():
            counts.update(dict.fromkeys(genres, files))
        return counts


def survey(paths: Iterable[Path], store: Store, model: str) -> Vocabulary:
    """Count the genres in the tags of files; no music is read. CheckpointError where the model is unknown.

    Files that are gone or whose tags cannot be read are passed over.
    """
    checkpoint_file = checkpoint.resolve(model)
    meta, scores = checkpoint.read_meta(checkpoint_file), KnownScores(store, checkpoint_file, "fast")
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    counts: Counter[str] = Counter()
    decided: Counter[tuple[str, ...]] = Counter()
    files = tagged = 0
    for path in paths:
        try:
            key = FileKey.of(path.stat())
            known = store.known_file(key, path)
            values = tags.read(path).genres if known is None else known.genres
        except (OSError, GenretagError):
            continue
        genres = split_genres(values)
        files += 1
        tagged += bool(genres)
        for genre in genres:
            spellings[_same(genre)][genre] += 1
        counts.update({_same(genre) for genre in genres})
        if known and (cached := scores.get(known.audio_id)):
            decided[decide(cached.scores, meta.labels, meta.thresholds, DecisionRule()).genres] += 1
    names = [_name(same, files, spellings[same]) for same, files in counts.items()]
    names.sort(key=lambda name: (-name.files, name.text.casefold()))
    answers = tuple(sorted(set(meta.labels.genres.values())))
    return Vocabulary(tuple(names), files, tagged, meta.name, answers, dict(decided))


def _same(genre: str) -> str:
    """What all spellings of a genre share."""
    return canonical(genre).casefold()


def _name(same: str, files: int, spelled: Counter[str]) -> Name:
    found = lookup(same)
    known = found.name if found else None
    # Of equally frequent ones the table's own spelling, then the one that a person would call tidier.
    ordered = sorted(spelled.items(), key=lambda item: (-item[1], item[0] != known, item[0].islower(), item))
    return Name(ordered[0][0], files, dict(ordered), known)
