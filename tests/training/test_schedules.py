"""Learning rates step by step, held against torch's own schedules, and optimisers by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LRScheduler, OneCycleLR

from genretag.errors import TrainingError
from genretag.models.records import Recipe
from genretag.training.schedules import Schedule, make_optimiser, set_rate

RATE, STEPS, EPOCHS = 3e-3, 7, 6


def recipe(**changes: object) -> Recipe:
    return Recipe(
        **{  # type: ignore[arg-type]
            "optimiser": "adam",
            "learning_rate": RATE,
            "batch_size": 4,
            "epochs": EPOCHS,
            **changes,
        }
    )


def rates_of_torch(make: type[LRScheduler], **options: object) -> list[float]:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], RATE)
    schedule, rates = make(optimiser, **options), []
    for _ in range(EPOCHS * STEPS):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return rates


def rates(**changes: object) -> list[float]:
    schedule = Schedule(recipe(**changes), STEPS)
    return [schedule.rate(step) for step in range(EPOCHS * STEPS)]


def test_constant() -> None:
    assert set(rates(schedule="constant")) == {RATE}


def test_cyclic_is_a_cosine_that_starts_anew() -> None:
    wanted = rates_of_torch(CosineAnnealingWarmRestarts, T_0=2 * STEPS, eta_min=RATE / 100)
    assert rates(schedule="cyclic", schedule_options={"period": 2, "floor": 0.01}) == pytest.approx(wanted)


def test_one_cycle() -> None:
    wanted = rates_of_torch(OneCycleLR, max_lr=RATE, total_steps=EPOCHS * STEPS)
    assert rates(schedule="one-cycle") == pytest.approx(wanted)


def test_one_cycle_of_a_single_step() -> None:
    schedule = Schedule(recipe(schedule="one-cycle", epochs=1), 1)
    assert 0 < schedule.rate(0) <= RATE


def test_halve_on_plateau() -> None:
    schedule = Schedule(recipe(schedule="halve-on-plateau", schedule_options={"patience": 2}), STEPS)
    seen = []
    for loss in (1.0, 0.9, 0.95, 0.9, 0.91, 0.92, 0.8, 0.8):
        schedule.epoch_done(loss)
        seen.append(schedule.rate(0) / RATE)
    assert seen == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_a_schedule_goes_on_where_it_was() -> None:
    one = Schedule(recipe(schedule="halve-on-plateau", schedule_options={"patience": 2}), STEPS)
    for loss in (1.0, 1.1, 1.1, 1.1):
        one.epoch_done(loss)
    other = Schedule(one.recipe, STEPS)
    other.restore(one.to_dict())
    for schedule in (one, other):
        schedule.epoch_done(1.2)
    assert other == one
    assert other.rate(0) == RATE / 4


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("rmsprop", torch.optim.RMSprop),
        ("sgd", torch.optim.SGD),
    ],
)
def test_optimisers(name: str, kind: type[torch.optim.Optimizer]) -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimiser = make_optimiser(recipe(optimiser=name, weight_decay=0.1), network)
    assert type(optimiser) is kind
    decays = {
        parameter: group["weight_decay"] for group in optimiser.param_groups for parameter in group["params"]
    }
    linear, norm = network
    assert decays == {linear.weight: 0.1, linear.bias: 0.0, norm.weight: 0.0, norm.bias: 0.0}
    set_rate(optimiser, 0.25)
    assert {group["lr"] for group in optimiser.param_groups} == {0.25}


def test_nothing_to_train_is_one_line() -> None:
    with pytest.raises(TrainingError, match="every layer is frozen"):
        make_optimiser(recipe(), nn.Linear(2, 2).requires_grad_(False))
