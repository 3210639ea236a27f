"""What evaluations say, as tables and sentences that the terminal and Markdown share."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table as RichTable
from rich.text import Text

from genretag.errors import FileError
from genretag.training.bootstrap import Interval
from genretag.training.calibration import at_coverage, coverage, held, reliability
from genretag.training.compare import Comparison, Difference
from genretag.training.metrics import Evaluation, Scores

NONE = "–"
SCORES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "roc_auc": "ROC-AUC", "pr_auc": "PR-AUC"}
COVERAGES = (1.0, 0.9, 0.75, 0.5, 0.25)
_NAME_WIDTH = 12


@dataclass(frozen=True)
class Table:
    """Cells of text; the first column names the row, the others stand to the right.

    A line break in a cell is one in the terminal and a space in Markdown.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_markdown(self) -> str:
        """A pipe table, without its title."""
        rule = ("---", *["---:"] * (len(self.columns) - 1))
        lines = (self.columns, *self.rows)
        head, *body = [tuple(markdown(cell.replace("\n", " ")) for cell in line) for line in lines]
        return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))

    def to_rich(self) -> RichTable:
        """A table for the terminal."""
        table = RichTable(
            title=self.title.replace("\n", " "),
            title_justify="left",
            title_style="bold",
            box=None,
            pad_edge=False,
        )
        for index, column in enumerate(self.columns):
            side: Literal["left", "right"] = "right" if index else "left"
            # Of a table that is too wide the names of the rows are folded, never the numbers.
            width = None if index else _NAME_WIDTH
            table.add_column(
                _lines(column), justify=side, no_wrap=index > 0, overflow="fold", min_width=width
            )
        for row in self.rows:
            table.add_row(*map(_lines, row))
        return table


def printable(text: str) -> str:
    """Names come from strangers: control characters and stray bytes are shown as escapes, not obeyed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, inside a table too."""
    return html.escape(printable(text), quote=False).replace("|", "\\|")


def _lines(cell: str) -> Text:
    return Text("\n".join(map(printable, cell.split("\n"))))


def percent(value: float | None, evaluation: Evaluation) -> str:
    """A fraction as a percentage without its sign: two decimals where most answers are no, one elsewhere."""
    return NONE if value is None else f"{100 * value:.{_decimals(evaluation)}f}"


def with_interval(value: float | None, ci: Interval | None, evaluation: Evaluation) -> str:
    """For example "81.4", and "(76.6–85.9)" on a line of its own."""
    if ci is None:
        return percent(value, evaluation)
    return f"{percent(value, evaluation)}\n({percent(ci[0], evaluation)}–{percent(ci[1], evaluation)})"


def subject(evaluation: Evaluation) -> str:
    """What was measured, in one line."""
    windows = f", {evaluation.window.n:,} windows" if evaluation.window else ""
    return (
        f"{evaluation.model} on {evaluation.dataset}, split {evaluation.split}: "
        f"{evaluation.track.n:,} tracks{windows}"
    )


def score_table(evaluation: Evaluation) -> Table:
    """Track, vote, window and baseline side by side, in percent with their intervals."""
    kinds = {"track": evaluation.track, "vote": evaluation.vote, "window": evaluation.window}
    present = {name: scores for name, scores in kinds.items() if scores is not None}
    rows = [("n", *(f"{scores.n:,}" for scores in present.values()), "")]
    for score, name in SCORES.items():
        if getattr(evaluation.track, score) is not None:
            cells = (_cell(scores, score, evaluation) for scores in present.values())
            base = None if score == "macro_f1" else getattr(evaluation.baseline, score)
            rows.append((f"{name}, %", *cells, percent(base, evaluation)))
    return Table("Scores", ("", *present, "baseline"), tuple(rows))


def sentences(evaluation: Evaluation) -> list[str]:
    """How to read the scores, and what they leave out."""
    tags = len(evaluation.labels)
    base = f"{percent(evaluation.baseline.accuracy, evaluation)} %"
    said = ["Track: mean of its windows' scores."]
    if evaluation.whole:
        said = ["Track: what the model says of all its windows together."]
    if evaluation.window:
        said[0] += " Vote: majority of its windows' own decisions. Window: each for itself."
    said[0] += f" Baseline: {evaluation.baseline.name}."
    said.append(f"In brackets: 95 % intervals, bootstrap over tracks, {evaluation.resamples:,} resamples.")
    if evaluation.labels.kind == "multi":
        own = "the checkpoint's own thresholds" if evaluation.own_thresholds else "a threshold of 0.5"
        said.append(
            f"Accuracy is the mean over {tags:,} tags of right yes/no decisions, made at {own}. Saying no to "
            f"every tag, the all-zeros baseline, already gets {base}: read ROC-AUC and PR-AUC instead."
        )
    if evaluation.track.accuracy_ci[0] <= evaluation.baseline.accuracy:
        said.append(f"The accuracy is not above the baseline's {base} beyond chance.")
    if evaluation.absent:
        listed = _listed(evaluation.absent)
        absent = f"{len(evaluation.absent):,} of {tags:,} labels ({listed})"
        said.append(f"True of no track here, and left out of macro scores: {absent}.")
    if evaluation.unscored:
        listed = _listed(evaluation.unscored)
        said.append(f"Without a score, and in no figure: {len(evaluation.unscored):,} tracks ({listed}).")
    if evaluation.seconds_per_track is not None:
        said.append(f"Time: {evaluation.seconds_per_track:.3g} s a track.")
    return said


