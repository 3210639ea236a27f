"""From what was asked for to what is trained: the preset with its options applied, and the data for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from genretag.audio.features import FeatureSpec, table_features
from genretag.datasets.base import Dataset
from genretag.datasets.registry import load
from genretag.errors import FeatureError, ModelError, TrainingError
from genretag.labels import LabelSet
from genretag.models.records import Fit, Preset, Recipe
from genretag.models.registry import build, configured, is_track_model, preset
from genretag.predict.engine import EngineOptions
from genretag.training import variants
from genretag.training.augment import Augmentation
from genretag.training.cache import Frozen
from genretag.training.copies import find_copies, name_conflicts
from genretag.training.distributed import World
from genretag.training.examples import Parts, load_parts, parts_from_file
from genretag.training.grouping import drop_listed_copies, keep_together
from genretag.training.history import Watcher
from genretag.training.options import TrainOptions
from genretag.training.splits import make_split
from genretag.training.transfer import probe_base

# Windows without an order in time, of which no later window can be cut.
_TIMELESS = ("table", "fma-statistics")
_TOO_MUCH = 1e30  # for the single precision of the optimisers


@dataclass(frozen=True)
class Blueprint:
    """A preset with its configuration, recipe and features as the options leave them."""

    preset: Preset
    config: Mapping[str, Any]
    recipe: Recipe | Fit
    features: FeatureSpec

    def build(self, labels: int) -> nn.Module:
        return build(self.preset.name, self.config, labels, self.features)


@dataclass(frozen=True)
class Data:
    """A dataset as the windows of one split, or of one for each fold.

    `parts` gives those of a split by its number; a `Frozen` network's answers may stand in for the features.
    """

    labels: LabelSet
    splits: int
    parts: Callable[[int, Frozen | None], Parts]


def blueprint(options: TrainOptions) -> Blueprint:
    """What the options make of their preset; ModelError or TrainingError for what it does not know."""
    chosen = preset(options.model)
    given = {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "class_weights": options.class_weights,
    }
    values = {**options.values, **{name: value for name, value in given.items() if value is not None}}
    config, recipe = configured(chosen.name, values)
    features = chosen.features
    if is_track_model(chosen.name):
        config, features = probe_base(config, features, options.init)
    if isinstance(recipe, Recipe):
        recipe = _with_options(recipe, features, options)
    elif recipe.window_step < 1:
        raise TrainingError(f"window_step {recipe.window_step}: give a whole number from 1 up")
    elif options.augment or options.patience is not None:
        raise TrainingError(f"{chosen.name} is fitted, not trained; leave out --augment and --patience")
    plan = Blueprint(chosen, config, recipe, features)
    with torch.device("meta"):
        plan.build(2)  # what cannot be built is to be known before hours of work on the data
    return plan


def _with_options(recipe: Recipe, features: FeatureSpec, options: TrainOptions) -> Recipe:
    """The recipe as the options that are not fields of it leave it; TrainingError for what makes no sense."""
    if options.inner_folds is not None:
        raise TrainingError(f"{options.model} is trained by gradient; leave out --inner-folds")
    if options.grid:
        raise TrainingError(f"{options.model} is trained by gradient and has no grid; see genretag tune")
    if options.patience is not None:
        recipe = replace(recipe, patience=options.patience or None)
    if options.augment is False:
        recipe = replace(recipe, augmentation={})
    elif options.augment and not recipe.augmentation:
        recipe = replace(recipe, augmentation=usual_augmentation(features))
    numbers = {"--epochs": recipe.epochs, "--batch-size": recipe.batch_size, "--lr": recipe.learning_rate}
    for option, value in numbers.items():
        if not isinstance(value, int | float) or not 0 < value < _TOO_MUCH:
            raise TrainingError(f"{option} {value}: give a number above 0 and below {_TOO_MUCH:g}")
    return recipe


def usual_augmentation(features: FeatureSpec) -> dict[str, dict[str, float]]:
    """What --augment stands for where a preset has no augmentation of its own."""
    found: dict[str, dict[str, float]] = {"mixup": {"alpha": 0.2}}
    if features.kind not in _TIMELESS:
        found["random-crop"] = {}
    if len(features.shape) == 2:
        frames, bands = features.shape
        found["spec-augment"] = {"frequency": bands // 5, "time": frames // 10}
    return found


def open_data(
    options: TrainOptions, plan: Blueprint, world: World, watcher: Watcher
) -> tuple[Data, Blueprint]:
    """The dataset, and the blueprint with the features that its windows are and the kind of its labels."""
    data, plan = (_audio if options.features is None else _file)(options, plan, world, watcher)
    if is_track_model(plan.preset.name):
        plan = replace(plan, config={**plan.config, "kind": data.labels.kind})
    recipe = plan.recipe
    if (
        isinstance(recipe, Recipe)
        and Augmentation(recipe.augmentation).crops
        and plan.features.kind in _TIMELESS
    ):
        raise TrainingError(
            f"random-crop needs windows of frames, and these are of kind {plan.features.kind}"
        )
    return data, plan


def _audio(options: TrainOptions, plan: Blueprint, world: World, watcher: Watcher) -> tuple[Data, Blueprint]:
    """Windows from the dataset's audio, through the feature cache."""
    dataset = load(options.dataset, options.data, variant=options.variant, task=options.task)
    for note in dataset.notes:
        watcher.news(note)
    dataset, same = _recordings(dataset, options, world, watcher)
    splits = [
        replace(
            make_split(
                dataset,
                options.split,
                seed=options.seed,
                fractions=options.shares,
                folds=options.folds,
                fold=number,
            ),
            copies=same,
        )
        for number in range(options.folds or 1)
    ]
    asked = plan.recipe.augmentation if isinstance(plan.recipe, Recipe) else {}
    kinds = [kind for kind in variants.KINDS if kind in asked]
    copies = max((int(asked[kind].get("copies", 1)) for kind in kinds), default=0)

    def parts(number: int, frozen: Frozen | None) -> Parts:
        with world.leader_first():
            return load_parts(
                dataset,
                splits[number],
                plan.features,
                workers=options.workers,
                device=str(world.device),
                quiet=options.quiet or not world.leads,
                variants=variants.variants(kinds, copies, options.seed),
                frozen=frozen,
                warn=watcher.warns,
            )

    return Data(dataset.labels, len(splits), parts), plan


