"""Another program writes into a file, or edits its tags and restores its times, while genretag writes it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import mutagen
import numpy as np
from mutagen.asf import ASFTags
from mutagen.id3 import ID3, TCON, TIT2
from mutagen.mp4 import MP4Tags

from benchmarks.crash import processes
from benchmarks.crash.judge import Bench, Findings
from benchmarks.crash.kills import Mode
from benchmarks.crash.others import Other, Step, Trial, judge_end, judge_start, make_trial, write_plan
from benchmarks.crash.processes import FINE
from genretag import checkpoint
from genretag.audio.payload import identify
from genretag.store import CachedScores, Store
from genretag.tagging import tags
from genretag.tagging.write import TEMP_PREFIX

# Another process writes


def writer(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """Another process opens the file for writing, at any call or before the run, and writes into it.

    It appends, or overwrites the end, in two pieces: at once, at a later call, or when the run has ended.
    All that it wrote must be in the file that has the name afterwards, and nothing else be different from
    the old file or the new one.
    """
    findings, known = Findings(), dict[tuple[str, str], Trial]()
    for name in islice(cycle(bench.old), trials):
        path = bench.music / name
        trial = make_trial(bench, known, name, partial(bench.fresh, [name]), bench.apply_json)
        findings.possible = sum(each.last - each.first + 1 for each in known.values())
        when = chance.choice(("before", "at once", "later", "afterwards"))
        number = trial.draw(chance, near=findings.trials % 2 == 0)
        mark, append = chance.randbytes(24), chance.random() < 0.5
        trial.prepare()
        other = Other(*_writing(path, mark, append=append, at_once=when == "at once"))
        numbers = [number]
        if when == "before":
            other.step()
        if when in ("before", "later") and number < trial.last:
            numbers.append(chance.randint(number + 1, trial.last))
        ended = bench.starter(trial.arguments)(processes.at_calls(numbers, other.step, FINE)).wait()
        other.end()
        what = (
            f"{name}: {'append' if append else 'overwrite'}, opened "
            f"{'before the run' if when == 'before' else f'at call {number}'}, written {when} {numbers[1:]}"
        )
        findings.trials += 1
        findings.formats.add(name.split()[0])
        outcome = judge_end(ended, what, findings)
        content = path.read_bytes()
        before, after = (_after_writing(held[name], mark, append=append) for held in (bench.old, bench.new))
        missed = content not in (before, after) or (outcome == "changed" and content == after)
        if bench.in_place and trial.in_window(number) and missed:
            findings.windows += 1
            findings.count(f"in the window: {outcome}")
        elif content not in (before, after):
            findings.losses.append(f"{what}: {outcome}, {_mixture(content, mark)}")
        elif (content == after) != (outcome == "written") and not (
            outcome == "changed" and _kept_beside(path, bench.old[name])
        ):
            findings.untruths.append(f"{what}: {outcome}, but the file is {'new' * (content == after)}")
        # Overwritten bytes may have been part of the audio or of the tags.
        if outcome not in ("written", "in-use", "changed", *(() if append else ("incomplete", "bad-tags"))):
            findings.untruths.append(f"{what}: ended as {outcome}: {ended.output[-300:]}")
        judge_start(bench, what, findings)
        if path.read_bytes() != content:
            findings.losses.append(f"{what}: the next start changed the file")
        processes.run(bench.home, *bench.undo)
        if append and mark in content and mark not in path.read_bytes():
            findings.losses.append(f"{what}: undo lost what the other process wrote")
        bench.judge_left(f"{what}, undone", findings)
    return findings


def _kept_beside(path: Path, old: bytes) -> bool:
    """Return True if the old file is kept under a visible name, as after a write right after the exchange."""
    return any(each.read_bytes() == old for each in path.parent.glob(f"{TEMP_PREFIX[1:]}*"))


def _writing(path: Path, mark: bytes, *, append: bool, at_once: bool) -> list[Step]:
    """Return steps that open a file, write one half of `mark`, then the other half, and close the file."""
    descriptors: list[int] = []

    def begin() -> None:
        descriptors.append(os.open(path, os.O_WRONLY if append else os.O_RDWR))

    def first() -> None:
        os.lseek(descriptors[0], 0 if append else -len(mark), os.SEEK_END)
        os.write(descriptors[0], mark[:12])

    def second() -> None:
        os.write(descriptors[0], mark[12:])
        os.close(descriptors[0])

    def all_at_once() -> None:
        for step in (begin, first, second):
            step()

    return [all_at_once] if at_once else [begin, first, second]


def _after_writing(content: bytes, mark: bytes, *, append: bool) -> bytes:
    return content + mark if append else content[: -len(mark)] + mark


def _mixture(content: bytes, mark: bytes) -> str:
    found = "all of" if mark in content else "a half of" if mark[:12] in content else "nothing of"
    return f"{len(content)} bytes that are neither, with {found} what the other process wrote"


# Another tagger


EDITED_GENRES, EDITED_TITLE = ("Funk", "Latin"), "B Title"
"""As long as those of the specimens."""


def edited(bench: Bench, trials: int, chance: random.Random) -> Findings:
    """Another tagger changes the genres, or the title, and restores the time; the size stays the same.

    While a plan is applied, or `tag --existing keep` writes into a file without genres. Its edit must be in
    the file that has the name afterwards; genres that it set must not be replaced.
    """
    findings, known = Findings(), dict[tuple[str, str], Trial]()
    names = [name for name in bench.old if name.endswith(_suffixes(" dressed")) or " 2." in name]
    with_scores = _Scores("musicnn-msd")
    for name in islice(cycle(names), trials):
        path, tagging, genre = bench.music / name, chance.random() < 0.5, chance.random() < 0.5

        def prepare(name: str = name, *, tagging: bool = tagging) -> None:
            bench.fresh([name])
            if tagging:
                _edit(bench.music / name, genres=())
                with_scores.remember(bench, name)
            else:
                write_plan(bench, name)

        in_place = ["--in-place"] * bench.in_place
        arguments = (*with_scores.tag, *in_place, str(bench.music)) if tagging else bench.apply_json
        trial = make_trial(bench, known, name, prepare, arguments)
        findings.possible = sum(each.last - each.first + 1 for each in known.values())
        number = trial.draw(chance, near=findings.trials % 2 == 0)
        trial.prepare()
        size = path.stat().st_size
        edit = {"genres": EDITED_GENRES} if genre else {"title": EDITED_TITLE}
        other = Other(partial(_edit, path, **edit))
        ended = bench.starter(trial.arguments)(processes.at_call(number, other.step, FINE)).wait()
        other.end()
        same = "same size" if path.stat().st_size == size else "other size"
        what = f"{name}: {'genres' if genre else 'title'} edited at call {number} of {arguments[0]}, {same}"
        findings.trials += 1
        findings.formats.add(name.split()[0])
        outcome = judge_end(ended, what, findings)
        if not _has_edit(path, genre=genre):
            if bench.in_place and trial.in_window(number):
                findings.windows += 1
                findings.count(f"in the window: {outcome}")
            else:
                findings.losses.append(f"{what}: {outcome}, and the edit is gone")
        if outcome not in ("written", "in-use", "changed", "kept"):
            findings.untruths.append(f"{what}: ended as {outcome}: {ended.output[-300:]}")
        content = path.read_bytes()
        judge_start(bench, what, findings)
        if path.read_bytes() != content:
            findings.losses.append(f"{what}: the next start changed the file")
        had = _has_edit(path, genre=genre)
        processes.run(bench.home, *bench.undo)
        if had and not _has_edit(path, genre=genre):
            findings.losses.append(f"{what}: undo lost the edit")
        bench.judge_left(f"{what}, undone", findings)
    return findings


def _suffixes(end: str) -> tuple[str, ...]:
    return tuple(f"{end}{kind}" for kind in (".mp3", ".flac", ".oga", ".ogg", ".opus", ".m4a", ".wma"))


class _Scores:
    """A `tag` command whose scores are all stored, so that nothing is analysed."""

    def __init__(self, model: str) -> None:
        path = checkpoint.resolve(model)
        self._hash = checkpoint.file_hash(path)
        self._scores = np.zeros(len(checkpoint.read_meta(path).labels.names), np.float32)
        self._scores[0] = 0.9
        rule = ("--model", model, "--threshold", "0", "--top", "1", "--existing", "keep")
        self.tag = ("tag", "--json", "--quiet", *rule)

    def remember(self, bench: Bench, name: str) -> None:
        """Store the scores of a file."""
        os.environ["GENRETAG_HOME"] = str(bench.home)
        with Store.open() as store:
            scores = CachedScores(self._scores, 1, 1.0)
            store.remember_scores(identify(bench.music / name), self._hash, "fast", scores)


GENRE, TITLE = ("TCON", "\xa9gen", "WM/Genre", "genre"), ("TIT2", "\xa9nam", "Title", "title")
"""Fields in ID3, MP4, ASF, and in Vorbis comments and APE."""


def _key(file: mutagen.FileType, field: tuple[str, str, str, str]) -> str:
    kinds = (ID3, MP4Tags, ASFTags)
    return next(
        (key for kind, key in zip(kinds, field, strict=False) if isinstance(file.tags, kind)), field[3]
    )


def _edit(path: Path, genres: Sequence[str] | None = None, title: str | None = None) -> None:
    """Change a file by mutagen, and restore its time."""
    status = path.stat()
    file = mutagen.File(path)
    for field, values in ((GENRE, genres), (TITLE, None if title is None else [title])):
        if values is None:
            continue
        key = _key(file, field)
        if key in file.tags:
            del file.tags[key]
        if values and isinstance(file.tags, ID3):
            file.tags.add({"TCON": TCON, "TIT2": TIT2}[key](encoding=3, text=list(values)))
        elif values:
            file.tags[key] = list(values)
    file.save()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _has_edit(path: Path, *, genre: bool) -> bool:
    try:
        if genre:
            return tags.read(path).genres == EDITED_GENRES
        file = mutagen.File(path)
        return EDITED_TITLE in str(file.tags[_key(file, TITLE)])
    except Exception:  # noqa: BLE001 - a mixture may end in any error of mutagen
        return False


def modes() -> Iterator[tuple[str, Mode]]:
    """The modes of this module by name."""
    yield "writer", writer
    yield "edited", edited
