"""The one loop that trains every network by gradient: both kinds of labels, any recipe, one process or many.

Every draw depends on seed, epoch and step alone (on several GPUs, that of dropout also on the process). So
a run that was killed and resumed takes the steps that it would have taken and, on a CPU, ends with the same
bits; and several processes on CPUs take the steps that one would take, but for the order of additions.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from genretag.errors import DeviceError, TrainingError
from genretag.models.records import Recipe
from genretag.training.augment import Augmentation
from genretag.training.batches import Batch, Batches, truth_of
from genretag.training.distributed import World
from genretag.training.examples import Examples, Parts
from genretag.training.forward import every_window, half_precision, mean_loss, track_scores
from genretag.training.history import EpochScores, History, Nobody, Watcher, not_finite, write_history
from genretag.training.loss import Loss
from genretag.training.options import Monitor
from genretag.training.schedules import Schedule, make_optimiser, set_rate
from genretag.training.state import (
    RunState,
    load_state,
    pack,
    pack_optimiser,
    require_same,
    save_state,
    unpack,
    unpack_optimiser,
)
from genretag.training.stopping import StopRequest
from genretag.training.whole_step import whole_step

STATE = "state.safetensors"
# Steps between two looks at what the device has computed, for which the device must be waited for.
LOOK_EVERY = 16


@dataclass(frozen=True)
class LoopSettings:
    """What a recipe leaves open.

    `folder` gets the state and history.csv after every epoch (None: nothing is written). With `resume`, a
    state there is gone on from; `about` are the settings it must have been started with. The best epoch has,
    by `monitor`, the least calibrated loss of the valid tracks, the least loss of the valid windows, or the
    best score of the valid tracks. `step_frames`: between the starts of two windows, for random crops.
    """

    world: World
    seed: int = 0
    precision: torch.dtype = torch.float32
    monitor: Monitor = "calibrated"
    folder: Path | None = None
    resume: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    step_frames: int = 1


def fit_network(
    network: nn.Module, parts: Parts, recipe: Recipe, settings: LoopSettings, watcher: Watcher | None = None
) -> History:
    """Train a network on the device of its world; afterwards it has the weights of the best epoch.

    Without a valid part the last epoch counts as the best. The first Ctrl-C ends the training between two
    steps with everything saved (`History.ended`). TrainingError for a loss that is no number, for a disk that
    is full and for a state of other settings, DeviceError where a step does not fit into memory; the last
    good state is kept.
    """
    if len(parts.train.windows) < 2 * settings.world.size or recipe.batch_size < 2 * settings.world.size:
        raise TrainingError(
            f"a step needs two windows for each process: there are {len(parts.train.windows)} in all and "
            f"{recipe.batch_size} in a batch"
        )
    device = settings.world.device
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus), _repeatable(device), StopRequest() as stop:
        try:
            return _Loop(network, parts, recipe, settings, watcher or Nobody(), stop).run()
        except torch.OutOfMemoryError:
            raise DeviceError(
                f"{device}: a step of {recipe.batch_size} windows does not fit into its free memory; "
                f"try --batch-size {max(2, recipe.batch_size // 2)}"
            ) from None


@contextlib.contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """On a CPU, only arithmetic that gives the same bits each time."""
    before, warned = torch.are_deterministic_algorithms_enabled(), _warns()
    torch.use_deterministic_algorithms(before or device.type == "cpu", warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


def _warns() -> bool:
    return torch.is_deterministic_algorithms_warn_only_enabled()


class _Loop:
    """One training between its start, or the state it goes on from, and its end."""

    def __init__(
        self,
        network: nn.Module,
        parts: Parts,
        recipe: Recipe,
        settings: LoopSettings,
        watcher: Watcher,
        stop: StopRequest,
    ) -> None:
        self.recipe, self.settings, self.watcher, self.stop = recipe, settings, watcher, stop
        self.world, self.valid = settings.world, parts.valid
        self.kind = parts.train.labels.kind
        device = self.world.device
        self.network = network.to(device)
        self.wrapped = self.world.wrap(self.network)
        augmentation = Augmentation(recipe.augmentation)
        self.batches = Batches(
            parts.train, recipe.batch_size, settings.seed, augmentation, settings.step_frames, self.world
        )
        truth, track = self.batches.truth, parts.train.track
        self.loss = Loss(self.kind, truth, track, balanced=recipe.class_weights, device=device)
        self.optimiser = make_optimiser(recipe, self.network)
        self.schedule = Schedule(recipe, self.batches.per_epoch)
        half = settings.precision == torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=half)
        self.rows: list[EpochScores] = []
        self.step, self.total, self.seconds = 0, 0.0, 0.0  # of the epoch under way
        self.best, self.waited = 0, 0
        self.best_weights: dict[str, Tensor] = {}
        self.looking: list[Tensor] = []

    @property
    def epoch(self) -> int:
        """Number of the epoch under way, from 1."""
        return len(self.rows) + 1

    def run(self) -> History:
        if self.settings.resume:
            self._restore()
        ended: Literal["epochs", "patience", "interrupted"] = "epochs"
        while len(self.rows) < self.recipe.epochs:
            if self._out_of_patience():
                ended = "patience"
                break
            if not self._epoch() or any(self.world.gather(self.stop.asked)):
                ended = "interrupted"
                break
        if self.best:
            self.network.load_state_dict(self.best_weights)
        self.network.eval()
        return History(tuple(self.rows), self.best, ended)

    def _out_of_patience(self) -> bool:
        patience = self.recipe.patience
        return patience is not None and self.valid is not None and self.waited >= patience

    def _epoch(self) -> bool:
        """Train, validate, save; False where the training is to end before that."""
        started = time.perf_counter() - self.seconds
        self.watcher.epoch_begins(self.epoch, self.recipe.epochs, self.batches.per_epoch, self.step)
        _training_mode(self.wrapped)
        for batch in self.batches.epoch(self.epoch, self.step):
            self._step(batch)
            self.watcher.step_done()
            if (self.world.size == 1 and self.stop.asked) or len(self.looking) >= LOOK_EVERY:
                self._look()
                if any(self.world.gather(self.stop.asked)):
                    self.seconds = time.perf_counter() - started
                    self._save()
                    return False
        self._look()
        self._validate(started)
        return True

    def _step(self, batch: Batch) -> None:
        set_rate(self.optimiser, self.schedule.rate(self._steps_done()))
        # For dropout; made of everything that it may depend on, so that no state of it need be kept.
        stream = 0 if self.world.shares_whole_steps else self.world.rank
        torch.manual_seed(_number(self.settings.seed, self.epoch, self.step, stream))
        device = self.world.device
        features, truth = (one.to(device, non_blocking=True) for one in (batch.features, batch.truth))
        with (
            whole_step(self.network, self.world, len(batch.track)),
            half_precision(self.world, self.settings.precision),
        ):
            logits = self.wrapped(features)
        loss = self.loss.total(logits.float(), truth) / self.loss.whole(batch.track)
        self.optimiser.zero_grad(set_to_none=True)
        # Gradients are averaged over the processes, and each has only its share of the sum.
        scaled: Tensor = self.scaler.scale(loss * self.world.size)
        torch.autograd.backward(scaled)
        if self.recipe.clip is not None:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.step += 1
        self.looking.append(loss.detach())

    def _look(self) -> None:
        """Add up the losses since the last look; TrainingError where one is no number."""
        mine = torch.stack(self.looking).double().cpu() if self.looking else torch.zeros(0)
        self.looking = []
        for loss in torch.stack(self.world.gather(mine)).sum(dim=0).tolist():
            if not math.isfinite(loss):
                raise not_finite("training", self.epoch, self.schedule.rate(self._steps_done() - 1))
            self.total += loss

    def _validate(self, started: float) -> None:
        """End the epoch: scores of the valid part, the best weights, the state."""
        rate = self.schedule.rate(self._steps_done() - 1)
        valid_loss, calibrated_loss, valid_score = None, None, None
        if self.valid is not None:
            self.world.share_buffers(self.network)
            valid_loss, calibrated_loss, valid_score = self._measure(self.valid, rate)
        seconds = time.perf_counter() - started
        train_loss = self.total / self.batches.per_epoch
        row = EpochScores(self.epoch, train_loss, valid_loss, valid_score, rate, seconds, calibrated_loss)
        best = self._is_best(row)
        self.rows.append(row)
        self.step, self.total, self.seconds = 0, 0.0, 0.0
        self.schedule.epoch_done(train_loss if valid_loss is None else valid_loss)
        if best:
            self.best, self.waited = row.epoch, 0
            state = self.network.state_dict()
            self.best_weights = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        else:
            self.waited += 1
        self._save()
        self.watcher.epoch_done(row, self.kind, best)

    def _measure(self, valid: Examples, rate: float) -> tuple[float, float, float | None]:
        """Loss of windows, calibrated loss of tracks and score of tracks."""
        logits = every_window(self.network, self.network, valid, self.world, self.settings.precision)
        truth = truth_of(valid)
        loss = mean_loss(logits, truth[valid.track], self.kind)
        if not math.isfinite(loss):
            raise not_finite("validation", self.epoch, rate)
        return loss, *track_scores(logits, valid, truth)

    def _is_best(self, row: EpochScores) -> bool:
        if not self.best or row.valid_loss is None:
            return True
        return self._worth(row) > self._worth(self.rows[self.best - 1])

    def _worth(self, row: EpochScores) -> tuple[float, float]:
        """What the best epoch has most of."""
        calibrated = -(row.calibrated_loss or 0.0)
        match self.settings.monitor:
            case "calibrated":
                return calibrated, 0.0
            case "loss":
                return -(row.valid_loss or 0.0), 0.0
            case "score":
                return row.valid_score or 0.0, calibrated

    def _steps_done(self) -> int:
        return len(self.rows) * self.batches.per_epoch + self.step

    def _save(self) -> None:
        folder = self.settings.folder
        if folder is None or not self.world.leads:
            return
        tensors, groups = pack_optimiser(self.optimiser)
        progress = {
            "epochs": [asdict(row) for row in self.rows],
            "step": self.step,
            "total": self.total,
            "seconds": self.seconds,
            "best": self.best,
            "waited": self.waited,
            "schedule": self.schedule.to_dict(),
            "scaler": self.scaler.state_dict(),
            "groups": groups,
        }
        everything = {
            **pack("network", self.network.state_dict()),
            **pack("best", self.best_weights),
            **pack("optimiser", tensors),
        }
        save_state(folder / STATE, RunState(self.settings.about, progress, everything))
        write_history(folder, self.rows, self.kind)

    def _restore(self) -> None:
        folder = self.settings.folder
        there = self.world.gather(folder is not None and (folder / STATE).exists())
        if len(set(there)) > 1:
            raise TrainingError(
                f"{folder}: not all processes see its {STATE}; give an --out that all nodes see"
            )
        if folder is None or not there[0]:
            self.watcher.news("nothing to resume there; starting from the beginning")
            return
        state = load_state(folder / STATE)
        require_same(state.settings, self.settings.about, folder)
        progress = state.progress
        self.network.load_state_dict(unpack("network", state.tensors))
        self.best_weights = unpack("best", state.tensors)
        unpack_optimiser(self.optimiser, unpack("optimiser", state.tensors), progress["groups"])
        self.schedule.restore(progress["schedule"])
        self.scaler.load_state_dict(progress["scaler"])
        self.rows = [EpochScores.from_dict(row) for row in progress["epochs"]]
        self.step, self.total, self.seconds = progress["step"], progress["total"], progress["seconds"]
        self.best, self.waited = progress["best"], progress["waited"]
        self.watcher.news(f"resumed after epoch {len(self.rows)} of {self.recipe.epochs}")


def _training_mode(network: nn.Module) -> None:
    """Training mode; where the body is frozen, only of the modules whose own weights are trained.

    A frozen body works as it does in prediction, its batch-norm and its dropout included.
    """
    frozen = not all(parameter.requires_grad for parameter in network.parameters())
    network.train(not frozen)
    for module in network.modules():
        if frozen and any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
            module.training = True


def _number(*parts: int) -> int:
    """A seed of 64 bits out of several numbers."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")
