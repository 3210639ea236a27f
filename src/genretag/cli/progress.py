"""How a training is shown while it runs: a bar on a terminal, a line for each epoch elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from genretag.cli.output import say

if TYPE_CHECKING:
    from tqdm import tqdm

    from genretag.labels import Kind
    from genretag.training.history import EpochScores

_SCORE = {"single": "accuracy", "multi": "ROC-AUC"}


class TrainingProgress:
    """A watcher of trainings, to be entered before and left after; `quiet` shows warnings only."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.bar: tqdm[None] | None = None
        self.epochs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def news(self, line: str) -> None:
        if not self.quiet:
            self.warns(line)

    def warns(self, line: str) -> None:
        if self.bar is not None:
            self.bar.clear()
        say(line)

    def epoch_begins(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        self.epochs = epochs
        if self.quiet or not sys.stderr.isatty():
            return
        from tqdm import tqdm

        position = (epoch - 1) * steps + done
        if self.bar is None or self.bar.total != epochs * steps or self.bar.n != position:
            self._close()
            self.bar = tqdm(
                total=epochs * steps, initial=position, unit=" steps", dynamic_ncols=True, file=sys.stderr
            )
        self.bar.set_description(f"epoch {epoch}/{epochs}")

    def step_done(self) -> None:
        if self.bar is not None:
            self.bar.update()

    def epoch_done(self, scores: EpochScores, kind: Kind, best: bool) -> None:
        if self.quiet:
            return
        shown = f"train loss {scores.train_loss:.4f}"
        if scores.valid_loss is not None:
            shown += f", valid loss {scores.valid_loss:.4f}"
        if scores.valid_score is not None:
            shown += f", valid {_SCORE[kind]} {100 * scores.valid_score:.1f} %"
        shown += ", best so far" if best and scores.valid_loss is not None else ""
        if self.bar is not None:
            self.bar.set_postfix_str(shown)
            return
        line = f"epoch {scores.epoch}/{self.epochs}: {shown}, lr {scores.learning_rate:.3g}"
        print(f"{line}, {scores.seconds:.1f} s", file=sys.stderr, flush=True)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
