"""Whether several processes learn what one learns: the loss curve of every preset, side by side.

    OMP_NUM_THREADS=1 python -m benchmarks.processes --model gru cnn musicnn --processes 2

Each preset trains on made-up windows of its own shape with its own recipe, in steps that cannot be shared out
evenly: in one process, by torchrun in several, in several whose batch-norm and dropout know only their own
windows, in one process with every weight changed in its last bit before the first step, and in one with
another seed. Prints how far each curve is from the first, as a share of the loss: the largest difference over
all epochs, of the training loss and of the loss of the valid windows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.tagging_report import table
from genretag.datasets.base import PARTS, Clip, Dataset
from genretag.labels import LabelSet
from genretag.models import registry
from genretag.models.records import Recipe
from genretag.models.standardise import measure
from genretag.training.distributed import World, joined
from genretag.training.examples import Examples, Parts
from genretag.training.loop import LoopSettings, fit_network
from genretag.training.prepare import usual_augmentation
from genretag.training.splits import make_split
from genretag.training.whole_step import whole_step
from genretag.training.windows import ArrayWindows

LABELS = ("blues", "jazz", "rock", "soul")
Curve = list[list[float]]
"""Training loss and loss of the valid windows of every epoch."""


def made_up(shape: tuple[int, ...], windows: int, kind: str) -> Parts:
    """Windows, two a track, that tell labels apart somewhat; a third as many to validate on."""
    draw = np.random.default_rng(0)
    labels = LabelSet(LABELS, "multi" if kind == "multi" else "single")
    means = draw.normal(size=(len(LABELS), *shape)).astype(np.float32)

    def some(count: int) -> Examples:
        track = np.arange(count) // 2
        truth = (draw.random((track[-1] + 1, len(LABELS))) < 0.4).astype(np.float32)
        single = draw.integers(0, len(LABELS), len(truth))
        shares = truth if kind == "multi" else np.eye(len(LABELS), dtype=np.float32)[single]
        noise = draw.normal(size=(count, *shape)).astype(np.float32)
        return Examples(
            windows=ArrayWindows(0.3 * np.tensordot(shares[track], means, 1) + noise, np.arange(count)),
            shape=shape,
            track=track,
            ids=tuple(map(str, range(len(truth)))),
            targets=truth if kind == "multi" else single.astype(np.int64),
            labels=labels,
            number=np.arange(count) % 2,
        )

    clips = tuple(
        Clip(name, None, (label,), name, name, part)
        for label in LABELS
        for part in PARTS
        for name in [f"{label} {part}"]
    )
    dataset = Dataset("made-up", None, None, clips, labels, "listed", True, (), ())
    return Parts(some(windows), some(windows // 3), None, make_split(dataset, "official"), "made-up", None)


class Doubled(nn.Module):
    """A network that computes in double precision."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.network(features.double())
        return logits


class Apart(World):
    """A world whose processes know nothing of each other's windows within a step."""

    @property
    def shares_whole_steps(self) -> bool:
        return False


def train(
    name: str, world: World, settings: argparse.Namespace, *, seed: int = 0, nudge: bool = False
) -> Curve:
    """The loss curve of one preset; `nudge` changes the weights that it begins with in their last bit."""
    preset = registry.preset(name)
    assert isinstance(preset.recipe, Recipe)
    recipe = replace(preset.recipe, epochs=settings.epochs, batch_size=settings.batch, patience=None)
    if settings.augment:
        recipe = replace(recipe, augmentation=usual_augmentation(preset.features))
    parts = made_up(preset.features.shape, settings.windows, settings.kind)
    torch.manual_seed(0)
    network = registry.build(name, settings.config.get(name, {}), len(LABELS))
    measure(network, [torch.from_numpy(parts.train.windows.gather(np.arange(settings.windows)))])
    if nudge:
        with torch.no_grad():
            for weights in network.parameters():
                weights.copy_(torch.nextafter(weights, torch.full_like(weights, torch.inf)))
    trained = Doubled(network) if settings.double else network
    history = fit_network(trained, parts, recipe, LoopSettings(world, seed=seed))
    return [[row.train_loss, row.valid_loss or 0.0] for row in history.epochs]


