"""How fast `genretag tag` is, beside musicnn, beside its own parts, and beside what the machine could do.

    python -m benchmarks.tagging --library songs --peer-python musicnn-venv/bin/python --out tagging.json
    python -m benchmarks.tagging_report tagging.json

Every round measures everything once on the same files, every other round in the opposite order; what counts
is the median of the rounds. Prints Markdown tables; `--out` keeps all figures. The library is one that
`benchmarks.song_library` made, or any folder of music. For the time of the run its files are linked beside
it, so that a run is long enough to have a steady rate. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import memory, mixed_library, program, tagging_report

PEER = Path(__file__).with_name("musicnn_peer.py")
PEER_VARIANTS = ("plain", "kept")
PEER_MODEL = "musicnn-msd"
Figures = dict[str, Any]


@dataclass
class Trial:
    """What is measured on and where: `tracks` are the files, `many` folders of links to them."""

    tracks: list[Path]
    many: list[Path]
    model: str
    home: Path
    """The store of runs that look nothing up."""
    known: Path
    """A store that knows the tracks."""
    peer_python: Path | None
    rounds: list[dict[str, Figures]] = field(default_factory=list)
    scores: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Of each track, by path: what the program said in `full`, and the peer."""

    def line(self, *options: str, files: Sequence[Path], cached: bool = False) -> list[str]:
        """Arguments of a run that shows everything and writes nothing."""
        fresh = [] if cached else ["--no-cache"]
        common = ["--dry-run", "--existing", "replace", "--device", "cpu", "--model", self.model]
        return [*common, *fresh, *options, *map(str, files)]