def class_table(evaluation: Evaluation, most: int | None = None) -> Table:
    """Precision, recall and F1 of every label (and areas of tags); of more than `most`, best and worst."""
    scores = ["precision", "recall", "f1"]
    if evaluation.labels.kind == "multi":
        scores += ["roc_auc", "pr_auc"]
    labels = evaluation.per_class
    rows = {
        name: (name, f"{one.n:,}", *(percent(getattr(one, score), evaluation) for score in scores))
        for name, one in labels.items()
    }
    shown = list(rows.values())
    if most is not None and len(rows) > most:
        # Rare tags are never said at 0.5, so their F1 is all the same: scores[-1] is PR-AUC there.
        ranked = sorted(labels, key=lambda name: -(getattr(labels[name], scores[-1]) or 0.0))
        half = most // 2
        gap = (f"… {len(rows) - 2 * half:,} more", *[""] * (len(scores) + 1))
        shown = [*(rows[name] for name in ranked[:half]), gap, *(rows[name] for name in ranked[-half:])]
    heads = {"f1": "F1", "roc_auc": "ROC-AUC", "pr_auc": "PR-AUC"}
    title = "Per label, in percent"
    return Table(title, ("label", "n", *(heads.get(score, score) for score in scores)), tuple(shown))


def left_out_table(left_out: Sequence[FileError]) -> Table | None:
    """Return the clips that could not be used, with the reason and the error code; None if there are none."""
    rows = tuple((error.message, error.code) for error in left_out)
    return Table("Clips left out", ("clip", "error"), rows) if rows else None


def confusion_table(evaluation: Evaluation, letters: int | None = None) -> Table | None:
    """Tracks by true label (rows) and label given (columns), whose heads are cut to `letters`."""
    if evaluation.confusion is None:
        return None
    rows = tuple(
        (label, *(str(count or "·") for count in row))
        for label, row in zip(evaluation.confusion.labels, evaluation.confusion.matrix, strict=True)
    )
    heads = (label[:letters] for label in evaluation.confusion.labels)
    return Table("Confusion: true label (rows), label given (columns), tracks", ("", *heads), rows)


def confusion_sentence(evaluation: Evaluation, most: int = 5) -> str | None:
    """The most frequent mistakes in words; None where there are none."""
    if evaluation.confusion is None:
        return None
    labels = evaluation.confusion.labels
    pairs = Counter(
        {
            (labels[i], labels[j]): count
            for i, row in enumerate(evaluation.confusion.matrix)
            for j, count in enumerate(row)
            if i != j and count
        }
    )
    told = [
        f"{true} as {given} ({count} of {evaluation.per_class[true].n})"
        for (true, given), count in pairs.most_common(most)
    ]
    return f"Most frequent mistakes: {', '.join(told)}." if told else None


def coverage_table(evaluation: Evaluation) -> Table | None:
    """Accuracy where the least sure tracks are left alone, single-label only."""
    if evaluation.labels.kind == "multi":
        return None
    points = at_coverage(coverage(*held(evaluation)), COVERAGES)
    rows = tuple(
        # Rounded down: the track that sets the limit must still reach it.
        (f"{100 * covered:.0f} %", percent(accuracy, evaluation), f"{math.floor(1000 * limit) / 1000:.3f}")
        for covered, accuracy, limit in dict.fromkeys(points)
    )
    title = "Leaving the least sure tracks alone"
    return Table(title, ("tracks answered", "accuracy, %", "--min-confidence"), rows)


def calibration_sentence(evaluation: Evaluation) -> str:
    """Expected calibration error in words."""
    scores, outcomes = held(evaluation)
    ece = reliability(scores, outcomes).ece
    what = "tag scores" if evaluation.labels.kind == "multi" else "scores of the chosen label"
    return f"Calibration: {what} are off by {100 * ece:.1f} points on average (expected calibration error)."


