"""What a model is measured on, and whether it may have been trained on the same clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from genretag.checkpoint import CheckpointMeta, read_meta, shipped
from genretag.datasets.base import Dataset
from genretag.datasets.registry import REGISTRY, load
from genretag.errors import SplitError
from genretag.training.examples import FeatureFile
from genretag.training.grouping import drop_listed_copies, keep_together
from genretag.training.options import TrainOptions
from genretag.training.splits import USUAL_FRACTIONS, SplitKind, SplitPlan, make_split

Part = Literal["test", "valid", "train", "all"]


@dataclass(frozen=True)
class Origin:
    """Whether a model may have been trained on what it is measured on, and what every rendering says first.

    `leak_free` is False if that is not known. `tracks_apart` and `artists_apart` say that no measured track,
    and no artist of one, was trained on; None if that is not known.
    """

    leak_free: bool
    note: str | None
    tracks_apart: bool | None = None
    artists_apart: bool | None = None


@dataclass(frozen=True, eq=False)
class Target:
    """What is measured: the clips of one part of a split, or all of them (`plan` is None then).

    `rows` are indices into the clips. `published` says that all of them are in this part by the dataset's own
    list, and so were when the model was trained, whatever else is missing here.
    """

    dataset: Dataset
    plan: SplitPlan | None
    part: Part
    rows: tuple[int, ...]

    @property
    def split(self) -> str:
        """For example "official test"."""
        return split_name(self.plan, self.part)

    @property
    def published(self) -> bool:
        clips = [self.dataset.clips[row] for row in self.rows]
        # The list of a folder is its owner's and may have changed since.
        return self.dataset.name != "folder" and all(clip.split == self.part for clip in clips)


def dataset_of(options: TrainOptions) -> Dataset:
    """The dataset that a training is asked for, with the clips that have audio or features."""
    if options.features is None:
        return load(options.dataset, options.data, variant=options.variant, task=options.task)
    return FeatureFile(
        options.features, options.dataset, options.data, variant=options.variant, task=options.task
    ).dataset


def target_of(meta: CheckpointMeta, dataset: Dataset, part: Part) -> Target:
    """The clips of `part` in the split that the model was trained with, or in the dataset's usual one.

    SplitError, in one line, where the split cannot be made or the part has no clip here.
    """
    if part == "all":
        return Target(dataset, None, part, tuple(range(len(dataset.clips))))
    try:
        plan = _split_of(meta, dataset)
    except SplitError as error:
        raise SplitError(f"{error} (--split all measures every clip)") from None
    rows = plan.parts.get(part, ())
    if not rows:
        here = {name: len(clips) for name, clips in plan.parts.items() if clips}
        there = ", ".join(f"{name} {count:,}" for name, count in here.items()) or "none"
        other = next((name for name in ("test", "valid", "train") if name in here), "all")
        raise SplitError(
            f"{dataset.name}: no clip of the {part} part of its {plan.name} split is here ({there}); "
            f"ask for what is here with --split {other}"
        )
    return Target(dataset, plan, part, rows)


def parts_here(meta: CheckpointMeta, dataset: Dataset) -> tuple[Part, ...]:
    """The test part or, where no clip of it is here, the others that are, those that were not learnt first.

    Without any clip, or without a split, it is ("test",): measuring it says what is wrong.
    """
    try:
        parts = _split_of(meta, dataset).parts
    except SplitError:
        return ("test",)
    others: tuple[Part, ...] = ("valid", "train")
    here = tuple(part for part in others if parts.get(part))
    return ("test",) if parts.get("test") or not here else here


def origin_of(
    meta: CheckpointMeta, dataset: str, plan: SplitPlan | None, part: str, *, published: bool
) -> Origin:
    """Compare what a model was trained on with what it is measured on.

    `published`: the clips are in this part by the dataset's own list.
    """
    if meta.dataset is None:
        return Origin(False, "may be inflated: the checkpoint does not say what it was trained on")
    if (base := _base_that_knows(meta, dataset)) and (plan is None or plan.name != "official"):
        trained = f"inflated: stands on {base}, which was trained on other parts of {dataset}"
        return Origin(False, trained, tracks_apart=False, artists_apart=False)
    if meta.dataset.split(":")[0] != dataset:
        unknown = f"whether recordings of {dataset} are among them is not known"
        return Origin(False, f"may be inflated: trained on {meta.dataset}; {unknown}")
    if plan is None or part == "train":
        trained = "inflated: measured on clips that the model was trained on"
        return Origin(False, trained, tracks_apart=False, artists_apart=False)
    if meta.split_hash is None:
        unknown = f"may be inflated: the checkpoint does not say which clips of {dataset} trained it"
        return Origin(False, unknown)
    same_lists = published and plan.name == meta.split == "official"
    if plan.hash != meta.split_hash and not same_lists:
        return Origin(
            False,
            "may be inflated: the split here is not the one that the model was trained with (other clips, "
            "another variant or version of the data), so that it may have been trained on these clips",
        )
    facts = [] if plan.leak_free else [plan.reason]
    chosen = _chosen_by_valid(meta) if part == "valid" else ""
    if chosen:
        facts.append(f"the valid part also chose {chosen}, so that its figure is too good")
    leak_free = plan.leak_free and "tuning" not in chosen
    return Origin(leak_free, "; ".join(facts) or None, *plan.apart.get(part, (None, None)))


def _base_that_knows(meta: CheckpointMeta, dataset: str) -> str | None:
    """The shipped model that this one is made from, if it was trained on the dataset.

    Its own training kept to the official split, so that it knows nothing of that split's test part.
    """
    ours = shipped()
    for name in (meta.config.get("base"), meta.extra.get("beginning")):
        if isinstance(name, str) and name in ours and read_meta(ours[name]).dataset == dataset:
            return name
    return None


def _chosen_by_valid(meta: CheckpointMeta) -> str:
    """What the valid part decided when the model was made; "" if nothing."""
    if "tuning" in meta.extra:
        return "among the trials of tuning"
    chosen = ["the epoch"] if "epoch" in meta.extra else []
    by_valid = bool(meta.thresholds) and not meta.extra.get("inner_folds")
    return " and ".join(chosen + ["the thresholds"] * by_valid)


def full_name(dataset: str, variant: str | None) -> str:
    """The dataset, with its variant where that is not the usual one."""
    known = REGISTRY.get(dataset)
    usual = next(iter(known.info.variants)) if known else None
    return dataset if variant in (None, usual) else f"{dataset}:{variant}"


def split_name(plan: SplitPlan | None, part: str) -> str:
    return "all" if plan is None else f"{plan.name} {part}"


def _split_of(meta: CheckpointMeta, dataset: Dataset) -> SplitPlan:
    """An official split is taken as far as its clips are here, be it without a train part."""
    kind: SplitKind | None = next((kind for kind in get_args(SplitKind) if kind == meta.split), None)
    if kind is None or meta.dataset is None or meta.dataset.split(":")[0] != dataset.name:
        return make_split(dataset, partial=True)
    recipe = meta.extra.get("split")
    known: dict[str, Any] = dict(recipe) if isinstance(recipe, dict) else {}
    train, valid, test = known.get("fractions") or USUAL_FRACTIONS
    copies = known.get("copies") or ()
    if kind == "official":
        dataset = drop_listed_copies(dataset, copies)
    return make_split(
        keep_together(dataset, copies),
        kind,
        seed=known.get("seed", meta.seed or 0),
        fractions=(train, valid, test),
        folds=known.get("folds"),
        fold=known.get("fold", 0),
        partial=True,
    )
