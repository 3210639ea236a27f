"""An evaluation, or a comparison of several, as JSON, for the terminal and as a folder for a paper."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from genretag.errors import FileError, TrainingError
from genretag.training import tables
from genretag.training.compare import Comparison
from genretag.training.metrics import ClassScores, Evaluation, Scores
from genretag.training.plots import Plot, comparison_plot, evaluation_plots
from genretag.training.tables import Table, markdown, printable

# What a terminal of 80 columns can show; a report folder holds everything.
_TERMINAL_LABELS = 20
_TERMINAL_CONFUSION = 12
_TERMINAL_LETTERS = 4


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The record of `eval --json`; what does not apply is null."""
    confusion = evaluation.confusion
    return {
        "model": evaluation.model,
        "dataset": evaluation.dataset,
        "split": evaluation.split,
        "leak_free": evaluation.leak_free,
        "tracks_apart": evaluation.tracks_apart,
        "artists_apart": evaluation.artists_apart,
        "track": _scores_json(evaluation.track),
        "window": None if evaluation.window is None else _scores_json(evaluation.window),
        "baseline": asdict(evaluation.baseline),
        "per_class": {
            name: {"precision": one.precision, "recall": one.recall, "f1": one.f1, "n": one.n}
            for name, one in evaluation.per_class.items()
        },
        "confusion": None
        if confusion is None
        else {"labels": list(confusion.labels), "matrix": [list(row) for row in confusion.matrix]},
        "seconds_per_track": evaluation.seconds_per_track,
    }


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Evaluations as `to_json` gives them, and the paired tests against the first by row number."""
    return {
        "evaluations": [to_json(evaluation) for evaluation in comparison.evaluations],
        "reference": 0,
        "differences": [asdict(difference) for difference in comparison.differences],
        "untested": [{"row": row, "reason": reason} for row, reason in comparison.untested.items()],
    }


def terminal(evaluation: Evaluation) -> RenderableType:
    """The evaluation for a terminal of 80 columns."""
    few = len(evaluation.labels) <= _TERMINAL_CONFUSION
    return _group(
        evaluation.note,
        tables.subject(evaluation),
        tables.score_table(evaluation),
        *tables.sentences(evaluation),
        tables.class_table(evaluation, _TERMINAL_LABELS),
        tables.confusion_table(evaluation, _TERMINAL_LETTERS) if few else None,
        tables.confusion_sentence(evaluation),
        tables.coverage_table(evaluation),
    )


def comparison_terminal(comparison: Comparison, said: Sequence[str] = ()) -> RenderableType:
    """The comparison for a terminal; `said` stands above the table, after the notes."""
    return _group(
        *tables.notes(comparison),
        *said,
        tables.comparison_table(comparison),
        *tables.comparison_sentences(comparison),
        tables.difference_table(comparison),
    )


def write_report(
    evaluation: Evaluation,
    directory: Path,
    *,
    history: Path | None = None,
    left_out: Sequence[FileError] = (),
) -> Path:
    """Write report.md with its figures, evaluation.json, labels.csv and tracks.csv; gives report.md's path.

    `history`: the history.csv of the training run, for its learning curve. `left_out`: the clips that the
    training could not use. Files of these names are replaced, all of them or none. Raises TrainingError where
    the folder cannot be written or `history` not be read.
    """
    plots = evaluation_plots(evaluation, history)
    page = _page(
        [evaluation.note] if evaluation.note else [],
        tables.subject(evaluation),
        [
            tables.score_table(evaluation),
            *tables.sentences(evaluation),
            tables.class_table(evaluation),
            tables.confusion_table(evaluation),
            tables.confusion_sentence(evaluation),
            tables.coverage_table(evaluation),
            tables.calibration_sentence(evaluation),
            tables.left_out_table(left_out),
        ],
        plots,
    )
    files = {
        "evaluation.json": _json_bytes(to_json(evaluation)),
        "labels.csv": _csv_bytes(_label_rows(evaluation)),
        "tracks.csv": _csv_bytes(_track_rows(evaluation)),
    }
    return _write(directory, page, plots, files)


def write_comparison(comparison: Comparison, directory: Path, said: Sequence[str] = ()) -> Path:
    """Write report.md with its figure and comparison.json, as `write_report` does; `said`: see above."""
    plots = [comparison_plot(comparison)]
    page = _page(
        tables.notes(comparison),
        f"Comparison of {len(comparison.evaluations)} evaluations",
        [
            *said,
            tables.comparison_table(comparison),
            *tables.comparison_sentences(comparison),
            tables.difference_table(comparison),
        ],
        plots,
    )
    return _write(directory, page, plots, {"comparison.json": _json_bytes(comparison_json(comparison))})


def _scores_json(scores: Scores) -> dict[str, Any]:
    return {
        "n": scores.n,
        "accuracy": scores.accuracy,
        "accuracy_ci": list(scores.accuracy_ci),
        "macro_f1": scores.macro_f1,
        "roc_auc": scores.roc_auc,
        "pr_auc": scores.pr_auc,
    }


def _group(*parts: Table | str | None) -> Group:
    shown: list[RenderableType] = []
    after_table = False
    for part in parts:
        if part is None:
            continue
        table = isinstance(part, Table)
        if table or after_table:
            shown.append("")
        shown.append(part.to_rich() if isinstance(part, Table) else Text(printable(part)))
        after_table = table
    return Group(*shown)


def _page(
    first: Sequence[str], heading: str, blocks: Iterable[Table | str | None], plots: Sequence[Plot]
) -> str:
    """A Markdown page: first lines, heading, tables and sentences, figures with captions."""
    parts = [*(f"**{markdown(line)}**" for line in first), f"# {markdown(heading)}"]
    for block in blocks:
        if isinstance(block, Table):
            parts += [f"## {markdown(block.title)}", block.to_markdown()]
        elif block is not None:
            parts.append(markdown(block))
    parts.append("## Figures")
    for number, plot in enumerate(plots, start=1):
        parts += [f"![{plot.name}]({plot.name}.png)", f"**Figure {number}.** {markdown(plot.caption)}"]
    return "\n\n".join(parts) + "\n"


def _json_bytes(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace") + b"\n"


def _csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    # Track ids are often file names, and those need not be UTF-8.
    return text.getvalue().encode("utf-8", "surrogateescape")


def _label_rows(evaluation: Evaluation) -> list[list[object]]:
    """All that is known of each label, as fractions; an empty cell is an undefined score."""
    scores = [field.name for field in fields(ClassScores)]
    rows = [[name, *(getattr(one, score) for score in scores)] for name, one in evaluation.per_class.items()]
    return [["label", *scores], *rows]


def _track_rows(evaluation: Evaluation) -> list[list[object]]:
    """Truth, answer and every score of each track; several labels are joined by "; "."""
    names = evaluation.labels.names
    rows: list[list[object]] = [["id", "true", "given", *names]]
    for index, track in enumerate(evaluation.ids):
        answers = (evaluation.y_true[index], evaluation.y_guess[index])
        said = ["; ".join(name for name, yes in zip(names, flags, strict=True) if yes) for flags in answers]
        rows.append([track, *said, *(f"{score:.6g}" for score in evaluation.y_prob[index])])
    return rows


def _write(directory: Path, page: str, plots: Sequence[Plot], files: dict[str, bytes]) -> Path:
    """Everything is written beside its place first, so that a full disk leaves the last report whole."""
    everything = files | {f"{plot.name}.png": plot.png for plot in plots}
    everything["report.md"] = page.encode("utf-8", "backslashreplace")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".report-", dir=directory) as waiting:
            for name, content in everything.items():
                Path(waiting, name).write_bytes(content)
            for name in everything:
                os.replace(Path(waiting, name), directory / name)
    except OSError as error:
        raise TrainingError(f"{directory}: the report cannot be written ({error.strerror})") from None
    return directory / "report.md"
