"""`genretag learn`: a person's own genres, from folders or tags, as the model of `tag`."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genretag.cli import options, settings
from genretag.cli.output import report_store, say
from genretag.escapes import json_line, printable

if TYPE_CHECKING:
    from genretag.library.lessons import Lessons, Library, Source
    from genretag.training.learn import Grouped, Learnt

_NAMED = 6


def learn(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder per genre, or music that has genres in its tags.")
    ],
    *,
    from_tags: Annotated[
        bool | None,
        typer.Option(
            "--from-tags/--from-folders",
            help="Read genres from tags or folder names only (default: folders that are genres, else tags).",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What the model is called; one of that name is replaced.")
    ] = "mine",
    default: Annotated[
        bool, typer.Option("--default/--no-default", help="Make it the model that `genretag tag` uses.")
    ] = True,
    multi: Annotated[
        bool, typer.Option("--multi", help="Files may have several genres; else the first one counts.")
    ] = False,
    min_files: Annotated[
        int, typer.Option(metavar="N", help="Leave out genres with fewer files; 3 at least.")
    ] = 5,
    most_files: Annotated[
        str,
        typer.Option(metavar="auto|N", help="Listen to at most N files a genre; auto: a few minutes' worth."),
    ] = "auto",
    device: options.Device = "auto",
    workers: options.Workers = "auto",
    json: options.JsonDocument = False,
    quiet: options.Quiet = False,
) -> int:
    """Learn your own genres from your own music, and use them from then on.

    Nothing is written into the music. How good it is, is measured on files that were held back.

    Example: genretag learn ~/Music/sorted; then: genretag tag -n ~/Music
    """
    from genretag.journal import Journal
    from genretag.library.lessons import as_clips, choose, read_library
    from genretag.store import Store
    from genretag.training.copies import name_conflicts
    from genretag.training.learn import LearnOptions, model_path
    from genretag.training.learn import learn as run

    replaced = model_path(name).exists()
    asked = LearnOptions(
        name=name,
        min_files=min_files,
        multi=multi,
        device=device,
        workers=options.positive(workers, "--workers"),
        quiet=quiet,
    )
    source: Source | None = None if from_tags is None else "tags" if from_tags else "folders"
    with Store.open() as store:
        report_store(store)
        library = read_library(folder, source, Journal(store), quiet=quiet)
    lessons = choose(
        library,
        multi=multi,
        min_files=min_files,
        most_files=options.positive(most_files, "--most-files"),
    )
    if not quiet:
        _tell_what_is_learnt(library, lessons)
    learnt = run(folder, as_clips(folder, lessons.files), asked)
    for failure in (*library.failures, *learnt.failures):
        say(f"left out: [{failure.code}] {failure.message}")
    if learnt.conflicts:
        say(name_conflicts(learnt.conflicts, "left out"))
    if learnt.copies and not quiet:
        say(f"left out, for they are copies of other files: {learnt.copies:,}")
    if learnt.few and not quiet:
        say(f"left out, for too few files can be heard: {_counts(learnt.few)}")
    by_default = default and learnt.above_chance
    if by_default:
        settings.remember("tag", "model", name)
    if json:
        print(json_line(_document(library, lessons, learnt, by_default)))
    else:
        _show(learnt, lessons)
    if not quiet:
        _tell_what_next(folder, learnt, replaced=replaced, by_default=by_default)
    return 1 if library.failures or learnt.failures else 0


def _tell_what_is_learnt(library: Library, lessons: Lessons) -> None:
    """Where the genres stand, and which files and genres are not used."""
    where, other = {
        "folders": ("the names of the folders", "--from-tags for the other way"),
        "tags": ("the files' tags", "--from-folders for the other way"),
        "both": ("folders called like known genres, else from tags", "--from-folders or --from-tags for one"),
    }[library.source]
    say(f"genres from {where} ({other}); listening to {len(lessons.files):,} files")
    if lessons.few:
        say(f"left out, for they have too few files: {_counts(lessons.few)}")
    if lessons.more:
        say(f"files not needed (--most-files takes more): {_counts(lessons.more)}")
    if library.unlabelled:
        say(f"files without a genre: {library.unlabelled:,}")
    if library.ours:
        say(f"files left out because genretag itself wrote their genre: {library.ours:,}")


def _counts(files: Mapping[str, int]) -> str:
    """Genres with their files, the most frequent named."""
    ranked = sorted(files.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{genre} {count:,}" for genre, count in ranked[:_NAMED])
    return named if len(ranked) <= _NAMED else f"{named} and {len(ranked) - _NAMED:,} more"


def _sources(lessons: Lessons) -> dict[str, str]:
    """Return the sources of the labels of each genre, with numbers of files if there are two."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for file in lessons.files:
        for genre in file.genres:
            counts[genre][file.source] += 1
    return {
        genre: next(iter(some))
        if len(some) == 1
        else ", ".join(f"{source} {count:,}" for source, count in some.most_common())
        for genre, some in counts.items()
    }


