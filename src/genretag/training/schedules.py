"""The optimiser and the learning rate of a recipe; a rate depends on the step and on how validation went."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import nn

from genretag.errors import TrainingError
from genretag.models.records import Recipe

SGD_MOMENTUM = 0.9
# One-cycle, as torch.optim.lr_scheduler.OneCycleLR has them: where it starts, where it ends, its rising part.
CYCLE_START, CYCLE_END, CYCLE_RISE = 1 / 25, 1 / 25e4, 0.3


@dataclass
class Schedule:
    """The learning rate of every step.

    `constant`; `cyclic`: along a cosine from the full rate to `floor` times that in `period` epochs, then
    anew (Loshchilov and Hutter 2017, "SGDR", without growing periods); `one-cycle`: up and down once (Smith
    and Topin 2018, "Super-convergence"); `halve-on-plateau`: half of it after every `patience` epochs that
    did not lower the loss.
    """

    recipe: Recipe
    steps_per_epoch: int
    halvings: int = 0
    best: float | None = None
    waited: int = 0

    def rate(self, step: int) -> float:
        """Learning rate of the step with this number, counted from 0 over all epochs."""
        full, options = self.recipe.learning_rate, self.recipe.schedule_options
        match self.recipe.schedule:
            case "constant":
                return full
            case "cyclic":
                period = max(1, round(options.get("period", 2) * self.steps_per_epoch))
                return _cosine(full, full * options.get("floor", 0.01), step % period / period)
            case "one-cycle":
                steps = self.recipe.epochs * self.steps_per_epoch
                top = CYCLE_RISE * steps - 1
                if step <= top:
                    return _cosine(full * CYCLE_START, full, step / max(top, 1.0))
                return _cosine(full, full * CYCLE_END, (step - top) / max(steps - 1 - top, 1.0))
            case "halve-on-plateau":
                return full * 0.5**self.halvings

    def epoch_done(self, loss: float) -> None:
        """Hear the loss that an epoch ended with."""
        if self.best is None or loss < self.best:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= self.recipe.schedule_options.get("patience", 5):
            self.halvings, self.waited = self.halvings + 1, 0

    def to_dict(self) -> dict[str, float | None]:
        state = asdict(self)
        return {name: state[name] for name in ("halvings", "best", "waited")}

    def restore(self, state: Mapping[str, float | None]) -> None:
        self.halvings, self.waited = int(state["halvings"] or 0), int(state["waited"] or 0)
        self.best = state["best"]


def make_optimiser(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser over what is trained; weight decay is for kernels, not biases and norms."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trained:
        raise TrainingError("every layer is frozen, so there is nothing to train; leave --freeze out")
    groups = [
        {"params": [one for one in trained if one.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [one for one in trained if one.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = recipe.learning_rate
    match recipe.optimiser:
        case "adam":
            return torch.optim.Adam(groups, rate)
        case "adamw":
            return torch.optim.AdamW(groups, rate)
        case "rmsprop":
            return torch.optim.RMSprop(groups, rate)
        case "sgd":
            return torch.optim.SGD(groups, rate, momentum=SGD_MOMENTUM)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Let the next step have this learning rate."""
    groups: Iterable[dict[str, float]] = optimiser.param_groups
    for group in groups:
        group["lr"] = rate


def _cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2