def measure_pieces(trial: Trial) -> Figures:
    """Decoding, features and network by themselves, on one core."""
    command = [sys.executable, "-m", "benchmarks.pieces", "--model", trial.model, *map(str, trial.tracks)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with program.cores(1):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks.pieces answered {done.returncode}: {done.stderr.strip()[-2000:]}")
    answer: Figures = json.loads(done.stdout)
    return answer


def measure_tag(trial: Trial, home: Path, arguments: Sequence[str]) -> Figures:
    """One whole run: seconds, files, files a second from a quarter of the way on, to the first record."""
    done = program.tag(home, arguments)
    if odd := set(done["statuses"]) - {"planned", "unchanged", "unsure"}:
        raise SystemExit(
            f"files that cannot be measured with ({', '.join(odd)}): take them out of the library"
        )
    arrivals = done["arrivals"]
    if "full" in arguments:
        trial.scores["full"] = {record["path"]: record["scores"] for record in done["records"]}
    return {
        "seconds": done["seconds"],
        "files": len(arrivals),
        "first": arrivals[0],
        "rate": program.rate(arrivals) if len(arrivals) > 3 else None,
    }


def measure_one_core(trial: Trial) -> Figures:
    """`fast` on one core."""
    with program.cores(1):
        return measure_tag(trial, trial.home, trial.line(files=trial.many))


def measure_one_file(trial: Trial) -> Figures:
    """One file, with a store that does not exist yet."""
    with tempfile.TemporaryDirectory() as place:
        return measure_tag(trial, Path(place, "home"), trial.line(files=trial.tracks[:1], cached=True))


def measure_help(_: Trial) -> Figures:
    """`genretag --help`."""
    return {"seconds": program.help_seconds()}


def measure_peer(trial: Trial, variant: str) -> Figures:
    """musicnn over the tracks: seconds of the whole, seconds before the first file, files a second after."""
    # A module path meant for this environment would lead that one astray.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(trial.peer_python), "-P", str(PEER), variant, *map(str, trial.tracks)]
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{PEER.name} answered {done.returncode}: {done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout)
    if failed := [one for one in answer["files"] if "error" in one]:
        raise SystemExit(f"musicnn cannot read {failed[0]['path']} ({failed[0]['error']})")
    trial.scores["peer"] = {one["path"]: one["scores"] for one in answer["files"]}
    busy = sum(one["seconds"] for one in answer["files"])
    return {
        "seconds": seconds,
        "files": len(trial.tracks),
        "load": answer["load_seconds"],
        "rate": len(trial.tracks) / busy,
        "processor": sum(one["processor_seconds"] for one in answer["files"]) / len(trial.tracks),
        "windows": sum(one["windows"] for one in answer["files"]) / len(trial.tracks),
        "versions": answer["versions"],
    }


def variants(trial: Trial) -> dict[str, Callable[[], Figures]]:
    """Everything that a round measures."""
    found: dict[str, Callable[[], Figures]] = {
        "pieces": lambda: measure_pieces(trial),
        "fast": lambda: measure_tag(trial, trial.home, trial.line(files=trial.many)),
        "one-core": lambda: measure_one_core(trial),
        "full": lambda: measure_tag(trial, trial.home, trial.line("--coverage", "full", files=trial.tracks)),
        "cached": lambda: measure_tag(trial, trial.known, trial.line(files=trial.many, cached=True)),
        "help": lambda: measure_help(trial),
        "one-file": lambda: measure_one_file(trial),
    }
    if trial.peer_python is not None:
        for variant in PEER_VARIANTS:
            found[f"peer-{variant}"] = partial(measure_peer, trial, variant)
    return found


def measure_memory(trial: Trial) -> dict[str, Figures]:
    """Peak and processor time of all processes together, in runs of their own: looking costs time.

    `short` is `fast` over the tracks once; the store knows them afterwards.
    """
    lines = {
        "short": (trial.known, trial.line(files=trial.tracks, cached=True)),
        "fast": (trial.home, trial.line(files=trial.many)),
        "full": (trial.home, trial.line("--coverage", "full", files=trial.tracks)),
    }
    found = {}
    for name, (home, line) in lines.items():
        files = len(trial.tracks) * (len(trial.many) if name == "fast" else 1)
        command = [*program.GENRETAG, *program.tag_arguments(line)]
        found[name] = {"files": files, **memory.watch(command, home)}
    return found


@contextmanager
def linked(tracks: Sequence[Path], repeat: int) -> Iterator[list[Path]]:
    """Folders that each hold all tracks, under the file system of the first; gone afterwards."""
    with tempfile.TemporaryDirectory(dir=tracks[0].parent.parent, prefix=".tagging-") as place:
        folders = []
        for n in range(repeat):
            folder = Path(place, f"{n:03d}")
            folder.mkdir()
            for number, track in enumerate(tracks):
                target = folder / f"{number:04d} {track.name}"
                try:
                    os.link(track, target)
                except OSError:
                    shutil.copyfile(track, target)
            folders.append(folder)
        yield folders


def measure(
    tracks: Sequence[Path], *, rounds: int, repeat: int, model: str, peer_python: Path | None = None
) -> Figures:
    """Everything this benchmark prints, before medians are taken."""
    facts = program.machine()
    with linked(tracks, repeat) as many, tempfile.TemporaryDirectory() as place:
        trial = Trial(list(tracks), many, model, Path(place, "home"), Path(place, "known"), peer_python)
        peaks = measure_memory(trial)
        for number in range(rounds):
            steps = list(variants(trial).items())
            found: dict[str, Figures] = {}
            for name, step in reversed(steps) if number % 2 else steps:
                print(f"\rround {number + 1} of {rounds}: {name:<12}", end="", file=sys.stderr, flush=True)
                found[name] = step()
            trial.rounds.append(found)
        print(file=sys.stderr)
    return {
        "machine": facts,
        "settings": {
            "model": model,
            "tracks": len(tracks),
            "repeat": repeat,
            "suffixes": sorted({track.suffix for track in tracks}),
            "rounds": rounds,
        },
        "rounds": trial.rounds,
        "memory": peaks,
        "agreement": agreement(trial.scores) if model == PEER_MODEL else None,
    }


def agreement(scores: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Figures | None:
    """How far our scores of whole tracks are from the peer's; None where it was not asked."""
    if not {"full", "peer"} <= set(scores):
        return None
    differences = [
        abs(ours - scores["peer"][name][label])
        for name, labels in scores["full"].items()
        for label, ours in labels.items()
    ]
    return {
        "tracks": len(scores["full"]),
        "greatest": max(differences),
        "mean": statistics.mean(differences),
    }


def find_tracks(library: Path, count: int | None) -> list[Path]:
    """The first music files of a library, in name order."""
    found = sorted(path for path in library.rglob("*") if path.suffix.lower() in mixed_library.MUSIC_SUFFIXES)
    if not found:
        raise SystemExit(f"no music in {library}: make a library with benchmarks.song_library")
    return found[:count]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--tracks", type=int, help="only the first so many files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=4, help="times a fast run goes over the tracks (4)")
    parser.add_argument("--model", default=PEER_MODEL, help="musicnn-msd, the network of the peer")
    parser.add_argument("--peer-python", type=Path, help="Python of an environment with musicnn 0.1.0")
    parser.add_argument("--out", type=Path, help="JSON file for all figures")
    options = parser.parse_args(arguments)
    result = measure(
        find_tracks(options.library, options.tracks),
        rounds=options.rounds,
        repeat=options.repeat,
        model=options.model,
        peer_python=options.peer_python and options.peer_python.absolute(),
    )
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(tagging_report.markdown(result))


if __name__ == "__main__":
    main()
