"""How a training went, epoch by epoch, and who is told of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from genretag.errors import TrainingError
from genretag.labels import Kind
from genretag.training.state import write_durably

FILE = "history.csv"
# The code of a TrainingError for a loss that is no number: the settings are at fault, not the machine.
NOT_FINITE = "not-finite"
# What the tracks of the valid part are measured by; the name of a column as well.
SCORE_OF: Mapping[Kind, str] = {"single": "valid_accuracy", "multi": "valid_roc_auc"}


@dataclass(frozen=True)
class EpochScores:
    """One epoch; `valid_score` is the accuracy of the tracks, or the macro ROC-AUC of their tags.

    `valid_loss` is that of windows, `calibrated_loss` that of tracks; it and the score are at the temperature
    that suits the valid part best, which the checkpoint would have. So they do not mind a network that is too
    sure of itself. `learning_rate` is that of the last step, `seconds` those of the whole epoch.
    """

    epoch: int
    train_loss: float
    valid_loss: float | None
    valid_score: float | None
    learning_rate: float
    seconds: float
    calibrated_loss: float | None = None

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> EpochScores:
        return cls(**document)


@dataclass(frozen=True)
class History:
    """All finished epochs; the network has the weights of `best` now (0: no epoch is finished).

    `ended`: after all "epochs", for want of "patience", or "interrupted" with a state to resume from.
    """

    epochs: tuple[EpochScores, ...]
    best: int
    ended: Literal["epochs", "patience", "interrupted"]

    @property
    def best_epoch(self) -> EpochScores | None:
        return self.epochs[self.best - 1] if self.best else None


class Watcher(Protocol):
    """Who is told how a training goes on; what it raises ends the training."""

    def news(self, line: str) -> None:
        """How far the work is."""

    def warns(self, line: str) -> None:
        """What a person must know."""

    def epoch_begins(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        """An epoch of so many steps, some of which may be done already."""

    def step_done(self) -> None: ...

    def epoch_done(self, scores: EpochScores, kind: Kind, best: bool) -> None:
        """An epoch with its scores; `best`: no earlier one was as good."""


class Nobody:
    """A watcher that does not look."""

    def news(self, line: str) -> None:
        pass

    def warns(self, line: str) -> None:
        pass

    def epoch_begins(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        pass

    def step_done(self) -> None:
        pass

    def epoch_done(self, scores: EpochScores, kind: Kind, best: bool) -> None:
        pass


def write_history(folder: Path, epochs: list[EpochScores], kind: Kind) -> None:
    """Write history.csv, one row an epoch; TrainingError where it cannot be written."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    columns = {name: name for name in ("epoch", "train_loss", "valid_loss")}
    columns |= {"calibrated_loss": "valid_calibrated_loss", "valid_score": SCORE_OF[kind]}
    columns |= {name: name for name in ("learning_rate", "seconds")}
    rows.writerow(columns.values())
    for epoch in epochs:
        values = [getattr(epoch, name) for name in columns]
        rows.writerow(
            [
                "" if value is None else f"{value:.6g}" if isinstance(value, float) else value
                for value in values
            ]
        )
    write_durably(folder / FILE, text.getvalue().encode(), "the history")


def not_finite(what: str, epoch: int, rate: float) -> TrainingError:
    """The one line for a loss that is no number."""
    kept = f"; what was reached by epoch {epoch - 1} is kept" if epoch > 1 else ""
    return TrainingError(
        f"the {what} loss of epoch {epoch} is not finite (learning rate {rate:g}); try a smaller --lr, "
        f"for example {rate / 10:g}{kept}",
        code=NOT_FINITE,
    )
