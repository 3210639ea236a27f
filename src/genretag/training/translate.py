"""A model's labels as answers to a dataset's: the same names, the same genres, or broader ones of the tree.

The rule, for a dataset with one label a clip. What competes is what `genretag tag` would write: the model's
labels that are genres. Each of them answers for the dataset's label of the same name or, without one, for the
label that is its genre or the nearest broader genre ("indie rock" answers for "rock"). A genre with no such
label is an answer too, a wrong one: it goes to the column `ELSEWHERE`. A label of the dataset takes the
highest score of the labels that answer for it.

Of a set of two levels only those labels compete that may come first: the broad ones and, where they reach
their thresholds, genres that these lack. One that does comes before every broad genre (predict.decide).

For a dataset with several labels a clip, a model's label answers for every label of the dataset that is
itself or a broader genre, and labels that are no genres (instruments, moods) are compared by name.

A label of the dataset for which nothing answers has the score 0: its clips count as wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genretag.labels import LabelSet, canonical, parents
from genretag.predict.decide import DEFAULT_THRESHOLD

ELSEWHERE = "another genre"


@dataclass(frozen=True)
class Translation:
    """How scores of a model's labels become scores of `labels`.

    `labels` are the dataset's and, where `elsewhere` is not empty, `ELSEWHERE` after them; `columns` gives
    for each the numbers of the model's labels that answer for it. `unnamed` are the dataset's labels for
    which nothing answers, `elsewhere` the model's genres that the dataset lacks. `overriding` gives the
    thresholds of those of the model's labels that come before all others once they reach them.
    """

    labels: LabelSet
    columns: tuple[tuple[int, ...], ...]
    thresholds: dict[str, float]
    unnamed: tuple[str, ...]
    elsewhere: tuple[str, ...]
    overriding: Mapping[int, float] = field(default_factory=dict)

    def apply(self, probs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores (rows, labels) of the model as scores (rows, labels) of the dataset."""
        heard = probs.astype(np.float64)
        for column, threshold in self.overriding.items():
            heard[probs[:, column] < threshold, column] = 0
        if self.overriding:
            first = heard[:, list(self.overriding)].max(axis=1, keepdims=True)
            rest = np.setdiff1d(np.arange(heard.shape[1]), list(self.overriding))
            # As sure as the genre that comes first, and after it.
            below = np.nextafter(first, 0)
            heard[:, rest] = np.where(first > 0, np.minimum(heard[:, rest], below), heard[:, rest])
        scores = np.zeros((len(probs), len(self.columns)))
        for number, columns in enumerate(self.columns):
            if columns:
                scores[:, number] = heard[:, list(columns)].max(axis=1)
        return scores


def translate(model: LabelSet, dataset: LabelSet, thresholds: Mapping[str, float]) -> Translation:
    """The rule above for these labels; `thresholds` are the model's, by its labels."""
    overriding: dict[int, float] = {}
    if set(model.names) == set(dataset.names):
        answers = {name: [model.names.index(name)] for name in dataset.names}
        elsewhere: list[str] = []
    elif dataset.kind == "single":
        answers, elsewhere = _genres(model, dataset)
        overriding = {
            model.names.index(label): thresholds.get(label, DEFAULT_THRESHOLD)
            for label in model.beside_broad()
            if model.broad
        }
    else:
        answers, elsewhere = _tags(model, dataset), []
    columns = [tuple(answers[name]) for name in dataset.names]
    limits = {
        name: min(thresholds.get(model.names[column], DEFAULT_THRESHOLD) for column in answers[name])
        for name in dataset.names
        if any(model.names[column] in thresholds for column in answers[name])
    }
    unnamed = tuple(name for name in dataset.names if not answers[name])
    if not elsewhere:
        return Translation(dataset, tuple(columns), limits, unnamed, (), overriding)
    columns.append(tuple(model.names.index(name) for name in elsewhere))
    wider = LabelSet((*dataset.names, ELSEWHERE), dataset.kind, dataset.genres)
    genres = tuple(dict.fromkeys(model.genres[name] for name in elsewhere))
    return Translation(wider, tuple(columns), limits, unnamed, genres, overriding)


def _genres(model: LabelSet, dataset: LabelSet) -> tuple[dict[str, list[int]], list[str]]:
    """Columns that answer for each of the dataset's labels, and the model's genres that answer for none."""
    by_genre = _by_genre(dataset)
    answers: dict[str, list[int]] = {name: [] for name in dataset.names}
    elsewhere = []
    first = {*model.broad, *model.beside_broad()} if model.broad else set(model.names)
    for column, name in enumerate(model.names):
        genre = model.genre(name)
        if name not in first:
            continue
        if name in answers:
            answers[name].append(column)
        elif genre is not None:
            near = [by_genre[broader][0] for broader in (genre, *parents(genre)) if broader in by_genre]
            if near:
                answers[near[0]].append(column)
            else:
                elsewhere.append(name)
    return answers, elsewhere


def _tags(model: LabelSet, dataset: LabelSet) -> dict[str, list[int]]:
    """Columns that answer for each of the dataset's labels."""
    by_genre = _by_genre(dataset)
    answers: dict[str, list[int]] = {name: [] for name in dataset.names}
    for column, name in enumerate(model.names):
        genre = model.genre(name)
        chain = (genre, *parents(genre)) if genre else ()
        targets = {label for broader in chain for label in by_genre.get(broader, ())}
        same = canonical(name).casefold()
        targets |= {label for label in dataset.names if canonical(label).casefold() == same}
        for target in targets:
            answers[target].append(column)
    return answers


def _by_genre(dataset: LabelSet) -> dict[str, list[str]]:
    """The dataset's labels by their genre."""
    labels: dict[str, list[str]] = {}
    for name in dataset.names:
        if (genre := dataset.genre(name)) is not None:
            labels.setdefault(genre, []).append(name)
    return labels
