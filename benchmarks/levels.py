"""Measure how answers depend on level, limiting, DC offset, cancelling channels and silence.

    python -m benchmarks.levels --data ../shared/data --out /tmp/levels

Makes a copy of every development clip (GTZAN's `valid` clips, those of `genres16k/valid` and
`genres16k/outside`, and the clips of FMA-small) under each of CONDITIONS in `--out`; copies that exist are
kept. The table shows how many clips keep their first genre ("unsure" counts as one), how many keep their
highest label whether it is decided or not, and how many of GTZAN's clips are right, unsure and wrong. None of
these clips trained a model. `--model` may be a checkpoint file, such as one of an earlier version.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks import program
from genretag import checkpoint
from genretag.audio._pyav import open_input
from genretag.audio.windows import parse_coverage
from genretag.datasets.gtzan import filtered_split
from genretag.predict.decide import DecisionRule, decide
from genretag.predict.engine import EngineOptions, Job, predict

SECONDS = 30.0
UNSURE = "unsure"
SUFFIXES = (".mp3", ".flac")

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Condition:
    """A chain of FFmpeg filters, then a change of the samples (samples, channels) at a rate."""

    filters: str = "anull"
    change: Callable[[Samples, int], Samples] = lambda samples, rate: samples


def _inverted(samples: Samples, rate: int) -> Samples:
    mono = samples.mean(axis=1)
    return np.stack([mono, -mono], axis=1)


def _silence_first(seconds: float) -> Callable[[Samples, int], Samples]:
    def change(samples: Samples, rate: int) -> Samples:
        return np.concatenate([np.zeros((round(seconds * rate), samples.shape[1]), np.float32), samples])

    return change


CONDITIONS: Mapping[str, Condition] = {
    "as decoded": Condition(),
    "-12 dB": Condition("volume=-12dB"),
    "-6 dB": Condition("volume=-6dB"),
    "+6 dB": Condition("volume=6dB"),
    "+12 dB": Condition("volume=12dB"),
    "+9 dB, limiter": Condition("volume=9dB,alimiter=limit=0.97:level=0"),
    "DC offset 0.1": Condition("dcshift=0.1"),
    "right = -left": Condition(change=_inverted),
    "60 s of silence first": Condition(change=_silence_first(60)),
}


@dataclass(frozen=True)
class Clip:
    """A development clip; `genre` is None if it is not one of GTZAN's."""

    path: Path
    genre: str | None


def development_clips(data: Path) -> Iterator[Clip]:
    """Clips that no model here was trained on, each once."""
    split = {Path(name).stem: part for name, part in filtered_split().items()}
    seen = set()
    for path in sorted((data / "gtzan" / "genres").rglob("*")):
        if path.suffix in SUFFIXES and split.get(path.stem) == "valid":
            seen.add(path.stem)
            yield Clip(path, path.parent.name)
    for part in ("valid", "outside"):
        for path in sorted((data / "gtzan" / "genres16k" / part).rglob("*")):
            if path.suffix in SUFFIXES and path.stem not in seen:
                seen.add(path.stem)
                yield Clip(path, path.parent.name)
    for path in sorted((data / "fma" / "clips").rglob("*.mp3")):
        yield Clip(path, None)


def filtered(path: Path, chain: str) -> tuple[Samples, int]:
    """The first SECONDS of a file through FFmpeg filters: float32 (samples, channels), and the rate."""
    with open_input(str(path)) as container:
        stream = container.streams.audio[0]
        rate, channels = stream.rate, stream.channels
        graph = av.filter.Graph()
        nodes = [graph.add_abuffer(template=stream)]
        for part in f"aformat=sample_fmts=flt,{chain},aformat=sample_fmts=flt".split(","):
            name, _, options = part.partition("=")
            nodes.append(graph.add(name, options or None))
        nodes.append(graph.add("abuffersink"))
        for one, following in itertools.pairwise(nodes):
            one.link_to(following)
        graph.configure()
        blocks: list[Samples] = []
        for frame in container.decode(stream):
            if frame.time is not None and frame.time >= SECONDS:
                break
            graph.push(frame)
            blocks += _pulled(graph)
        graph.push(None)
        blocks += _pulled(graph)
    return np.concatenate(blocks).reshape(-1, channels), rate


