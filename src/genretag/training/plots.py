"""Figures of an evaluation for a paper: one column wide, readable in print and by colour-blind eyes."""

from __future__ import annotations

import csv
import io
import itertools
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from genretag.errors import TrainingError
from genretag.training.bootstrap import Floats
from genretag.training.calibration import coverage, held, reliability
from genretag.training.compare import Comparison
from genretag.training.metrics import Bools, Evaluation
from genretag.training.tables import SCORES, percent, printable, row_names

COLUMN = 3.35  # inches: one column of a two-column page
PAGE = 7.0  # inches: both columns
MOST_LABELS = 60  # rows of readable names that fit one figure
LONGEST_NAME = 28
MOST_COUNTS = 24  # labels up to which a cell of the confusion matrix holds its number
# Okabe and Ito (2008), "Color universal design": told apart by colour-blind readers.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#7F7F7F"
# Columns of history.csv by how they end: shares from 0 to 1.
_SCORE_ENDINGS = ("accuracy", "f1", "auc")
STYLE = {
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "savefig.dpi": 300,
    # Labels are names, not formulas: "R$B" stays as it is.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Plot:
    """A PNG picture of 300 dots an inch, its name without suffix, and the caption that belongs below it."""

    name: str
    caption: str
    png: bytes


def evaluation_plots(evaluation: Evaluation, history: Path | None = None) -> list[Plot]:
    """Every figure that applies; `history` is the history.csv of the run that trained the model.

    Raises TrainingError where `history` cannot be read.
    """
    figures: list[Callable[[Evaluation], Plot | None]]
    if evaluation.labels.kind == "multi":
        figures = [_tags, _roc, _precision_recall, _reliability]
    else:
        figures = [_confusion, _classes, _reliability, _coverage]
    with style.context(["default", STYLE]):
        learning = [] if history is None else [_learning(evaluation, history)]
        found = [figure(evaluation) for figure in figures]
    return [*(plot for plot in found if plot is not None), *learning]


def comparison_plot(comparison: Comparison) -> Plot:
    """Track scores of all evaluations with their intervals."""
    with style.context(["default", STYLE]):
        return _forest(comparison)


def _figure(height: float, said: Sequence[str], width: float = COLUMN) -> Figure:
    """An empty figure, above which stands why its scores are inflated: pictures travel without their page."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if said:
        lines = [textwrap.fill(printable(line), int(22 * width)) for line in said]
        figure.suptitle("\n".join(lines), fontsize=6, color=RED)
    return figure


def _leaks(*evaluations: Evaluation) -> list[str]:
    """The notes of those whose split leaks, each once."""
    return list(dict.fromkeys(e.note for e in evaluations if e.note and not e.leak_free))


def _name(label: str) -> str:
    """A label that leaves room for the figure."""
    shown = printable(label)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"


def _plot(name: str, caption: str, figure: Figure) -> Plot:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Plot(name, caption, buffer.getvalue())


def _measured(evaluation: Evaluation, score: str = "accuracy") -> str:
    """For captions: what was measured, n, and the score with its interval."""
    value, ci = getattr(evaluation.track, score), getattr(evaluation.track, f"{score}_ci")
    return (
        f"{evaluation.model} on {evaluation.dataset}, split {evaluation.split}, n = {evaluation.track.n:,} "
        f"tracks; {SCORES[score]} {percent(value, evaluation)} %, 95 % interval "
        f"{percent(ci[0], evaluation)} to {percent(ci[1], evaluation)} %."
    )


def _percent_axes(axes: Axes, across: str | None = None, up: str | None = None) -> None:
    if across is not None:
        axes.set(xlim=(0, 100), xlabel=f"{across} (%)")
    if up is not None:
        axes.set(ylim=(0, 100), ylabel=f"{up} (%)")


def _confusion(evaluation: Evaluation) -> Plot | None:
    confusion = evaluation.confusion
    if confusion is None or len(confusion.labels) > MOST_LABELS:
        return None
    counts = np.array(confusion.matrix)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(confusion.labels)
    width = float(np.clip(1.0 + 0.16 * size, COLUMN, PAGE))
    figure = _figure(0.88 * width, _leaks(evaluation), width)
    axes = figure.add_subplot()
    image = axes.imshow(100 * share, cmap="Blues", vmin=0, vmax=100)
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    names = [_name(label) for label in confusion.labels]
    axes.set_xticks(range(size), names, **(slanted if size <= 12 else {"rotation": 90}))
    axes.set_yticks(range(size), names)
    axes.set(xlabel="label given", ylabel="true label")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for row, column in np.argwhere(counts) if size <= MOST_COUNTS else ():
        colour = "white" if share[row, column] > 0.55 else "black"
        axes.text(column, row, counts[row, column], ha="center", va="center", color=colour, size=6)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true label (%)")
    bar.outline.set_visible(False)
    shades = "Shades are shares of the true label" + (", numbers are tracks." if size <= MOST_COUNTS else ".")
    return _plot("confusion", f"Confusion matrix: {_measured(evaluation)} {shades}", figure)


def _classes(evaluation: Evaluation) -> Plot:
    ranked = _ranked(evaluation, "f1")
    figure, axes = _label_figure(evaluation, ranked)
    place = np.arange(len(ranked))
    for name, offset, colour in (("precision", -0.2, BLUE), ("recall", 0.2, ORANGE)):
        axes.barh(place + offset, _values(evaluation, ranked, name), 0.36, color=colour, label=name)
    f1 = _values(evaluation, ranked, "f1")
    axes.plot(f1, place, "D", color="black", markersize=2.5, label="F1", clip_on=False)
    _percent_axes(axes, across="score")
    figure.legend(loc="outside lower center", ncols=3)
    measured = _measured(evaluation, "macro_f1") + _shown(evaluation, ranked)
    return _plot("labels", f"Precision, recall and F1 of each label: {measured}", figure)


def _tags(evaluation: Evaluation) -> Plot:
    ranked = _ranked(evaluation, "pr_auc")
    figure, axes = _label_figure(evaluation, ranked)
    place = np.arange(len(ranked))
    axes.hlines(place, 0, 100, color="0.9", linewidth=0.4, zorder=0)
    density = [100 * evaluation.per_class[name].n / evaluation.track.n for name in ranked]
    for score, marker, colour in (("roc_auc", "o", BLUE), ("pr_auc", "s", RED)):
        values = _values(evaluation, ranked, score)
        axes.plot(values, place, marker, color=colour, markersize=3, label=SCORES[score], clip_on=False)
    axes.plot(density, place, "|", color="black", markersize=5, label="tag density (PR-AUC of guessing)")
    _percent_axes(axes, across="score")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=0.8, handletextpad=0.2)
    measured = _measured(evaluation, "pr_auc") + _shown(evaluation, ranked)
    return _plot("labels", f"ROC-AUC and PR-AUC of each tag: {measured}", figure)


def _ranked(evaluation: Evaluation, score: str) -> list[str]:
    """Labels that have the score, best first; of too many, as many of the best as of the worst."""
    known = [name for name, one in evaluation.per_class.items() if getattr(one, score) is not None]
    known.sort(key=lambda name: -getattr(evaluation.per_class[name], score))
    half = MOST_LABELS // 2
    return known if len(known) <= MOST_LABELS else [*known[:half], *known[-half:]]


def _shown(evaluation: Evaluation, ranked: Sequence[str]) -> str:
    known = len(evaluation.labels) - len(evaluation.absent)
    return "" if len(ranked) == known else f" The best and the worst {len(ranked) // 2} of {known} labels."


def _values(evaluation: Evaluation, names: Sequence[str], score: str) -> list[float]:
    values = [getattr(evaluation.per_class[name], score) for name in names]
    return [math.nan if value is None else 100 * value for value in values]


def _label_figure(evaluation: Evaluation, names: Sequence[str]) -> tuple[Figure, Axes]:
    """Axes with one row a label, the first on top."""
    figure = _figure(0.75 + 0.14 * len(names) * (1.6 if len(names) <= 20 else 1), _leaks(evaluation))
    axes = figure.add_subplot()
    axes.set_yticks(
        range(len(names)), [f"{_name(name)} ({evaluation.per_class[name].n:,})" for name in names]
    )
    axes.set(ylim=(len(names) - 0.4, -0.6), ylabel="label (tracks)")
    axes.tick_params(axis="y", length=0)
    return figure, axes


def _roc(evaluation: Evaluation) -> Plot | None:
    if evaluation.track.roc_auc is None:
        return None

    def curve(truth: Bools, probs: Floats, grid: Floats) -> Floats:
        false_positives, true_positives, _ = roc_curve(truth, probs)
        return np.asarray(np.interp(grid, false_positives, true_positives))

    figure, axes = _curves(evaluation, curve, "roc_auc")
    axes.plot([0, 100], [0, 100], "--", color="black", linewidth=0.8, label="guessing (50 %)")
    _percent_axes(axes, "false positive rate", "true positive rate")
    axes.legend(loc="lower right")
    caption = f"ROC curves: {_measured(evaluation, 'roc_auc')} Grey: each tag; blue: their mean."
    return _plot("roc", caption, figure)


def _precision_recall(evaluation: Evaluation) -> Plot:
    def curve(truth: Bools, probs: Floats, grid: Floats) -> Floats:
        precision, recall, _ = precision_recall_curve(truth, probs)
        # Recall falls along the arrays: the last place that still reaches each value of the grid.
        return np.asarray(precision[len(recall) - 1 - np.searchsorted(recall[::-1], grid)])

    figure, axes = _curves(evaluation, curve, "pr_auc")
    density = 100 * (evaluation.baseline.pr_auc or 0.0)
    axes.axhline(density, linestyle="--", color="black", linewidth=0.8, label=f"guessing ({density:.2f} %)")
    _percent_axes(axes, "recall", "precision")
    axes.legend(loc="upper right")
    caption = f"Precision-recall curves: {_measured(evaluation, 'pr_auc')} Grey: each tag; blue: their mean."
    return _plot("precision_recall", caption, figure)


def _curves(
    evaluation: Evaluation, curve: Callable[[Bools, Floats, Floats], Floats], score: str
) -> tuple[Figure, Axes]:
    """Thin curves of the tags that have `score`, and their mean."""
    figure = _figure(2.9, _leaks(evaluation))
    axes = figure.add_subplot()
    # From just above 0: at a recall of 0 precision is a convention, not a measurement.
    grid = np.linspace(0, 1, 201)[1:]
    known = [k for k, one in enumerate(evaluation.per_class.values()) if getattr(one, score) is not None]
    curves = [curve(evaluation.y_true[:, k], evaluation.y_prob[:, k], grid) for k in known]
    for one in curves:
        axes.plot(100 * grid, 100 * one, color=GREY, linewidth=0.4, alpha=min(1.0, 15 / len(curves)))
    mean = f"mean of {len(curves)} tags ({percent(getattr(evaluation.track, score), evaluation)} %)"
    axes.plot(100 * grid, 100 * np.mean(curves, axis=0), color=BLUE, linewidth=1.8, label=mean)
    return figure, axes


def _reliability(evaluation: Evaluation) -> Plot:
    scores, outcomes = held(evaluation)
    bins = reliability(scores, outcomes)
    multi = evaluation.labels.kind == "multi"
    figure = _figure(3.1, _leaks(evaluation))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 100], [0, 100], "--", color="black", linewidth=0.8, label="calibrated")
    filled = bins.count > 0
    points = 100 * bins.score[filled], 100 * bins.outcome[filled]
    upper.plot(*points, "o-", color=BLUE, markersize=3.5, label="measured", clip_on=False)
    _percent_axes(upper, up="tags that are true" if multi else "tracks that are right")
    upper.legend(loc="upper left")
    edges = np.linspace(0, 100, len(bins.count) + 1)
    lower.bar(edges[:-1], bins.count, width=edges[1], align="edge", color=GREY, edgecolor="white")
    lower.set_ylabel("tag scores" if multi else "tracks")
    if multi:
        lower.set_yscale("log")
        lower.yaxis.set_major_formatter("{x:,.0f}")
    _percent_axes(lower, across="score" if multi else "score of the label given")
    error = f"expected calibration error {100 * bins.ece:.1f} points"
    caption = f"Reliability: {_measured(evaluation)} {len(bins.count)} bins of equal width, {error}."
    return _plot("reliability", caption, figure)


def _coverage(evaluation: Evaluation) -> Plot:
    curve = coverage(*held(evaluation))
    figure = _figure(2.3, _leaks(evaluation))
    axes = figure.add_subplot()
    axes.plot(100 * curve.coverage, 100 * curve.accuracy, color=BLUE, label="surest tracks first")
    base = 100 * evaluation.baseline.accuracy
    axes.axhline(base, linestyle="--", color="black", linewidth=0.8, label=f"majority class ({base:.1f} %)")
    _percent_axes(axes, "tracks answered", "accuracy on them")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 0.12))
    caption = (
        f"Accuracy against coverage, the least sure tracks left out first: {_measured(evaluation)} "
        f"Mean error over all coverages {100 * curve.aurc:.1f} %."
    )
    return _plot("coverage", caption, figure)


def _learning(evaluation: Evaluation, history: Path) -> Plot:
    columns = _read_history(history)
    epochs = columns.pop("epoch")
    losses = {name: values for name, values in columns.items() if name.endswith("loss")}
    scores = {name: 100 * values for name, values in columns.items() if name.endswith(_SCORE_ENDINGS)}
    panels = [(unit, part) for unit, part in (("loss", losses), ("score (%)", scores)) if part]
    if not panels:
        raise TrainingError(f"{history}: no column ends in loss, accuracy, f1 or auc, so there is no curve")
    figure = _figure(0.5 + 1.5 * len(panels), _leaks(evaluation))
    axes_of = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (unit, part) in zip(axes_of, panels, strict=True):
        for (name, values), colour in zip(
            part.items(), itertools.cycle((BLUE, RED, ORANGE, GREEN)), strict=False
        ):
            line = "--" if name.startswith("train") else "-"
            axes.plot(epochs, values, line, color=colour, label=name.replace("_", " "))
        axes.set_ylabel(unit)
        axes.legend(loc="best")
    axes_of[-1].set_xlabel("epoch")
    axes_of[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    caption = (
        f"Learning curve of {evaluation.model} over {len(epochs)} epochs; "
        f"the scores of this report are those of n = {evaluation.track.n:,} tracks."
    )
    return _plot("learning", caption, figure)


def _read_history(path: Path) -> dict[str, Floats]:
    """Columns of numbers of a history.csv, nan where a cell is empty or a word."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise TrainingError(f"{path}: cannot be read as a training history ({error})") from None
    if not rows or "epoch" not in rows[0]:
        raise TrainingError(f"{path}: no training history (a CSV with a column epoch and a row an epoch)")
    # Cells beyond the last column have no name.
    return {name: np.array([_number(row[name]) for row in rows]) for name in rows[0] if name}


def _number(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return math.nan


def _forest(comparison: Comparison) -> Plot:
    names = row_names(comparison)
    figure = _figure(0.85 + 0.26 * len(names), _leaks(*comparison.evaluations))
    axes = figure.add_subplot()
    multi = comparison.evaluations[0].labels.kind == "multi"
    colours = {"roc_auc": BLUE, "pr_auc": RED} if multi else {"accuracy": BLUE}
    for score, colour in colours.items():
        for row, evaluation in enumerate(comparison.evaluations):
            _interval_row(axes, row, evaluation, score, colour)
        axes.plot([], [], "o", color=colour, markersize=3.5, label=SCORES[score])
    axes.plot([], [], "|", color="black", markersize=7, label="baseline")
    if not all(evaluation.leak_free for evaluation in comparison.evaluations):
        axes.plot([], [], "o", color=GREY, markerfacecolor="white", markersize=3.5, label="inflated")
    axes.set_yticks(range(len(names)), [_name(name) for name in names])
    axes.set(ylim=(len(names) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)
    _percent_axes(axes, across="score on tracks")
    figure.legend(loc="outside lower center", ncols=4, columnspacing=0.8, handletextpad=0.2)
    tracks = ", ".join(
        f"{name} n = {e.track.n:,}" for name, e in zip(names, comparison.evaluations, strict=True)
    )
    scores = " and ".join(SCORES[score] for score in colours)
    caption = f"{scores} with 95 % intervals (bootstrap over tracks) and trivial baselines: {tracks} tracks."
    return _plot("comparison", caption, figure)


def _interval_row(axes: Axes, row: int, evaluation: Evaluation, score: str, colour: str) -> None:
    """A marker with its interval, hollow where the split leaks, and a tick at the baseline."""
    value, ci = getattr(evaluation.track, score), getattr(evaluation.track, f"{score}_ci")
    baseline = getattr(evaluation.baseline, score)
    if baseline is not None:
        axes.plot(100 * baseline, row, "|", color="black", markersize=7)
    if value is not None:
        face = colour if evaluation.leak_free else "white"
        axes.plot([100 * ci[0], 100 * ci[1]], [row, row], color=colour)
        axes.plot(100 * value, row, "o", color=colour, markerfacecolor=face, markersize=4, clip_on=False)