def _recordings(
    dataset: Dataset, options: TrainOptions, world: World, watcher: Watcher
) -> tuple[Dataset, tuple[tuple[str, ...], ...]]:
    """Make one track of the copies of a recording, which a user's own folder may hold.

    Published datasets come with their own splits, and a split by segment does not keep tracks together.
    """
    if dataset.name != "folder" or options.split == "segment":
        return dataset, ()
    engine = EngineOptions(device=str(world.device), workers=options.workers)
    with world.leader_first():
        copies, conflicts = find_copies(dataset, engine, quiet=options.quiet or not world.leads)
    if copies:
        count = sum(map(len, copies))
        watcher.news(f"{count:,} files hold {len(copies):,} recordings; copies stay together in the split")
    if conflicts and dataset.labels.kind == "single":
        watcher.warns(name_conflicts(conflicts, "kept"))
    if dataset.official and options.folds is None and options.split in (None, "official"):
        listed, dataset = dataset, drop_listed_copies(dataset, copies)
        dropped = [old.id for old, new in zip(listed.clips, dataset.clips, strict=True) if old != new]
        if dropped:
            more = f" and {len(dropped) - 3:,} more" if len(dropped) > 3 else ""
            watcher.warns(
                f"left out, for they are copies of files in a stricter part of the split (test before valid "
                f"before train): {', '.join(dropped[:3])}{more}"
            )
    return keep_together(dataset, copies), copies


def _file(options: TrainOptions, plan: Blueprint, world: World, watcher: Watcher) -> tuple[Data, Blueprint]:
    """Windows from a features file: of the preset's shape, or any table that it takes."""
    path = options.features
    assert path is not None

    def read(shape: tuple[int, ...] | None) -> tuple[Parts, ...]:
        return parts_from_file(
            path,
            options.dataset,
            options.data,
            kind=options.split,
            seed=options.seed,
            fractions=options.shares,
            folds=options.folds,
            shape=shape,
            variant=options.variant,
            task=options.task,
        )

    try:
        found = read(_rows_shape(plan) or plan.features.shape)
    except FeatureError:
        if not takes_tables(plan):
            raise
        found = read(None)
        if len(found[0].train.shape) != 1:
            raise
        plan = replace(plan, features=table_features(found[0].train.shape[0]))
    return Data(found[0].train.labels, len(found), lambda number, _frozen: found[number]), plan


def _rows_shape(plan: Blueprint) -> tuple[int, ...] | None:
    """Shape of what the head of a track model takes of a window; None for other models."""
    if not is_track_model(plan.preset.name):
        return None
    with torch.device("meta"):
        network: Any = plan.build(2)
    return (int(network.width),)


def takes_tables(plan: Blueprint) -> bool:
    """Whether a preset can be trained on rows of any numbers, whatever they stand for."""
    try:
        with torch.device("meta"):
            network: Any = replace(plan, features=table_features(7)).build(2)
            network.embed(torch.zeros(2, 7))
    except (ModelError, AttributeError, RuntimeError, ValueError, IndexError):
        return False
    return True
