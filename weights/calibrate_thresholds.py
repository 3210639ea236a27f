"""Find the score that each genre label of the shipped checkpoints needs (`--threshold auto`).

    python weights/calibrate_thresholds.py --gtzan DIR [--write]

DIR holds `split_filtered.json.gz`, `artists.json`, `genres/<genre>/*` and `musicnn_msd_taggram_train.npz`
(scores of clips of all ten genres). Thresholds are found on the train part of the split and looked at on the
valid part; the test part is never read. With --write the thresholds go to thresholds.json, into the
checkpoints and into their cards.

The rules, for a label and the clips on which calibration.toml calls it right or wrong:
own         a genre of GTZAN: the best F1 among thresholds of at least 80 % precision, from 0.1 upwards;
finer       a genre inside one: the lowest threshold of at least 80 % precision, from 0.1 upwards;
unconfirmed what GTZAN can only refute, or did not reach 80 %: at most 2 % false alarms, from 0.2 upwards.
Precision counts from five clips above the threshold.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genretag import checkpoint
from genretag.errors import DecodeError
from genretag.labels import LabelSet
from genretag.predict.decide import DecisionRule, decide
from genretag.predict.engine import EngineOptions, Job, predict

HERE = Path(__file__).resolve().parent
PRECISION = 0.8
FALSE_ALARMS = 0.02
FLOOR = 0.1
UNCONFIRMED_FLOOR = 0.2  # about the median of the seven `own` thresholds of musicnn-msd
FEWEST_CLIPS = 5
FOLDS = 5
RULES = ("own", "finer", "unconfirmed")
TEN_GENRE_SCORES = {"musicnn-msd": "musicnn_msd_taggram_train.npz"}
MARK = re.compile(r"(?<=<!-- thresholds -->\n).*(?=<!-- end -->)", re.DOTALL)

Array = npt.NDArray[np.float32]
Tags = Mapping[str, Mapping[str, list[str]]]  # calibration.toml


@dataclass(frozen=True)
class Clips:
    """Track scores (clips, labels) with the genre and the name ("rock.00012") of every clip."""

    scores: Array
    genres: npt.NDArray[np.str_]
    names: tuple[str, ...]

    def take(self, chosen: npt.NDArray[np.bool_]) -> Clips:
        names = tuple(name for name, keep in zip(self.names, chosen, strict=True) if keep)
        return Clips(self.scores[chosen], self.genres[chosen], names)


@dataclass(frozen=True)
class Row:
    """One line of a card's table; precision is that of the clips above the threshold that can be judged."""

    label: str
    rule: str
    threshold: float
    above: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class FirstGenre:
    """How often the first genre that would be written is right, out of `clips`."""

    clips: int
    right: int
    unknown: int
    wrong: int

    def __str__(self) -> str:
        tagged = self.right + self.unknown + self.wrong
        judged = max(1, self.right + self.wrong)
        return (
            f"{tagged} of {self.clips} clips get a genre, right on {self.right}, wrong on {self.wrong}, "
            f"not to be judged on {self.unknown} (precision {self.right / judged:.2f})"
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gtzan", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", action="append", choices=sorted(checkpoint.shipped()), help="default: all")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    tags = tomllib.loads((HERE / "calibration.toml").read_text(encoding="utf-8"))["tags"]
    for name in arguments.model or sorted(checkpoint.shipped()):
        text, thresholds = calibrate(name, arguments.gtzan, tags)
        sys.stdout.write(f"## {name}\n\n{text}\n")
        sys.stdout.flush()
        if arguments.write:
            write(name, text, thresholds)
    return 0


def calibrate(name: str, gtzan: Path, tags: Tags) -> tuple[str, dict[str, float]]:
    """Markdown of a checkpoint's thresholds, with what they give on clips they were not found on."""
    path = checkpoint.shipped()[name]
    labels = checkpoint.read_meta(path).labels
    split = _split(gtzan)
    if name in TEN_GENRE_SCORES:
        train = _known(gtzan / TEN_GENRE_SCORES[name])
    else:
        train = score(path, _files(gtzan, split, "train"))
    valid = score(path, _files(gtzan, split, "valid"))
    rows = find(train, labels, tags)
    thresholds = {row.label: row.threshold for row in rows}
    artists = json.loads((gtzan / "artists.json").read_text(encoding="utf-8"))
    text = (
        f"Found on {_counts(train)}.\n\n{_table(rows)}\n"
        f"First genre with these thresholds\n\n"
        f"- on the clips they were found on: {judge(train, labels, thresholds, tags)};\n"
        f"- with thresholds from other artists' clips: {held_out(train, labels, tags, artists)};\n"
        f"- on {_counts(valid)} of the valid part: {judge(valid, labels, thresholds, tags)}.\n"
    )
    return text, thresholds


def find(clips: Clips, labels: LabelSet, tags: Tags) -> list[Row]:
    """A threshold for every label that is a genre."""
    rows = {}
    for label in labels.genres:
        scores, right = _judged(clips, labels, label, tags)
        rule = "own" if tags[label].get("own") else "finer"
        threshold = _precise(scores, right, best_f1=rule == "own")
        if threshold is not None:
            hits = right[scores >= threshold]
            rows[label] = Row(label, rule, threshold, len(hits), hits.mean(), hits.sum() / right.sum())
    for label in labels.genres.keys() - rows.keys():
        scores, right = _judged(clips, labels, label, tags)
        wrong = scores[~right]
        threshold = max(UNCONFIRMED_FLOOR, _round_up(float(np.quantile(wrong, 1 - FALSE_ALARMS))))
        rows[label] = Row(label, "unconfirmed", threshold, int((wrong >= threshold).sum()), None, None)
    return sorted(rows.values(), key=lambda row: (RULES.index(row.rule), row.label.lower()))


