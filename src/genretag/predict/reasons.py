"""Why a track got its genres: what the decision weighed, how near the rest came, and the same in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genretag.labels import LabelSet, parents
from genretag.predict.decide import DEFAULT_THRESHOLD, Decision, DecisionRule, decide, threshold_of

# plain: any genre of a set of one level. In a set of two, broad ones exclude each other, beside them stand
# genres that they lack, and finer ones refine.
Role = Literal["plain", "broad", "beside", "finer", "veto"]

NEAR = 0.25  # sureness from which a genre that was not chosen is worth a word
MOST_NAMED = 3  # of those, so that the reason stays a sentence


@dataclass(frozen=True)
class Weighed:
    """One label in a decision; a veto has no `genre`. A threshold of 0: the highest score wins."""

    label: str
    genre: str | None
    role: Role
    score: float
    threshold: float
    chosen: bool

    @property
    def name(self) -> str:
        return self.genre or self.label

    @property
    def reached(self) -> bool:
        return self.score >= self.threshold

    @property
    def sureness(self) -> float:
        return float(sureness(np.float64(self.score), self.threshold))


@dataclass(frozen=True)
class Reasons:
    """A decision with what led to it: `weighed` holds what was chosen first, then the surest."""

    decision: Decision
    weighed: tuple[Weighed, ...]
    sentences: tuple[str, ...]


def sureness(scores: NDArray[np.floating] | np.floating, threshold: float) -> NDArray[np.float64]:
    """Scores on one scale for all labels, whatever they need: 0 not at all, 0.5 just enough, 1 certain.

    The odds of a score divided by the odds of its threshold, as a probability again. Without a threshold it
    is the score.
    """
    values = np.asarray(scores, np.float64)
    if threshold <= 0.0:
        return values
    here, there = values * (1.0 - threshold), threshold * (1.0 - values)
    return np.divide(here, here + there, out=np.zeros_like(here), where=here + there > 0)


def explain(
    scores: NDArray[np.floating], labels: LabelSet, thresholds: Mapping[str, float], rule: DecisionRule
) -> Reasons:
    """The decision of `decide` on `scores` (labels,) and why it is so."""
    decision = decide(scores, labels, thresholds, rule)
    weighed = _weigh(scores, labels, thresholds, rule, decision)
    return Reasons(decision, weighed, tuple(_sentences(decision, weighed, labels, rule)))


def _weigh(
    scores: NDArray[np.floating],
    labels: LabelSet,
    thresholds: Mapping[str, float],
    rule: DecisionRule,
    decision: Decision,
) -> tuple[Weighed, ...]:
    """Each genre that can be decided on once, by the surest of its labels, and the vetoes."""
    named = dict(zip(labels.names, scores.tolist(), strict=True))
    best: dict[str, Weighed] = {}
    for label, role in _roles(labels):
        calibrated = thresholds.get(label, DEFAULT_THRESHOLD)
        asked = calibrated if role == "veto" else threshold_of(label, labels, thresholds, rule)
        asked = max(asked, calibrated) if role == "beside" else asked
        genre = labels.genre(label)
        item = Weighed(label, genre, role, named[label], asked, genre in decision.genres)
        if item.name not in best or item.sureness > best[item.name].sureness:
            best[item.name] = item
    order = {genre: place for place, genre in enumerate(decision.genres)}
    return tuple(
        sorted(best.values(), key=lambda item: (order.get(item.name, len(order)), -item.sureness, item.name))
    )


def _roles(labels: LabelSet) -> Iterable[tuple[str, Role]]:
    """The labels that a decision looks at, and what each is to it."""
    beside = labels.beside_broad() if labels.broad else ()
    for label in labels.names:
        genre = labels.genre(label)
        if label in labels.vetoes:
            yield label, "veto"
        elif not labels.genres:
            yield label, "plain"  # moods, instruments: never written, yet worth a look
        elif genre is None:
            continue
        elif not labels.broad:
            yield label, "plain"
        elif label in labels.broad:
            yield label, "broad"
        elif label in beside:
            yield label, "beside"
        elif parents(genre):
            yield label, "finer"


def _sentences(
    decision: Decision, weighed: tuple[Weighed, ...], labels: LabelSet, rule: DecisionRule
) -> Iterable[str]:
    leads = [item for item in weighed if item.role in ("plain", "broad", "beside")]
    vetoes = [item for item in weighed if item.role == "veto" and item.reached]
    if decision.by_fallback:
        yield f"Unlike the training files: {_listed(vetoes)}."
        yield f"The fallback model decides: {decision.genres[0]} ({decision.confidence:.2f})."
        return
    if vetoes:
        yield f"Nothing is written, because this is {_listed(vetoes)}."
    if not labels.genres:
        yield "This model knows no genres, so nothing is written."
        return
    if not decision.genres:
        yield from _undecided(decision, leads, rule, vetoed=bool(vetoes))
        return
    first = leads[0]
    if first.threshold:
        yield f"{first.name} scores {first.score:.2f} and needs {first.threshold:.2f}."
    else:
        yield f"{first.name} has the highest score, {first.score:.2f}."
    if first.role == "beside":
        rival = max((item for item in leads if item.role == "broad"), key=lambda item: item.score)
        broad = f"the {len(labels.broad)} broad genres"
        yield f"Being sure enough, it comes before {broad}, such as {_numbered(rival)}."
    others = [item for item in weighed if item.chosen and item is not first]
    if others:
        verb = "refined by" if labels.broad else "joined by"
        yield f"It is {verb} {_listed(others)}."
    yield from _beyond(first, weighed, labels, rule)


def _undecided(
    decision: Decision, leads: list[Weighed], rule: DecisionRule, *, vetoed: bool
) -> Iterable[str]:
    best = max(leads, key=lambda item: item.sureness)
    if vetoed:
        yield f"As music it would be nearest to {_numbered(best)}."
    elif best.reached:
        asked = f"{rule.min_confidence:.2f} asked for"
        yield f"Nothing is sure enough. The best score, {decision.confidence:.2f}, is below the {asked}."
    else:
        yield f"Nothing is sure enough. The nearest is {_numbered(best)}."
        yield from _near([item for item in leads if item is not best])


def _beyond(
    first: Weighed, weighed: tuple[Weighed, ...], labels: LabelSet, rule: DecisionRule
) -> Iterable[str]:
    """What came near, and what was sure enough and yet is not among the genres."""
    rest = [item for item in weighed if not item.chosen]
    if not labels.broad:
        if first.threshold and (full := [item for item in rest if item.reached and item.role == "plain"]):
            yield f"Sure enough too, but {rule.top} are the most: {_listed(full)}."
        yield from _near([item for item in rest if not (item.reached and item.threshold)])
        return
    within = [item for item in rest if item.role == "finer" and first.genre in parents(item.name)]
    elsewhere = [item for item in rest if item.role == "finer" and item not in within and item.reached]
    if full := [item for item in within if item.reached]:
        yield f"Sure enough too, but {rule.top} are the most: {_listed(full)}."
    if elsewhere:
        yield f"Heard, but no kind of {first.name}: {_listed(elsewhere)}."
    rivals = [item for item in rest if item.role in ("broad", "veto", "beside") and first.role == "broad"]
    yield from _near([item for item in rest if not item.reached and item in within + rivals])


def _near(items: Iterable[Weighed]) -> Iterable[str]:
    if near := [item for item in items if item.sureness >= NEAR]:
        yield f"Near: {_listed(near)}."


def _listed(items: list[Weighed]) -> str:
    """The first few; all that is left out are the weakest, as `weighed` is sorted."""
    return ", ".join(map(_numbered, items[:MOST_NAMED]))


def _numbered(item: Weighed) -> str:
    needs = f", needs {item.threshold:.2f}" if item.threshold else ""
    # 0.098 is not the 0.10 that it needs.
    digits = 3 if not item.reached and round(item.score, 2) >= item.threshold else 2
    return f"{item.name} ({item.score:.{digits}f}{needs})"
