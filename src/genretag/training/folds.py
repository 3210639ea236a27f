"""Several trainings, each measured on the fold that it did not see: their mean, their spread, one report."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genretag.errors import FileError
from genretag.training.metrics import Evaluation, Scores, evaluate_scores
from genretag.training.report import write_report
from genretag.training.state import write_durably
from genretag.training.tables import SCORES

FILE = "folds.csv"


@dataclass(frozen=True)
class Folds:
    """Track scores of every fold, their means and standard deviations (over n - 1) by name."""

    scores: tuple[Scores, ...]
    mean: dict[str, float]
    spread: dict[str, float]

    @classmethod
    def of(cls, evaluations: Sequence[Evaluation]) -> Folds:
        scores = tuple(evaluation.track for evaluation in evaluations)
        values = {name: [getattr(one, name) for one in scores] for name in SCORES}
        known = {name: np.array(some) for name, some in values.items() if None not in some}
        return cls(
            scores,
            {name: float(some.mean()) for name, some in known.items()},
            {name: float(some.std(ddof=1)) for name, some in known.items()},
        )

    def sentence(self) -> str:
        """Mean, spread and every fold, of the score that counts first."""
        name = "roc_auc" if "roc_auc" in self.mean else "accuracy"
        each = ", ".join(f"{100 * getattr(one, name):.1f}" for one in self.scores)
        return (
            f"{len(self.scores)} folds, {SCORES[name]} {100 * self.mean[name]:.1f} % on average, spread "
            f"{100 * self.spread[name]:.1f} ({each}); the figures below are of all folds' tracks together"
        )


def pooled(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Every track as the training that did not see it heard it; yes to a tag from a score of 0.5 on."""
    first, folds = evaluations[0], Folds.of(evaluations)
    truth = np.concatenate([one.y_true for one in evaluations])
    single = first.labels.kind == "single"
    notes = [folds.sentence(), *dict.fromkeys(one.note for one in evaluations if one.note)]
    probs = np.concatenate([one.y_prob for one in evaluations])
    return evaluate_scores(
        truth.argmax(axis=1) if single else truth,
        probs,
        np.arange(len(truth)),
        first.labels,
        model=first.model,
        dataset=first.dataset,
        split=f"{first.split} of {len(evaluations)} folds",
        leak_free=all(one.leak_free for one in evaluations),
        tracks_apart=_all_of([one.tracks_apart for one in evaluations]),
        artists_apart=_all_of([one.artists_apart for one in evaluations]),
        note="; ".join(notes),
        ids=[name for one in evaluations for name in one.ids],
        track_probs=probs if first.whole else None,
    )


def _all_of(apart: Sequence[bool | None]) -> bool | None:
    """Return False if any is False, else None if any is None, else True."""
    return False if False in apart else None if None in apart else True


def write_folds(
    folder: Path, evaluations: Sequence[Evaluation], left_out: Sequence[FileError] = ()
) -> Evaluation:
    """Write folds.csv, one row a fold, and the report of all folds; gives what is reported."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["fold", "tracks", *SCORES])
    for number, one in enumerate(evaluations, start=1):
        values = [getattr(one.track, name) for name in SCORES]
        rows.writerow([number, one.track.n, *("" if v is None else f"{v:.6g}" for v in values)])
    write_durably(folder / FILE, text.getvalue().encode(), "the table of folds")
    evaluation = pooled(evaluations)
    write_report(evaluation, folder, left_out=left_out)
    return evaluation
