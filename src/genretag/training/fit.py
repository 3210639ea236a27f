"""Last layers fitted by scikit-learn on the rows of a frozen network; what is kept of them are tensors."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from genretag.errors import TrainingError
from genretag.labels import LabelSet
from genretag.models.records import Fit
from genretag.training.batches import truth_of
from genretag.training.discriminant import BlendedDiscriminant
from genretag.training.distributed import World
from genretag.training.examples import Examples
from genretag.training.forward import by_track, of_tracks, rows_of
from genretag.training.grouping import cut_folds
from genretag.training.shifts import moved, read_shifts

FOLDS = 5
# scikit-learn's names of what a Fit calls otherwise, and the heads that have it.
_PARAMETERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "c": ("C", ("svm-rbf", "svm-linear", "linear")),
    "gamma": ("gamma", ("svm-rbf",)),
    "alpha": ("alpha", ("mlp",)),
}
# Of the MLP head in the FMA report that `presets` names.
_MLP = {"batch_size": 32, "learning_rate_init": 1e-4, "max_iter": 200, "early_stopping": True}
# With scikit-learn's own tolerance, weights are still on their way in the second digit.
_LINEAR: Mapping[str, Any] = {"max_iter": 5000, "tol": 1e-6}


@dataclass(frozen=True)
class Search:
    """What a grid search found: the best values, their cross-validated score, and how much was tried."""

    chosen: Mapping[str, float]
    score: float
    settings: int
    folds: int


def fit_classical(
    network: nn.Module,
    train: Examples,
    recipe: Fit,
    config: Mapping[str, Any],
    world: World,
    *,
    seed: int = 0,
    search: bool = False,
) -> Search | None:
    """Fit the decision of a network (FittedModel or Probe) to the train part.

    With `search`, values of the recipe's grid are tried by cross-validation whose folds keep the groups of
    the examples (artists) together, and the best ones taken: by accuracy, or by mean ROC-AUC of tags. The
    part may hold features, or the rows that the network makes of them. TrainingError where a single label has
    no example.
    """
    lesson = _lesson(network, train, recipe, world, seed)
    single = train.labels.kind == "single"
    missing = np.flatnonzero(~np.any(lesson.truth, axis=0))
    if single and len(missing):
        name = train.labels.names[missing[0]]
        raise TrainingError(f"no clip of the train part is {name!r}, so it cannot be learnt")
    found = None
    with tempfile.TemporaryDirectory(prefix="genretag-") as memory, _quiet():
        pipeline = _pipeline(recipe, config, train.labels, seed, memory if search else None)
        if lesson.weights is not None and isinstance(pipeline["classifier"], MLPClassifier):
            raise TrainingError(
                "scikit-learn's MLP takes no weights; give --no-class-weights and --set artist_exponent=0"
            )
        if search:
            pipeline, found = _searched(pipeline, recipe, config, train.labels, lesson, seed)
        else:
            pipeline.fit(lesson.rows, lesson.wanted, **lesson.more)
        adopt: Any = network.adopt
        adopt(pipeline)
    return found


@dataclass(frozen=True, eq=False)
class _Lesson:
    """What scikit-learn learns from, each with a first axis of rows: windows or tracks.

    `truth` (rows, labels); `groups` (rows,) belong together; `weights` (rows,) or None where all are equal.
    """

    rows: NDArray[np.floating]
    truth: NDArray[np.float32]
    groups: NDArray[np.int64]
    weights: NDArray[np.float64] | None
    single: bool

    @property
    def wanted(self) -> NDArray[np.int64]:
        return self.truth.argmax(axis=1) if self.single else self.truth.astype(np.int64)

    @property
    def more(self) -> dict[str, Any]:
        """What a pipeline is to be given beside rows and truth."""
        return {} if self.weights is None else {"classifier__sample_weight": self.weights}


def _lesson(network: nn.Module, train: Examples, recipe: Fit, world: World, seed: int) -> _Lesson:
    given: Any = network
    rows: NDArray[np.floating] = rows_of(network, train, world)
    own, share = train.track, np.ones(len(train.track))
    if hasattr(network, "track") and given.statistics:
        rows = of_tracks(network, lambda part: given.summary(part.unsqueeze(0))[0], rows, train, world)
        own = np.unique(train.track)
        share = np.ones(len(own))
    elif hasattr(network, "track"):
        windows = [mine[:: recipe.window_step] for mine in by_track(train)]
        chosen = np.concatenate(windows)
        heard: NDArray[np.float64] = given.heard(torch.from_numpy(rows[chosen]).double()).numpy()
        own = train.track[chosen]
        share = np.repeat([1 / len(mine) for mine in windows], [len(mine) for mine in windows])
        rows = heard
        if recipe.shifts:
            shifts = read_shifts(Path(recipe.shifts), heard.shape[1]).of(train.ids)
            copies = [moved(heard, own, shifts, seed + number) for number in range(recipe.shifted)]
            rows = np.concatenate([heard, *copies])
            own, share = np.tile(own, len(copies) + 1), np.tile(share, len(copies) + 1) / (len(copies) + 1)
    groups = np.arange(len(train.ids)) if train.groups is None else train.groups
    single = train.labels.kind == "single"
    weights = _weights(recipe, train.targets[own], groups[own], own, share) if single else None
    return _Lesson(rows, truth_of(train)[own], groups[own], weights, single)


def _weights(
    recipe: Fit,
    labels: NDArray[Any],
    groups: NDArray[np.int64],
    own: NDArray[np.int64],
    share: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    """Weights of rows with single `labels`, of the tracks `own`, each row a `share` of what a track counts.

    They add up to what the shares add up to. None where all are 1.
    """
    _, first = np.unique(own, return_index=True)
    known, artist = np.unique(groups, return_inverse=True)
    clips = np.bincount(artist[first], minlength=len(known))
    weights = clips[artist] ** -recipe.artist_exponent * share
    if recipe.class_weights:
        weights /= np.bincount(labels, weights)[labels]
    weights *= share.sum() / weights.sum()
    return None if np.allclose(weights, 1.0) else weights


def _pipeline(
    recipe: Fit, config: Mapping[str, Any], labels: LabelSet, seed: int, memory: str | None
) -> Pipeline:
    # Of a single label, weights of rows do what class weights do.
    weights = "balanced" if recipe.class_weights and labels.kind == "multi" else None
    classifier = _classifier(recipe, config, weights, seed, single=labels.kind == "single")
    if labels.kind == "multi" and not isinstance(classifier, MLPClassifier):
        classifier = OneVsRestClassifier(classifier)
    steps: list[tuple[str, Any]] = [("scaler", StandardScaler())]
    if config["pca"]:
        steps.append(("pca", PCA(recipe.variance, svd_solver="full")))
    return Pipeline([*steps, ("classifier", classifier)], memory=memory)


def _classifier(
    recipe: Fit, config: Mapping[str, Any], weights: str | None, seed: int, *, single: bool
) -> Any:
    match config["head"]:
        case "svm-rbf":
            gamma = "auto" if recipe.gamma is None else recipe.gamma
            return SVC(C=recipe.c, gamma=gamma, class_weight=weights)
        case "svm-linear":
            return SVC(C=recipe.c, kernel="linear", class_weight=weights)
        case "linear" if single and recipe.discriminant:
            return BlendedDiscriminant(recipe.discriminant, recipe.shrinkage, recipe.c, **_LINEAR)
        case "linear":
            return LogisticRegression(C=recipe.c, class_weight=weights, **_LINEAR)
    if weights:
        raise TrainingError("scikit-learn's MLP takes no weights; give --no-class-weights")
    return MLPClassifier(tuple(config["hidden"]), alpha=recipe.alpha, random_state=seed, **_MLP)


def _searched(
    pipeline: Pipeline,
    recipe: Fit,
    config: Mapping[str, Any],
    labels: LabelSet,
    lesson: _Lesson,
    seed: int,
) -> tuple[Pipeline, Search]:
    """The pipeline of the best values of the grid, fitted to all rows."""
    nested = "classifier__estimator__" if hasattr(pipeline["classifier"], "estimator") else "classifier__"
    names = {
        name: nested + _PARAMETERS[name][0] for name in recipe.grid if config["head"] in _PARAMETERS[name][1]
    }
    if not names:
        raise TrainingError(f"the grid has no values for the head {config['head']!r}; leave out --grid")
    groups = lesson.groups
    folds = cut_folds(strata_of_truth(lesson.truth), groups, min(FOLDS, len(np.unique(groups))), seed)
    grid = GridSearchCV(
        pipeline,
        {names[name]: list(recipe.grid[name]) for name in names},
        scoring="accuracy" if labels.kind == "single" else _mean_roc_auc,
        cv=[(np.flatnonzero(~fold), np.flatnonzero(fold)) for fold in folds],
        error_score="raise",
    )
    grid.fit(lesson.rows, lesson.wanted, **lesson.more)
    chosen = {name: grid.best_params_[names[name]] for name in names}
    return grid.best_estimator_, Search(
        chosen, float(grid.best_score_), len(grid.cv_results_["params"]), len(folds)
    )


def strata_of_truth(truth: NDArray[np.float32]) -> NDArray[np.int64]:
    """The label of each row or, of several, the rarest; rows without one are the last stratum."""
    rarity = np.where(truth > 0, -truth.sum(axis=0), -np.inf)
    strata: NDArray[np.int64] = np.where(truth.any(axis=1), rarity.argmax(axis=1), truth.shape[1])
    return strata


def _mean_roc_auc(pipeline: Pipeline, rows: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Mean over the tags that have both answers among these rows."""
    if hasattr(pipeline, "decision_function"):
        scores = pipeline.decision_function(rows)
    else:
        scores = pipeline.predict_proba(rows)
    both = [tag for tag, column in enumerate(truth.T) if 0 < column.sum() < len(column)]
    return float(np.mean([roc_auc_score(truth[:, tag], scores[:, tag]) for tag in both])) if both else 0.5


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # The MLP's iterations are limited on purpose; tags that no row carries are expected of rare ones.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="Label .* is present in|Got `batch_size`")
        yield