def _show(learnt: Learnt, lessons: Lessons) -> None:
    """The genres in a table, and the figures of all in a few lines."""
    from genretag.cli.output import table

    evaluation, files = learnt.evaluation, learnt.meta.extra["files"]
    sources = _sources(lessons)
    rows = []
    for genre, scores in evaluation.per_class.items():
        right = "-" if scores.recall is None else f"{100 * scores.recall:.0f} %"
        share = f"{100 * files[genre] / evaluation.track.n:.0f} %"
        row = (printable(genre), f"{files[genre]:,}", sources[genre], right, share, _taken_for(learnt, genre))
        rows.append(row)
    table(("genre", "files", "label from", "right", "by chance", "else mostly taken for"), rows)
    for line in _figures(learnt):
        print(printable(line))


def _taken_for(learnt: Learnt, genre: str) -> str:
    confusion = learnt.evaluation.confusion
    if confusion is None:
        return "-"
    row = dict(zip(confusion.labels, confusion.matrix[confusion.labels.index(genre)], strict=True))
    others = sorted(
        ((count, other) for other, count in row.items() if other != genre and count), reverse=True
    )
    return ", ".join(f"{printable(other)} {count:,}" for count, other in others[:2]) or "-"


def _figures(learnt: Learnt) -> list[str]:
    """How many files of other artists get a genre, how many of these the right one, and accuracy of all."""
    track, baseline, found = learnt.evaluation.track, learnt.evaluation.baseline, learnt.abstention
    what = "yes-or-no answers" if found is None else "files"
    lines = []
    if found is not None:
        share = 100 * found.answered / track.n
        others = {"file": "other files", "folder": "files in other folders"}
        line = (
            f"of 100 {others.get(learnt.grouped.by, 'files by other artists')}, about {share:.0f} get a genre"
        )
        if found.answered:
            low, high = (100 * bound for bound in found.right_ci)
            right = 100 * found.right / found.answered
            line += f", {right:.0f} % of these right (95 % interval {low:.0f} to {high:.0f} %)"
        lines.append(line + "; the others are left unchanged (unsure)")
        if found.by_host:
            lines.append(
                f"{100 * found.by_host / track.n:.0f} of these 100 are unlike the training files and get "
                "the genre that `auto` finds"
            )
    low, high = (100 * bound for bound in learnt.accuracy_ci)
    alone = "" if found is None else "without abstaining, "
    lines.append(
        f"{alone}{100 * track.accuracy:.1f} % of {what} right (95 % interval {low:.1f} to {high:.1f}), by "
        f"chance {100 * baseline.accuracy:.1f} % ({baseline.name}); {_how(learnt.grouped)}"
    )
    if found is not None and not learnt.hears_speech:
        lines.append("these files sound like speech, so the model does not abstain from speech")
    return lines


def _how(grouped: Grouped) -> str:
    """What no file was judged by: itself and those that belong to it."""
    doubt = ""
    if grouped.by == "file":
        doubt = ", may be too good: songs of one artist may be on both sides"
    elif grouped.doubtful:
        doubt = f", may be too good: {grouped.unknown:,} files name no artist"
    return f"{grouped.folds} folds by {grouped.by}{doubt}"


def _tell_what_next(folder: Path, learnt: Learnt, *, replaced: bool, by_default: bool) -> None:
    name = learnt.meta.name
    say(f"{'replaced' if replaced else 'kept as'} model {name}; see it with: genretag models {name}")
    if by_default:
        say("`genretag tag` uses it from now on; go back with: genretag config unset tag.model")
    elif not learnt.above_chance:
        say("it is not better than chance as far as can be told, so `genretag tag` does not use it by itself")
    use = "" if by_default else f" --model {name}"
    say(f"see what it would write with: genretag tag -n{use} {shlex.quote(str(folder))}")


def _document(library: Library, lessons: Lessons, learnt: Learnt, by_default: bool) -> dict[str, object]:
    evaluation, grouped, found = learnt.evaluation, learnt.grouped, learnt.abstention
    return {
        "model": learnt.meta.name,
        "path": str(learnt.path),
        "default": by_default,
        "learnt_from": str(library.root),
        "source": library.source,
        "task": evaluation.labels.kind,
        "files": learnt.meta.extra["files"],
        "left_out": {
            "few": {**lessons.few, **learnt.few},
            "more": lessons.more,
            "unlabelled": library.unlabelled,
            "written_by_genretag": library.ours,
            "copies": learnt.copies,
            "conflicting": [[clip.id for clip in copies] for copies in learnt.conflicts],
            "failed": [
                {"code": failure.code, "message": failure.message}
                for failure in (*library.failures, *learnt.failures)
            ],
        },
        "held_back": {"folds": grouped.folds, "by": grouped.by, "may_be_too_good": grouped.doubtful},
        "accuracy": evaluation.track.accuracy,
        "accuracy_ci": list(learnt.accuracy_ci),
        "chance": evaluation.baseline.accuracy,
        "tracks": evaluation.track.n,
        "answered": None if found is None else found.answered,
        "answered_ci": None if found is None else list(found.answered_ci),
        "right": None if found is None else found.right,
        "right_ci": None if found is None else list(found.right_ci),
        "answered_by_auto": None if found is None else found.by_host,
        "per_class": {
            genre: {"precision": one.precision, "recall": one.recall, "n": one.n}
            for genre, one in evaluation.per_class.items()
        },
        "confusion": None
        if evaluation.confusion is None
        else {
            "labels": list(evaluation.confusion.labels),
            "matrix": [list(row) for row in evaluation.confusion.matrix],
        },
    }