def row_names(comparison: Comparison) -> list[str]:
    """The models' names; with the split, then with a number, where names alone are not enough."""
    names = [evaluation.model for evaluation in comparison.evaluations]
    if len(set(names)) < len(names):
        names = [f"{evaluation.model} ({evaluation.split})" for evaluation in comparison.evaluations]
    counts = Counter(names)
    return [f"{name} #{i}" if counts[name] > 1 else name for i, name in enumerate(names, start=1)]


def notes(comparison: Comparison) -> list[str]:
    """First lines of a comparison: which rows are inflated, and how; one line where it is all of them."""
    if len(same := {evaluation.note for evaluation in comparison.evaluations}) == 1:
        return [note for note in same if note]
    pairs = zip(row_names(comparison), comparison.evaluations, strict=True)
    return [f"{name}: {evaluation.note}" for name, evaluation in pairs if evaluation.note]


def comparison_table(comparison: Comparison) -> Table:
    """One row an evaluation, in percent with intervals, and a row for each baseline."""
    evaluations = comparison.evaluations
    scores = [name for name in SCORES if any(getattr(e.track, name) is not None for e in evaluations)]
    # Of yes/no decisions most are no: their share by window tells nothing that the track's does not.
    windows = any(e.window is not None and e.labels.kind == "single" for e in evaluations)
    places = [_measured_on(e) for e in evaluations]
    same = len(set(places)) == 1
    models, baselines = [], []
    for e, place in zip(evaluations, places, strict=True):
        where = () if same else place
        extra = [_cell(e.window, "accuracy", e) if e.window else NONE] * windows
        models.append((e.model, *where, *(_cell(e.track, score, e) for score in scores), *extra))
        base = [percent(getattr(e.baseline, score, None), e) for score in scores]
        baselines.append((e.baseline.name, *where, *base, *[NONE] * windows))
    heads = [f"{SCORES[score]},\n%" for score in scores] + ["window\naccuracy, %"] * windows
    title = f"Comparison on {', '.join(places[0])} tracks" if same else "Comparison"
    columns = ("model", *(() if same else ("split", "tracks")), *heads)
    return Table(title, columns, (*models, *dict.fromkeys(baselines)))


def _measured_on(evaluation: Evaluation) -> tuple[str, str]:
    inflated = "" if evaluation.leak_free else "\n(inflated)"
    return f"{evaluation.dataset}, {evaluation.split}{inflated}", f"{evaluation.track.n:,}"


def difference_table(comparison: Comparison) -> Table | None:
    """Paired tests against the first row; None where no row shares tracks with it."""
    if not comparison.differences:
        return None
    names = row_names(comparison)
    reference = comparison.evaluations[0]
    rows = tuple(
        (
            names[d.row],
            SCORES[d.score],
            f"{d.n:,}",
            _points(d, reference),
            NONE if d.only_this is None else f"{d.only_this} : {d.only_reference}",
            _p(d.p),
            _p(d.p_holm),
        )
        for d in comparison.differences
    )
    columns = ("model", "score", "tracks", "difference,\npoints", "gained :\nlost", "p", "p\n(Holm)")
    return Table(f"Against {names[0]}, on the same tracks", columns, rows)


def comparison_sentences(comparison: Comparison) -> list[str]:
    """How to read the table, and which rows have no paired test, and why."""
    names = row_names(comparison)
    said = ["In brackets: 95 % intervals, bootstrap over tracks."]
    multi = [e for e in comparison.evaluations if e.labels.kind == "multi"]
    if multi:
        base = percent(multi[0].baseline.accuracy, multi[0])
        said.append(
            "Accuracy is the mean over tags of right yes/no decisions; "
            f"saying no to every tag, the all-zeros baseline, already gets {base} %."
        )
    if any(difference.test == "McNemar" for difference in comparison.differences):
        said.append("Gained and lost: tracks that only the model, or only the reference, gets right.")
    if comparison.differences:
        said.append(
            "p: two-sided, McNemar's exact test on gained and lost tracks, paired bootstrap elsewhere; "
            "Holm: corrected for the number of models compared."
        )
    return said + [f"{names[row]}: no paired test ({why})." for row, why in comparison.untested.items()]


def _decimals(evaluation: Evaluation) -> int:
    return 2 if evaluation.labels.kind == "multi" else 1


def _cell(scores: Scores, score: str, evaluation: Evaluation) -> str:
    return with_interval(getattr(scores, score), getattr(scores, f"{score}_ci"), evaluation)


def _points(difference: Difference, evaluation: Evaluation) -> str:
    value, low, high = (
        f"{100 * number:+.{_decimals(evaluation)}f}" for number in (difference.value, *difference.ci)
    )
    return f"{value}\n({low} to {high})"


def _listed(names: Sequence[str], most: int = 8) -> str:
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