def gradient(name: str, world: World, settings: argparse.Namespace) -> NDArray[np.float64]:
    """The gradient of one step over `settings.batch` windows in double precision, one number a weight."""
    preset = registry.preset(name)
    parts = made_up(preset.features.shape, settings.batch, "multi")
    torch.manual_seed(0)
    network = registry.build(name, settings.config.get(name, {}), len(LABELS)).double().train()
    mine = np.arange(settings.batch)[world.rank :: world.size]
    truth = torch.from_numpy(parts.train.targets[parts.train.track[mine]]).double()
    wrapped = world.wrap(network)
    with whole_step(network, world, settings.batch):
        logits = wrapped(torch.from_numpy(parts.train.windows.gather(mine)).double())
    loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="sum")
    torch.autograd.backward(loss * world.size / settings.batch)
    found = [weights.grad.flatten() for weights in network.parameters() if weights.grad is not None]
    return torch.cat(found).numpy()


def work(settings: argparse.Namespace) -> None:
    """What each process does; the one that leads writes what came out for every preset."""
    torch.set_num_threads(1)
    curves: dict[str, list[Curve]] = {}
    gradients: dict[str, NDArray[np.float64]] = {}
    with joined("cpu") as world:
        for name in settings.model:
            gradients[name] = gradient(name, world, settings)
            curves[name] = [train(name, world, settings)]
            if world.size == 1:
                curves[name].append(train(name, world, settings, nudge=True))
                curves[name].append(train(name, world, settings, seed=1))
            else:
                curves[name].append(train(name, Apart(world.device, world.rank, world.size), settings))
        if world.leads:
            settings.worker.write_text(json.dumps(curves))
            np.savez(settings.worker.with_suffix(".npz"), **gradients)


def run(processes: int, place: Path, given: Sequence[str]) -> tuple[Any, Any]:
    """Curves and gradients of every preset in so many processes."""
    answer = place / f"{processes}.json"
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    launcher = several if processes > 1 else []
    command = [sys.executable, *launcher, "-m", "benchmarks.processes", *given, "--worker", str(answer)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{processes} processes answered {done.returncode}: {done.stderr.strip()[-2000:]}")
    return json.loads(answer.read_text()), np.load(answer.with_suffix(".npz"))


def distance(one: Curve, other: Curve) -> float:
    """The largest difference of two curves as a share of the first."""
    first, second = np.array(one), np.array(other)
    return float((np.abs(second - first) / np.abs(first)).max())


def compare(settings: argparse.Namespace, given: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each preset."""
    with tempfile.TemporaryDirectory() as place:
        alone, single = run(1, Path(place), given)
        shared, several = run(settings.processes, Path(place), given)
    return [
        {
            "preset": name,
            "gradient": float(np.linalg.norm(several[name] - single[name]) / np.linalg.norm(single[name])),
            "losses": [losses[0] for losses in alone[name][0]],
            "shared": distance(alone[name][0], shared[name][0]),
            "apart": distance(alone[name][0], shared[name][1]),
            "last bit": distance(alone[name][0], alone[name][1]),
            "seed": distance(alone[name][0], alone[name][2]),
        }
        for name in settings.model
    ]


def settings_of(arguments: Sequence[str]) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", nargs="+", default=["mlp", "gru", "cnn", "musicnn"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--windows", type=int, default=44)
    parser.add_argument("--batch", type=int, default=12, help="windows in a step, over all processes")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--kind", choices=("single", "multi"), default="single")
    parser.add_argument("--augment", action="store_true", help="the augmentation of `train --augment`")
    parser.add_argument("--double", action="store_true", help="networks in double precision")
    parser.add_argument("--config", type=json.loads, default={}, help="JSON: options of networks, by preset")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    settings = settings_of(given)
    if settings.worker is not None:
        work(settings)
        return
    rows = compare(settings, given)
    head = [
        "preset",
        "gradient",
        "loss, first to last epoch",
        f"{settings.processes} processes",
        "each on its own",
    ]
    print(
        table(
            [*head, "last bit of the weights", "another seed"],
            [
                [
                    f"`{row['preset']}`",
                    f"{row['gradient']:.1e}",
                    f"{row['losses'][0]:.3f} → {row['losses'][-1]:.3f}",
                    *(f"{row[way]:.1e}" for way in ("shared", "apart", "last bit", "seed")),
                ]
                for row in rows
            ],
        )
    )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
