"""Medians, ratios and Markdown tables of what `benchmarks.tagging` measured.

python -m benchmarks.tagging_report tagging.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Figures = Mapping[str, Any]
COVERAGES = ("fast", "full")
PARTS = ("decoding", "features", "network")
PRECISIONS = ("fp32", "bf16")
PEERS = {"peer-plain": "musicnn as it is", "peer-kept": "musicnn, graph kept"}
RUNS = {"fast": "genretag, `fast`", "full": "genretag, `full`", "cached": "genretag, known already", **PEERS}


def medians(result: Figures) -> dict[str, float]:
    """The median over the rounds of every figure; a ratio is taken within each round.

    Times are in seconds of one core for a track, rates in tracks a second of all cores.
    """
    rounds = [_derived(one, result["machine"]["cores"]) for one in result["rounds"]]
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def _derived(one: Figures, cores: int) -> dict[str, float]:
    found: dict[str, float] = {
        "help": one["help"]["seconds"],
        "first-record": one["one-file"]["first"],
        "second-core": _under_way(one["fast"]) / _under_way(one["one-core"]),
    }
    for run in RUNS.keys() & one.keys():
        found[f"under-way {run}"] = _under_way(one[run])
        found[f"whole {run}"] = one[run]["files"] / one[run]["seconds"]
    for peer in PEERS.keys() & one.keys():
        found[f"processor {peer}"] = one[peer]["processor"]
        for run in RUNS.keys() & one.keys():
            for rate in ("under-way", "whole"):
                found[f"{rate} {run} / {peer}"] = found[f"{rate} {run}"] / found[f"{rate} {peer}"]
    window, speeds = one["pieces"]["window"], one["pieces"]["operations_a_second"]
    found |= {"window": window["score"], "flop": window["flop"]}
    found |= {f"bare {suffix}": seconds for suffix, seconds in one["pieces"]["bare"].items()}
    found |= {f"speed {precision}": speeds[precision] for precision in PRECISIONS}
    for coverage in COVERAGES:
        decode = one["pieces"]["decode"][coverage]
        found |= {f"{coverage} {suffix}": seconds for suffix, seconds in decode["by_suffix"].items()}
        windows = decode["windows"]
        spent = (
            decode["seconds"],
            windows * window["features"],
            windows * (window["score"] - window["features"]),
        )
        whole = cores / found[f"under-way {coverage}"]
        found |= {f"{coverage} {part}": seconds for part, seconds in zip(PARTS, spent, strict=True)}
        found |= {f"{coverage} whole": whole, f"{coverage} rest": whole - sum(spent)}
        for precision in PRECISIONS:
            operations = windows * window["flop"] / speeds[precision]
            found[f"{coverage} {precision}"] = operations
            found[f"{coverage} {precision} larger"] = whole / max(decode["seconds"], operations)
            found[f"{coverage} {precision} both"] = whole / (decode["seconds"] + operations)
    return found


def _under_way(run: Figures) -> float:
    """Files a second without the start; of a run that is too short to tell, with it."""
    return float(run["rate"] or run["files"] / run["seconds"])


def markdown(result: Figures) -> str:
    """All tables."""
    found = medians(result)
    blocks = [
        _heading(result),
        against_peer(found),
        processor_times(found, result["memory"]),
        _agreement(result["agreement"]),
        start_and_memory(found, result["memory"]),
        where_time_goes(found, result["memory"]),
        decoding(found, result["settings"]["suffixes"]),
        floor(found, result["memory"]),
    ]
    return "\n\n".join(block for block in blocks if block)


def _heading(result: Figures) -> str:
    settings = result["settings"]
    suffixes = ", ".join(settings["suffixes"])
    return (
        f"Machine: {describe(result['machine'])}.\n\n"
        f"{settings['tracks']} tracks ({suffixes}), `fast` over them {settings['repeat']} times; "
        f"model `{settings['model']}`; medians of {settings['rounds']} rounds."
    )


def describe(machine: Figures) -> str:
    """One line that names a machine."""
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def against_peer(found: Mapping[str, float]) -> str:
    """Tracks a second of every run and, where there is a peer, how many times its rate that is."""
    peers = [peer for peer in PEERS if f"whole {peer}" in found]
    rows = []
    for run, title in RUNS.items():
        for rate, name in (("under-way", "under way"), ("whole", "start to end")):
            if f"{rate} {run}" not in found or (run == "cached" and rate == "under-way"):
                continue
            each = found[f"{rate} {run}"]
            times = [f"{found[f'{rate} {run} / {peer}']:.1f}" for peer in peers]
            rows.append([f"{title}, {name}", f"{each:.2f}", f"{1 / each:.3f}", *times])
    return table(["run", "tracks/s", "s/track", *(f"times {PEERS[peer]}" for peer in peers)], rows)


def processor_times(found: Mapping[str, float], peaks: Figures) -> str:
    """What a further track costs in processor time, whatever else the machine does meanwhile."""
    peers = [peer for peer in PEERS if f"processor {peer}" in found]
    _, further = processor_time(peaks)
    costs = {RUNS[coverage]: seconds for coverage, seconds in further.items()}
    costs |= {PEERS[peer]: found[f"processor {peer}"] for peer in peers}
    rows = [
        [title, f"{seconds:.3f}", *(f"{found[f'processor {peer}'] / seconds:.1f}" for peer in peers)]
        for title, seconds in costs.items()
    ]
    return table(["run", "core-s/track", *(f"{PEERS[peer]} needs so many times" for peer in peers)], rows)


def _agreement(found: Figures | None) -> str:
    if found is None:
        return ""
    return (
        f"Scores of whole tracks, `full` against musicnn ({found['tracks']} tracks, every label): "
        f"they differ by {found['mean']:.1e} on average, by {found['greatest']:.1e} at most."
    )


def start_and_memory(found: Mapping[str, float], peaks: Figures) -> str:
    """Start-up, what a second core gives, and peaks of memory."""
    rows = [
        ["`genretag --help`", f"{found['help']:.2f} s"],
        ["first record of one unknown file", f"{found['first-record']:.2f} s"],
        ["all cores against one, `fast`", f"{found['second-core']:.2f} times"],
    ]
    for name in COVERAGES:
        size = peaks[name]["peak_bytes"] / 2**20
        rows.append([f"peak memory of all processes, `{name}`", f"{size:.0f} MiB"])
    return table(["what", "figure"], rows)


def where_time_goes(found: Mapping[str, float], peaks: Figures) -> str:
    """Core-milliseconds of a track: the parts by themselves, and what the whole run takes beyond them."""
    titles = {**{part: part for part in PARTS}, "rest": "the rest", "whole": "whole run, under way"}
    rows = []
    for coverage in COVERAGES:
        for part, title in titles.items():
            seconds, whole = found[f"{coverage} {part}"], found[f"{coverage} whole"]
            rows.append([f"`{coverage}`", title, f"{1000 * seconds:.1f}", f"{seconds / whole:.0%}"])
    start, _ = processor_time(peaks)
    return (
        f"{table(['coverage', 'part', 'core-ms a track', 'share'], rows)}\n\n"
        f"One window, features and network: {1000 * found['window']:.2f} ms of one core. "
        f"Processor time of a start, over all processes: {start:.1f} s."
    )


def processor_time(peaks: Figures) -> tuple[float, dict[str, float]]:
    """Seconds of processor time of a start, and of every further track by coverage."""
    short, fast, full = (peaks[name] for name in ("short", "fast", "full"))
    busier = fast["processor_seconds"] - short["processor_seconds"]
    further = busier / max(1, fast["files"] - short["files"])
    start = short["processor_seconds"] - further * short["files"]
    return start, {"fast": further, "full": (full["processor_seconds"] - start) / full["files"]}


def decoding(found: Mapping[str, float], suffixes: Sequence[str]) -> str:
    """Decoding by format, and the same seconds as in `fast` from the decoder alone."""
    kinds = {"bare": "as much sound, decoder alone", "fast": "`fast`", "full": "`full`"}
    rows = [[suffix, *(f"{1000 * found[f'{kind} {suffix}']:.1f}" for kind in kinds)] for suffix in suffixes]
    return "Decoding, core-milliseconds a track:\n\n" + table(["format", *kinds.values()], rows)


def floor(found: Mapping[str, float], peaks: Figures) -> str:
    """The limits of decoding and of arithmetic, and the whole run over them."""
    rows = []
    _, further = processor_time(peaks)
    for coverage in COVERAGES:
        for precision in PRECISIONS:
            times = (f"{coverage} decoding", f"{coverage} {precision}", f"{coverage} whole")
            ratios = (f"{coverage} {precision} larger", f"{coverage} {precision} both")
            rows.append([
                f"`{coverage}`", precision,
                *(f"{1000 * found[name]:.1f}" for name in times),
                *(f"{found[name]:.2f}" for name in ratios),
                f"{further[coverage] / sum(found[name] for name in times[:2]):.2f}",
            ])  # fmt: skip
    speeds = " and ".join(f"{found[f'speed {name}'] / 1e9:.0f} GFLOP/s in {name}" for name in PRECISIONS)
    head = [
        "coverage",
        "in",
        "decoding",
        "operations",
        "whole run",
        "over the larger",
        "over both",
        "processor time over both",
    ]
    return (
        f"Core-milliseconds a track. A window is {found['flop'] / 1e9:.2f} GFLOP as the network is written; "
        f"a core does {speeds} in a product of two large matrices.\n\n{table(head, rows)}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("result", type=Path, help="what benchmarks.tagging --out wrote")
    print(markdown(json.loads(parser.parse_args(arguments).result.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