def _pulled(graph: av.filter.Graph) -> Iterator[Samples]:
    while True:
        try:
            yield graph.pull().to_ndarray().reshape(-1)
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def make(clips: Sequence[Clip], name: str, out: Path) -> list[Path]:
    """The clips under a condition, as WAV files with float samples, so that nothing clips."""
    condition, copies = CONDITIONS[name], []
    folder = out / name.replace(" ", "-").replace(",", "").replace("=", "")
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        copy = folder / f"{clip.path.stem}.wav"
        if not copy.exists():
            samples, rate = filtered(clip.path, condition.filters)
            part = copy.with_suffix(".part")
            soundfile.write(part, condition.change(samples, rate), rate, format="WAV", subtype="FLOAT")
            part.replace(copy)
        copies.append(copy)
    return copies


def answers(paths: Sequence[Path], model: Path, options: EngineOptions) -> tuple[list[str], list[str]]:
    """First genre of every file, and its highest label of the broad ones or of all."""
    meta = checkpoint.read_meta(model)
    names = meta.labels.names
    broad = [names.index(name) for name in meta.labels.broad or tuple(meta.labels.genres)]
    first, highest = [], []
    for path, found in predict([Job(path, path) for path in paths], model, options):
        if found is None or found.scores is None:
            error = "no answer" if found is None or found.error is None else found.error.code
            print(f"{path}: {error}")
            first.append(error)
            highest.append(error)
            continue
        genres = decide(found.scores, meta.labels, meta.thresholds, DecisionRule()).genres
        first.append(genres[0] if genres else UNSURE)
        highest.append(names[broad[int(found.scores[broad].argmax())]])
    return first, highest


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--coverage", default="fast")
    parser.add_argument("--only", action="append", choices=list(CONDITIONS), help="may be repeated (all)")
    parser.add_argument("--json", type=Path, help="write the answers to a file")
    options = parser.parse_args(arguments)
    clips = list(development_clips(options.data))
    model = checkpoint.resolve(options.model)
    labels = checkpoint.read_meta(model).labels
    engine = EngineOptions(device="cpu", coverage=parse_coverage(options.coverage))
    program.print_machine(program.machine())
    truth = [None if clip.genre is None else _genre_of(clip.genre, labels.genres) for clip in clips]
    judged = sum(genre is not None for genre in truth)
    print(f"{len(clips)} clips, {judged} of them GTZAN's\n")
    print("| condition | same first genre | same highest label | right / unsure / wrong |")
    print("| --- | --- | --- | --- |")
    everything: dict[str, list[str]] = {}
    reference: tuple[list[str], list[str]] | None = None
    for name in ["as decoded", *(one for one in options.only or CONDITIONS if one != "as decoded")]:
        first, highest = answers(make(clips, name, options.out), model, engine)
        reference = reference or (first, highest)
        same = [sum(map(str.__eq__, *pair)) for pair in zip((first, highest), reference, strict=True)]
        found = [answer for answer, genre in zip(first, truth, strict=True) if genre is not None]
        right = sum(answer == genre for answer, genre in zip(first, truth, strict=True) if genre is not None)
        unsure = found.count(UNSURE)
        shares = " | ".join(f"{count} of {len(clips)} ({100 * count / len(clips):.1f} %)" for count in same)
        print(f"| {name} | {shares} | {right} / {unsure} / {judged - right - unsure} |", flush=True)
        everything[name] = first
    if options.json:
        options.json.write_text(json.dumps({"clips": [str(clip.path) for clip in clips], **everything}))


def _genre_of(folder: str, genres: Mapping[str, str]) -> str:
    """The genre that a model writes for a class of GTZAN."""
    return next((genre for label, genre in genres.items() if label in (folder, f"genre/{folder}")), folder)


if __name__ == "__main__":
    main()
