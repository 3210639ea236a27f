"""Many nodes and remote storage, for real on this machine: same answers, what Ray costs, what is fetched.

    python -m benchmarks.cluster nodes --library MIXED
    python -m benchmarks.cluster overhead --library /tmp/clips --files 2000 --rounds 3
    python -m benchmarks.cluster storage --library SONGS

`nodes` compares 2 and 3 nodes of a Ray cluster with one machine, also with a node killed on the way.
`overhead` makes short clips where there are none, and runs both engines in turns on the same cores. `storage`
puts songs into an object store behind a relay that counts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import program, small_library
from benchmarks.object_store import BUCKET, ObjectStore

STORE_BYTES = 80 << 20


@contextlib.contextmanager
def cluster(cores: Sequence[int]) -> Iterator[tuple[str, Callable[[], None]]]:
    """A cluster with nodes of so many cores beside a head without any: its address, and what kills a node."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False},
    )
    nodes = [made.add_node(num_cpus=count, object_store_memory=STORE_BYTES) for count in cores]
    try:
        yield made.address, lambda: made.remove_node(nodes.pop(), allow_graceful=False)
    finally:
        made.shutdown()


def tag(
    arguments: Sequence[str | Path], after: int = 0, then: Callable[[], None] = lambda: None
) -> list[Any]:
    """Records of a run with an empty store, less their seconds; `then` is called after so many of them."""
    records: list[Any] = []
    with tempfile.TemporaryDirectory() as home:
        command = [*program.GENRETAG, *program.tag_arguments(["--dry-run", *arguments])]
        with subprocess.Popen(
            command, env=program.environment(Path(home)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as running:
            assert running.stdout is not None
            for line in running.stdout:
                records.append({**json.loads(line), "seconds": None})
                if len(records) == after:
                    then()
    return records


def nodes(library: Path) -> None:
    alone = tag(["--device", "cpu", library])
    print(f"one machine: {len(alone)} records, {sum(r['error'] is not None for r in alone)} of them failures")
    for count, kill in ((2, False), (3, False), (3, True)):
        with cluster([1] * count) as (address, remove):
            ray = ["--device", "cpu", "--engine", "ray", "--ray-address", address, library]
            found = tag(ray, len(alone) // 3 if kill else 0, remove)
        wrong = sum(one != other for one, other in zip(alone, found, strict=False))
        same = "the same" if found == alone else f"{wrong} of {len(found)} differ"
        print(f"{count} nodes{', one killed after a third' if kill else ''}: {len(found)} records, {same}")


def overhead(library: Path, files: int, rounds: int, model: str) -> None:
    small_library.make(library, files)
    count = len(os.sched_getaffinity(0))
    rates = defaultdict(list)
    with cluster([count]) as (address, _):
        engines = {"local": (), "ray": ("--engine", "ray", "--ray-address", address)}
        for _ in range(rounds):
            for name, extra in engines.items():
                with tempfile.TemporaryDirectory() as home, processor_time() as spent:
                    run = program.tag(
                        Path(home), ["--dry-run", "--model", model, "--device", "cpu", *extra, library]
                    )
                rates[name, "under way"].append(program.rate(run["arrivals"]))
                rates[name, "start to end"].append(len(run["records"]) / run["seconds"])
                rates[name, "core-ms a file"].append(1e3 * sum(spent.values()) / len(run["records"]))
    print(
        f"\n{files:,} clips of {small_library.SECONDS:g} s, model {model}, {count} cores, {rounds} rounds\n"
    )
    print("| | local | Ray | Ray over local |\n| --- | --- | --- | --- |")
    for what in ("under way", "start to end", "core-ms a file"):
        local, ray = rates["local", what], rates["ray", what]
        ratio = statistics.median(other / one for one, other in zip(local, ray, strict=True))
        print(f"| {what} | {statistics.median(local):.1f} | {statistics.median(ray):.1f} | {ratio:.2f} |")


@contextlib.contextmanager
def processor_time() -> Iterator[dict[int, float]]:
    """Seconds of processor time of every process below this one for the time of the block, by its number."""
    before, spent = below(os.getpid()), dict[int, float]()

    def look(_: float) -> None:
        for pid, seconds in below(os.getpid()).items():
            spent[pid] = seconds - before.get(pid, 0.0)

    with program.every(0.2, look):
        yield spent


def below(root: int) -> dict[int, float]:
    """Processor seconds of all processes that this one started, or those did."""
    parents, seconds = {}, {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = place.read_text().rpartition(")")[2].split()
            pid = int(place.parent.name)
            parents[pid] = int(fields[1])
            seconds[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: seconds[pid] for pid in found - {root} if pid in seconds}


def storage(library: Path) -> None:
    from genretag import checkpoint
    from genretag.audio.decode import decode_whole
    from genretag.audio.payload import identify
    from genretag.audio.remote import place
    from genretag.tagging import tags

    spec = checkpoint.read_meta(checkpoint.resolve("musicnn-msd")).features
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * 7)
    with ObjectStore() as store:
        stored = store.put_folder(library)
        os.environ.update(store.environment)
        for path in sorted(path for path in library.rglob("*") if path.is_file()):
            song = place(f"s3://{BUCKET}/{path.relative_to(library).as_posix()}")
            song.stat()
            row = sums[path.suffix]
            row[0] += 1
            row[1] += path.stat().st_size
            store.relay.reset()
            identify(song)
            tags.read(song)
            row[2] += store.relay.fetched
            row[3] += store.relay.requests
            _forget()
            store.relay.reset()
            decode_whole(song, spec, "fast")
            row[4] += store.relay.fetched
            row[5] += store.relay.requests
            _forget()
            store.relay.reset()
            decode_whole(song, spec, "full")
            row[6] += store.relay.fetched
        row = [sum(column) for column in zip(*sums.values(), strict=True)]
        assert row[1] == stored
        print("| | files | stored, MB | looked at | requests a file | `fast` | requests a file | `full` |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for name, (n, size, look, asked, fast, heard, full) in [*sorted(sums.items()), ("all", row)]:
            cells = [str(n), f"{size / 1e6:.1f}", f"{look / size:.0%}", f"{asked / n:.1f}"]
            cells += [f"{fast / size:.0%}", f"{heard / n:.1f}", f"{full / size:.0%}"]
            print(f"| {name} | {' | '.join(cells)} |")


def _forget() -> None:
    """What another process would not have at hand either."""
    from genretag.audio import remote

    remote._KEPT = remote._Kept(remote.KEPT)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("nodes", "overhead", "storage"))
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="musicnn-msd")
    options = parser.parse_args(arguments)
    program.print_machine(program.machine())
    if options.what == "nodes":
        nodes(options.library)
    elif options.what == "overhead":
        overhead(options.library, options.files, options.rounds, options.model)
    else:
        storage(options.library)
    return 0


if __name__ == "__main__":
    sys.exit(main())