def judge(clips: Clips, labels: LabelSet, thresholds: Mapping[str, float], tags: Tags) -> FirstGenre:
    """What the first genre of each clip is worth."""
    label_of = {genre: label for label, genre in labels.genres.items()}
    verdicts = []
    for scores, truth in zip(clips.scores, clips.genres.tolist(), strict=True):
        if chosen := decide(scores, labels, thresholds, DecisionRule()).genres:
            tag = tags[label_of[chosen[0]]]
            found = [verdict for verdict in ("right", "unknown") if truth in tag.get(verdict, ())]
            verdicts.append(found[0] if found else "wrong")
    return FirstGenre(len(clips.names), *map(verdicts.count, ("right", "unknown", "wrong")))


def held_out(clips: Clips, labels: LabelSet, tags: Tags, artists: Mapping[str, str]) -> FirstGenre:
    """The same, each clip judged with thresholds from the clips of other artists."""
    owners = [artists.get(name) or name for name in clips.names]
    fold = {owner: number % FOLDS for number, owner in enumerate(sorted(set(owners)))}
    of_clip = np.array([fold[owner] for owner in owners])
    parts = []
    for number in range(FOLDS):
        thresholds = {row.label: row.threshold for row in find(clips.take(of_clip != number), labels, tags)}
        parts.append(judge(clips.take(of_clip == number), labels, thresholds, tags))
    return FirstGenre(
        *(sum(getattr(part, name) for part in parts) for name in ("clips", "right", "unknown", "wrong"))
    )


def score(path: Path, files: Sequence[tuple[str, Path]]) -> Clips:
    """Track scores of audio files, given with their genres, as `genretag tag --coverage full` finds them."""
    jobs = (Job(file, file) for _, file in files)
    rows = []
    for file, track in predict(jobs, path, EngineOptions(device="cpu", coverage="full")):
        if track is None or track.scores is None:
            raise DecodeError(f"{file}: no scores; calibration needs every clip")
        rows.append(track.scores)
    return Clips(
        np.stack(rows), np.array([genre for genre, _ in files]), tuple(file.stem for _, file in files)
    )


def write(name: str, text: str, thresholds: Mapping[str, float]) -> None:
    """Put thresholds where they are read: thresholds.json, the checkpoint, its card."""
    store = HERE / "thresholds.json"
    known = json.loads(store.read_text(encoding="utf-8")) | {name: dict(sorted(thresholds.items()))}
    store.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    path = checkpoint.shipped()[name]
    loaded = checkpoint.load(path)
    checkpoint.save(path, replace(loaded.meta, thresholds=dict(thresholds)), loaded.state)
    card = HERE / f"{name}.md"
    content = card.read_text(encoding="utf-8")
    card.write_text(MARK.sub(lambda _: text, content), encoding="utf-8")


def _precise(scores: Array, right: npt.NDArray[np.bool_], *, best_f1: bool) -> float | None:
    """The threshold of the `own` or `finer` rule; None where its precision is never reached."""
    candidates = []
    for threshold in np.arange(FLOOR, 1.0, 0.01).round(2):
        above = right[scores >= threshold]
        hits = int(above.sum())
        if len(above) >= FEWEST_CLIPS and hits >= PRECISION * len(above):
            f1 = 2 * hits / (len(above) + right.sum())
            candidates.append((f1 if best_f1 else -threshold, float(threshold)))
    return max(candidates)[1] if candidates else None


def _judged(clips: Clips, labels: LabelSet, label: str, tags: Tags) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Scores of the clips on which the label is right or wrong, and which of them it is right on."""
    known = ~np.isin(clips.genres, tags[label].get("unknown", []))
    right = np.isin(clips.genres[known], tags[label].get("right", []))
    return clips.scores[known, labels.names.index(label)], right


def _round_up(value: float) -> float:
    return float(np.ceil(value * 100) / 100)


def _known(path: Path) -> Clips:
    """Track scores from a features file (X windows x labels, IDS "genre/name.ext")."""
    with np.load(path) as content:
        windows, ids = content["X"], content["IDS"]
    tracks, owner = np.unique(ids, return_inverse=True)
    scores = np.stack([windows[owner == track].mean(axis=0) for track in range(len(tracks))])
    paths = [Path(track) for track in tracks.tolist()]
    return Clips(scores, np.array([path.parent.name for path in paths]), tuple(path.stem for path in paths))


def _counts(clips: Clips) -> str:
    genres, numbers = np.unique(clips.genres, return_counts=True)
    parts = [f"{number} {genre}" for genre, number in zip(genres.tolist(), numbers.tolist(), strict=True)]
    return f"{len(clips.names)} clips ({', '.join(parts)})"


def _split(gtzan: Path) -> dict[str, str]:
    with gzip.open(gtzan / "split_filtered.json.gz", "rt", encoding="utf-8") as file:
        return {row["extra"]["id"]: row["split"] for row in json.load(file).values()}


def _files(gtzan: Path, split: Mapping[str, str], part: str) -> list[tuple[str, Path]]:
    found = sorted((gtzan / "genres").glob("*/*"))
    return [(path.parent.name, path) for path in found if split.get(path.stem) == part]


def _table(rows: Iterable[Row]) -> str:
    lines = [
        "| label | rule | threshold | clips above | precision | recall |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        precision, recall = (
            "–" if value is None else f"{value:.2f}" for value in (row.precision, row.recall)
        )
        lines.append(
            f"| {row.label} | {row.rule} | {row.threshold:.2f} | {row.above} | {precision} | {recall} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
