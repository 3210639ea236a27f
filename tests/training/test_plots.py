"""Figures: the size of a column, what is drawn, what is left out and what is said in them."""

from __future__ import annotations

import functools
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from evaluations import multi, single
from matplotlib.image import imread
from numpy.typing import NDArray

from genretag.errors import TrainingError
from genretag.labels import LabelSet
from genretag.training.compare import compare
from genretag.training.metrics import Evaluation, evaluate_scores
from genretag.training.plots import Plot, comparison_plot, evaluation_plots

PLACES = {"model": "m", "dataset": "d", "split": "s", "leak_free": True, "resamples": 20}
RED = (0xD5, 0x5E, 0x00)
HISTORY = "epoch,train_loss,valid_loss,valid_accuracy,lr,seconds\n1,1.1,1.2,0.4,1e-3,3\n2,0.7,,0.6,1e-3,3\n"


def pixels(plot: Plot) -> NDArray[np.uint8]:
    return (imread(io.BytesIO(plot.png))[:, :, :3] * 255).round().astype(np.uint8)


def by_name(plots: list[Plot]) -> dict[str, Plot]:
    return {plot.name: plot for plot in plots}


def many(labels: int) -> Evaluation:
    """Two tracks of each of many genres."""
    names = LabelSet(tuple(f"genre number {k}" for k in range(labels)), "single")
    truth = np.arange(2 * labels) % labels
    probs = np.random.default_rng(0).dirichlet(np.ones(labels), size=2 * labels)
    return evaluate_scores(truth, probs, np.arange(2 * labels), names, **PLACES)


@functools.cache
def drawn(kind: str, leak_free: bool = True) -> dict[str, Plot]:
    """Figures of one evaluation; a warning while they are drawn is an error."""
    evaluation = multi(leak_free=leak_free) if kind == "multi" else single(leak_free=leak_free)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return by_name(evaluation_plots(evaluation))


def test_each_kind_has_its_figures() -> None:
    assert list(drawn("single")) == ["confusion", "labels", "reliability", "coverage"]
    assert list(drawn("multi")) == ["labels", "roc", "precision_recall", "reliability"]


def test_figures_are_one_column_wide_at_300_dots_an_inch_and_not_empty() -> None:
    forest = comparison_plot(compare([single()] * 2))
    for plot in [*drawn("single").values(), *drawn("multi").values(), forest]:
        picture = pixels(plot)
        assert picture.shape[1] == 1005, plot.name
        assert 300 < picture.shape[0] < 2400, plot.name
        assert (picture < 128).any(axis=2).sum() > 2000, plot.name


def test_a_picture_of_inflated_scores_says_so() -> None:
    for name, leaking in drawn("single", leak_free=False).items():
        reds = [
            (np.abs(pixels(plot)[:90].astype(int) - RED).sum(axis=2) < 30).sum()
            for plot in (drawn("single")[name], leaking)
        ]
        assert reds[0] == 0, name
        assert reds[1] > 100, name


def test_captions_name_n_and_interval() -> None:
    low, high = multi().track.roc_auc_ci
    caption = drawn("multi")["roc"].caption
    assert "n = 80 tracks" in caption
    assert f"95 % interval {100 * low:.2f} to {100 * high:.2f} %" in caption


def test_without_a_negative_there_is_no_roc_curve() -> None:
    tags = LabelSet(("a", "b"), "multi")
    found = evaluate_scores([[1, 1], [1, 1]], [[0.9, 0.2], [0.6, 0.7]], [0, 1], tags, **PLACES)
    assert list(by_name(evaluation_plots(found))) == ["labels", "precision_recall", "reliability"]


def test_more_labels_than_a_figure_holds() -> None:
    genres = by_name(evaluation_plots(many(70)))
    assert "confusion" not in genres
    assert genres["labels"].caption.endswith("The best and the worst 30 of 70 labels.")
    assert pixels(genres["labels"]).shape[0] < 3000


def test_sixteen_genres_fit_a_page() -> None:
    picture = pixels(by_name(evaluation_plots(many(16)))["confusion"])
    assert 1005 <= picture.shape[1] <= 2100


def test_names_are_drawn_as_they_are() -> None:
    names = LabelSet(("R$B$", "caf\udce9", "x" * 90), "single")
    found = evaluate_scores([0, 1, 2], np.eye(3), [0, 1, 2], names, **PLACES)
    confusion = by_name(evaluation_plots(found))["confusion"]
    assert pixels(confusion).shape[1] == 1005


def test_learning_curve_is_drawn_from_history(tmp_path: Path) -> None:
    history = tmp_path / "history.csv"
    history.write_text(HISTORY)
    curve = by_name(evaluation_plots(single(), history))["learning"]
    assert "gru over 2 epochs" in curve.caption
    both = pixels(curve).shape[0]
    history.write_text("epoch,train_loss\n1,0.5\n2,0.4\n")
    assert pixels(by_name(evaluation_plots(single(), history))["learning"]).shape[0] < both


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no training history"),
        (b"loss\n0.5\n", "no training history"),
        (b"epoch,lr\n1,0.1\n", "no curve"),
        (b"epoch\xff\n", "cannot be read"),
    ],
)
def test_a_history_that_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    history = tmp_path / "history.csv"
    history.write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        evaluation_plots(single(), history)


def test_a_missing_history_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot be read") as caught:
        evaluation_plots(single(), tmp_path / "history.csv")
    assert "\n" not in str(caught.value)
