"""What can be asked of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genretag.labels import Kind
from genretag.training.splits import FRACTIONS_WITHOUT_VALID, USUAL_FRACTIONS, SplitKind

Monitor = Literal["calibrated", "loss", "score"]
PrecisionName = Literal["auto", "float32", "bf16", "fp16"]


@dataclass(frozen=True)
class TrainOptions:
    """One training; None means what is usual for the preset or the dataset.

    `dataset` may carry variant and task (`fma:medium:multi`); `data` is the folder of its audio, `features` a
    file of windows in place of it. `values` are options of the preset's configuration or fields of its
    recipe. `augment` False leaves out the preset's augmentation, True gives one to a preset that has none.
    `patience` 0 never ends early; `monitor`: see `loop.LoopSettings`; `init` and `freeze`: see
    `transfer.start`. `grid` searches the grid of a fitted preset. With `folds`, that many trainings are
    measured; `final` adds one whose weights are kept. `batch_size` is that of all processes together.
    `fractions` are those of `make_split`. With `measure` "valid" the test part is not looked at: for
    trainings among which the valid part chooses. `report` False leaves out the report. With `inner_folds`,
    a fitted preset is calibrated on that many folds of its train part: see `inner.out_of_fold`. `name` and
    `licence` are what the checkpoint says of itself. `threads`: CPU threads of the training; the default is
    `threads.default_threads`.
    """

    dataset: str
    model: str
    data: Path | None = None
    out: Path | None = None
    variant: str | None = None
    task: Kind | None = None
    features: Path | None = None
    split: SplitKind | None = None
    fractions: tuple[float, float, float] | None = None
    folds: int | None = None
    final: bool = False
    inner_folds: int | None = None
    seed: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    patience: int | None = None
    monitor: Monitor = "calibrated"
    class_weights: bool | None = None
    augment: bool | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    grid: bool = False
    init: str | None = None
    freeze: bool = False
    measure: Literal["test", "valid"] = "test"
    report: bool = True
    name: str | None = None
    licence: str = ""
    resume: bool = False
    device: str = "auto"
    precision: PrecisionName = "auto"
    workers: int | None = None
    threads: int | None = None
    quiet: bool = False

    @property
    def shares(self) -> tuple[float, float, float]:
        """Fractions of train, valid and test; inner folds leave nothing for a valid part to do."""
        usual = USUAL_FRACTIONS if self.inner_folds is None else FRACTIONS_WITHOUT_VALID
        return self.fractions or usual

    @property
    def folder(self) -> Path:
        """Where the results go."""
        if self.out is not None:
            return self.out
        name = "-".join(filter(None, (*self.dataset.split(":"), self.variant, self.model)))
        return Path("genretag-runs") / f"{name}-{self.seed}"
