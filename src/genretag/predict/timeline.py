"""One song over time: the scores of its windows, the stretches they make, its outline, and the decision."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genretag.audio.sources import AvSource, SoundfileSource, SourceError
from genretag.audio.windows import Coverage
from genretag.checkpoint import CheckpointMeta, read_meta
from genretag.errors import DecodeError
from genretag.labels import parents
from genretag.predict.decide import DecisionRule, decide
from genretag.predict.engine import EngineOptions, Job, predict
from genretag.predict.reasons import Reasons, Weighed, explain, sureness

OUTLINE_COLUMNS = 1000
BIN = 1024  # samples of the file whose extremes are kept until its length is known
# What a change of genre costs, in seconds of windows that say otherwise: a stretch between two of another
# genre must be longer than twice this to be told.
CHANGE_SECONDS = 6.0
CHANGE_SHARE = 0.01  # of a recording so long that this is more: an hour is told in fewer, longer stretches
# Keys of the JSON of a song, in order; those of one that could not be analysed are null.
KEYS = (
    *("path", "model", "version", "coverage", "duration", "window_seconds", "genres", "confidence", "why"),
    *("weighed", "sections", "scores", "labels", "starts", "windows", "seconds", "error"),
)


@dataclass(frozen=True)
class Section:
    """A stretch of a song, in seconds, that would mostly be called `genre`; None where nothing is sure."""

    start: float
    end: float
    genre: str | None


@dataclass(frozen=True, eq=False)
class Timeline:
    """What a model hears in one file, and where.

    `windows` (windows, labels) are probabilities, `starts` (windows,) seconds, `scores` (labels,) the
    track's. Window k speaks for the time from `edges[k]` to `edges[k + 1]` seconds. `alone` is the genre that
    each window would get if it were the whole song. `outline` (columns, 2) holds the lowest and highest
    sample of equal parts of the file, mono, full scale 1. `seconds` of work.
    """

    path: Path
    meta: CheckpointMeta
    coverage: Coverage
    duration: float
    starts: NDArray[np.float64]
    windows: NDArray[np.float32]
    scores: NDArray[np.float32]
    reasons: Reasons
    edges: NDArray[np.float64]
    alone: tuple[str | None, ...]
    sections: tuple[Section, ...]
    outline: NDArray[np.float32]
    seconds: float

    @property
    def window_seconds(self) -> float:
        return self.meta.features.window_seconds

    def sureness(self, item: Weighed) -> NDArray[np.float64]:
        """How sure the model is of a label in each window, (windows,); 0.5 is just enough."""
        return sureness(self.windows[:, self.meta.labels.names.index(item.label)], item.threshold)

    def telling(self, most: int) -> list[Weighed]:
        """The labels worth a row in a picture: what was chosen, then what stands out anywhere in the song."""
        weighed = self.reasons.weighed
        first = next((item for item in weighed if item.chosen), None)
        chosen, peaks = [item for item in weighed if item.chosen], {}
        for item in weighed[len(chosen) :]:
            stranger = item.role == "finer" and (first is None or first.genre not in parents(item.name))
            peak = max(item.sureness, float(np.quantile(self.sureness(item), 0.9)))
            if peak >= (0.5 if stranger else 0.1):
                peaks[item] = peak
        return (chosen + sorted(peaks, key=lambda item: -peaks[item]))[:most] or list(weighed[:most])

    def to_dict(self) -> dict[str, Any]:
        """What JSON holds of it; `windows` are rows of scores in the order of `labels`, one per start."""
        names = self.meta.labels.names
        return {
            "path": str(self.path),
            "model": self.meta.name,
            "version": self.meta.package_version,
            "coverage": self.coverage,
            "duration": round(self.duration, 3),
            "window_seconds": round(self.window_seconds, 3),
            "genres": list(self.reasons.decision.genres),
            "confidence": round(self.reasons.decision.confidence, 4),
            "why": list(self.reasons.sentences),
            "weighed": [
                asdict(item) | {"score": round(item.score, 4), "sureness": round(item.sureness, 4)}
                for item in self.reasons.weighed
            ],
            "sections": [
                {"start": round(part.start, 3), "end": round(part.end, 3), "genre": part.genre}
                for part in self.sections
            ],
            "scores": {
                name: round(score, 4) for name, score in zip(names, self.scores.tolist(), strict=True)
            },
            "labels": list(names),
            "starts": [round(start, 3) for start in self.starts.tolist()],
            "windows": [[round(score, 4) for score in row] for row in self.windows.tolist()],
            "seconds": round(self.seconds, 3),
            "error": None,
        }


def listen(path: Path, checkpoint: Path, options: EngineOptions, rule: DecisionRule) -> Timeline:
    """Analyse one file through the engine, with the windows that `options.coverage` asks for.

    DecodeError with the engine's code where the file gives no scores; other errors as in `predict`.
    """
    began = time.perf_counter()
    meta = read_meta(checkpoint)
    options = replace(options, keep_windows=True)
    with contextlib.closing(predict([Job(None, path)], checkpoint, options)) as answers:
        ((_, heard),) = answers
    assert heard is not None
    if heard.error is not None:
        raise DecodeError(heard.error.message, code=heard.error.code)
    assert heard.scores is not None
    assert heard.windows is not None
    assert heard.starts is not None
    duration = heard.duration or 0.0
    edges = window_edges(heard.starts, meta.features.window_seconds, duration)
    alone = tuple(
        next(iter(decide(row, meta.labels, meta.thresholds, rule).genres), None) for row in heard.windows
    )
    return Timeline(
        path,
        meta,
        options.coverage,
        duration,
        heard.starts,
        heard.windows,
        heard.scores,
        explain(heard.scores, meta.labels, meta.thresholds, rule),
        edges,
        alone,
        sections(alone, edges),
        outline(path),
        time.perf_counter() - began,
    )


def window_edges(starts: NDArray[np.float64], length: float, duration: float) -> NDArray[np.float64]:
    """Times (windows + 1,) between which each window speaks: halfway to its neighbours, from 0 to the end."""
    centres = starts + length / 2
    between = (centres[:-1] + centres[1:]) / 2
    return np.concatenate([[0.0], np.minimum(between, duration), [duration]])


def sections(alone: tuple[str | None, ...], edges: NDArray[np.float64]) -> tuple[Section, ...]:
    """The stretches of a song: what its windows say one by one, smoothed by the price of a change.

    The cheapest path through the windows (Viterbi): a window under another name than its own costs its
    seconds, a change of name CHANGE_SECONDS or, of long recordings, CHANGE_SHARE of all.
    """
    price = max(CHANGE_SECONDS, CHANGE_SHARE * float(edges[-1]))
    names = sorted(set(alone), key=lambda name: name or "")
    spans = np.diff(edges)
    own = np.array([[name != said for name in names] for said in alone])  # (windows, names)
    costs = own * spans[:, None]
    total = costs[0]
    steps = []
    for row in costs[1:]:
        cheapest = int(total.argmin())
        change = total[cheapest] + price < total
        steps.append(np.where(change, cheapest, np.arange(len(names))))
        total = row + np.where(change, total[cheapest] + price, total)
    path = [int(total.argmin())]
    for step in reversed(steps):
        path.append(int(step[path[-1]]))
    path.reverse()
    firsts = [k for k in range(len(path)) if k == 0 or path[k] != path[k - 1]]
    return tuple(
        Section(float(edges[first]), float(edges[after]), names[path[first]])
        for first, after in zip(firsts, [*firsts[1:], len(path)], strict=True)
    )


def outline(path: Path, columns: int = OUTLINE_COLUMNS) -> NDArray[np.float32]:
    """Lowest and highest sample of equal parts of a file, (columns, 2); fewer columns for a very short one.

    DecodeError where no decoder can use it.
    """
    lows: list[NDArray[np.float32]] = []
    highs: list[NDArray[np.float32]] = []
    left = np.zeros(0, np.float32)
    with contextlib.closing(open_source(path)) as source:
        for _, block in source.blocks():
            samples = np.concatenate([left, block])
            whole = len(samples) // BIN * BIN
            bins = samples[:whole].reshape(-1, BIN)
            lows.append(bins.min(axis=1))
            highs.append(bins.max(axis=1))
            left = samples[whole:]
    if len(left):
        lows.append(left.min(keepdims=True))
        highs.append(left.max(keepdims=True))
    if not lows:
        return np.zeros((1, 2), np.float32)
    low, high = np.concatenate(lows), np.concatenate(highs)
    bounds = np.linspace(0, len(low), min(columns, len(low)) + 1).astype(int)[:-1]
    return np.stack([np.minimum.reduceat(low, bounds), np.maximum.reduceat(high, bounds)], axis=1)


def open_source(path: Path) -> AvSource | SoundfileSource:
    """The decoder that the engine would use; DecodeError where there is none."""
    for decoder in (AvSource, SoundfileSource):
        with contextlib.suppress(SourceError):
            return decoder(path)
    raise DecodeError(f"{path}: can no longer be decoded; did it change just now?")
