"""What a library of a million to a thousand million tracks takes, from the measured stages of one machine.

    python -m benchmarks.capacity --store-bytes 633

Prints, for each size and for `--hours` in which the work is to be done: processor hours, cores, what is read,
the rate at which it must be read, drivers that feed so many nodes, and how large records and store become.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.simulate import DRIVER, MEASURED, Stages, driver_seconds
from benchmarks.tagging_report import table

TRACKS = (10**6, 10**8, 10**9)
HOURS = (24.0, 24.0 * 30)


@dataclass(frozen=True)
class Need:
    """All that `tracks` take; hours of one core, bytes."""

    tracks: float
    core_hours: float
    read_bytes: float
    driver_hours: float
    records_bytes: float
    store_bytes: float

    def cores(self, hours: float) -> float:
        """Cores that do it in so many hours."""
        return self.core_hours / hours

    def bits_a_second(self, hours: float) -> float:
        """What the file system must give meanwhile."""
        return 8 * self.read_bytes / (3600 * hours)

    def drivers(self, hours: float) -> float:
        """Drivers that keep up with that."""
        return self.driver_hours / hours


def need(stages: Stages, tracks: float, *, driver: float, record_bytes: float, store_bytes: float) -> Need:
    """The mean of the measured files, so many times; `driver` is its seconds of one driver for all nodes."""
    decoding = statistics.mean(file.decode + file.look_seconds for file in stages.files)
    windows = statistics.mean(file.windows for file in stages.files)
    read = statistics.mean(file.read + file.look for file in stages.files)
    return Need(
        tracks=tracks,
        core_hours=tracks * (decoding + windows * stages.window + stages.record) / 3600,
        read_bytes=tracks * read,
        driver_hours=tracks * driver / 3600,
        records_bytes=tracks * record_bytes,
        store_bytes=tracks * store_bytes,
    )


def show(needs: Sequence[Need], hours: Sequence[float]) -> str:
    """One row for each library and time."""
    head = ["tracks", "core-hours", "in", "cores", "read", "at", "drivers", "records", "store"]
    return table(
        head,
        [
            [
                f"{one.tracks:,.0f}",
                f"{one.core_hours:,.0f}",
                f"{given / 24:g} days" if given > 24 else "a day",
                f"{one.cores(given):,.1f}",
                f"{one.read_bytes / 1e12:,.1f} TB",
                f"{one.bits_a_second(given) / 1e9:,.2f} Gbit/s",
                f"{one.drivers(given):,.2f}",
                f"{one.records_bytes / 1e9:,.1f} GB",
                f"{one.store_bytes / 1e9:,.1f} GB",
            ]
            for one in needs
            for given in hours
        ],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", type=Path, default=MEASURED, help="JSON of benchmarks.stages")
    parser.add_argument("--driver", type=Path, default=DRIVER, help="JSON of benchmarks.driver")
    parser.add_argument("--store-bytes", type=float, required=True, help="a file, as benchmarks.scale says")
    parser.add_argument("--hours", type=float, nargs="+", default=HOURS)
    options = parser.parse_args(arguments)
    record_bytes = json.loads(options.stages.read_text(encoding="utf-8"))["run"]["record_bytes"]
    stages, driver = Stages.read(options.stages), driver_seconds(options.driver)
    needs = [
        need(stages, tracks, driver=driver, record_bytes=record_bytes, store_bytes=options.store_bytes)
        for tracks in TRACKS
    ]
    print(show(needs, options.hours))


if __name__ == "__main__":
    main()
