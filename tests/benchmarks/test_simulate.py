"""The simulation of many machines: rates that can be reckoned by hand, and nodes that are lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import capacity
from benchmarks.nodes import File, Outcome, Setup, Simulation
from benchmarks.simulate import Stages, beside_reality, driver_seconds, growth, show, show_reality

MB = 1e6
FILE = File(read=4 * MB, calls=50, decode=0.030, windows=8, look=0.2 * MB, look_calls=10)
PLAIN = Setup(nodes=1, cores=1, window=0.002, record=0.002)
RUNS = {"1": {"rate": 17.0, "cores": 1.0}, "2": {"rate": 30.0, "cores": 1.8}}
CORE_SECONDS = 0.030 + 8 * 0.002 + 0.002


def run(setup: Setup, count: int = 400, file: File = FILE, seed: int = 0) -> Outcome:
    return Simulation(setup, [file] * count, seed).run()


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_cores_do_all_there_is_to_do(cores: int) -> None:
    done = run(replace(PLAIN, cores=cores))
    assert done.rate == pytest.approx(cores / CORE_SECONDS, rel=0.02)
    assert done.busiest == "cores"
    worked = done.busy["cores"] * done.seconds * cores
    assert worked == pytest.approx(400 * CORE_SECONDS)


def test_nodes_that_drive_themselves_do_not_hold_each_other_up() -> None:
    one, many = run(PLAIN, 100), run(replace(PLAIN, nodes=16), 1600)
    assert many.rate == pytest.approx(16 * one.rate, rel=0.02)


def test_one_driver_sets_the_limit_of_many_nodes() -> None:
    setup = replace(PLAIN, drivers="one", nodes=64, cores=4)
    done = run(setup, 6400)
    assert done.rate == pytest.approx(1 / setup.record, rel=0.05)
    assert done.busiest == "driver"
    few = run(replace(setup, nodes=2), 400)
    assert few.rate == pytest.approx(2 * 4 / (CORE_SECONDS - setup.record), rel=0.02)


@pytest.mark.parametrize("drivers", ["one", "each"])
def test_nodes_look_at_files_whoever_drives_one_after_the_other(drivers: Any) -> None:
    setup, slow = replace(PLAIN, drivers=drivers, nodes=4, delay=0.001), replace(FILE, look_calls=200)
    assert run(setup, 800, slow).rate == pytest.approx(4 / 0.2, rel=0.02)
    dear = replace(FILE, look_seconds=0.1)
    own = setup.record if drivers == "each" else 0.0
    assert run(replace(setup, delay=0.0), 800, dear).rate == pytest.approx(4 / (0.146 + own), rel=0.02)


def test_the_file_system_and_the_link_set_limits() -> None:
    slow = run(replace(PLAIN, nodes=16, bandwidth=100 * MB), 1600)
    assert slow.rate == pytest.approx(100 / 4.2, rel=0.02)
    assert slow.busiest == "file system"
    narrow = run(replace(PLAIN, cores=16, link=100 * MB), 800)
    assert narrow.rate == pytest.approx(100 / 4.2, rel=0.02)
    assert narrow.busiest == "link"


def test_more_workers_than_cores_hide_delays() -> None:
    file = replace(FILE, look_calls=0)
    setup = replace(PLAIN, delay=0.002)  # 100 ms a file
    assert run(setup, file=file).rate < 0.5 / CORE_SECONDS
    assert run(replace(setup, workers=8), file=file).rate == pytest.approx(1 / CORE_SECONDS, rel=0.05)


def test_a_device_scores_beside_the_cores() -> None:
    setup = replace(PLAIN, cores=4, device=True, window=0.004)
    assert run(setup).rate == pytest.approx(1 / (8 * 0.004), rel=0.02)
    assert run(setup).busiest == "device"
    assert run(replace(setup, window=0.0001)).rate == pytest.approx(4 / 0.032, rel=0.02)


def test_a_long_file_at_the_end_is_waited_for() -> None:
    files = [FILE] * 200 + [replace(FILE, decode=60.0)]
    done = Simulation(replace(PLAIN, nodes=8), files).run()
    assert done.seconds > 60
    assert done.overall < done.rate / 10


@pytest.mark.parametrize("drivers", ["one", "each"])
def test_every_file_is_done_once_whatever_nodes_are_lost(drivers: Any) -> None:
    setup = replace(PLAIN, nodes=8, cores=2, drivers=drivers, delay=0.0001, lifetime=5.0, repair=2.0)
    simulation = Simulation(setup, [FILE] * 3000, seed=4)
    done = simulation.run()
    assert sorted(simulation.finished) == list(range(3000))
    assert len(done.finished) == 3000
    assert done.lost > 0
    whole = run(replace(setup, lifetime=None), 3000)
    assert whole.lost == 0
    # Of 7 s a node works 5; what it had begun is done again.
    assert 0.5 < done.overall / whole.overall < 0.9
    assert Simulation(setup, [FILE] * 3000, seed=4).run() == done
    assert Simulation(setup, [FILE] * 3000, seed=5).run() != done


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    one = {"suffix": ".mp3", "size": 10 * MB, "read": 4 * MB, "calls": 50, "decode": 0.03, "windows": 8}
    document = {
        "window": 0.002,
        "files": [
            {**one, "look": 0.2 * MB, "look_calls": 10, "look_seconds": 0.0005},
            {**one, "look": 0, "look_calls": 0, "look_seconds": 0.0005, "decode": 0.05},
        ],
        "run": {"driver": 0.002, "record_bytes": 1000, "cores": RUNS},
    }
    (tmp_path / "stages.json").write_text(json.dumps(document))
    return Stages.read(tmp_path / "stages.json")


def test_what_was_measured_is_replayed(stages: Stages) -> None:
    files = stages.library(1000)
    assert sum(file.decode for file in files) / 1000 == pytest.approx(0.04, rel=0.05)
    assert stages.library(1000) == files
    rows = beside_reality(stages, 400)
    assert [row["cores"] for row in rows] == [1, 2]
    assert rows[0]["ratio"] == pytest.approx(1 / 0.058 / 17.0, rel=0.05)
    assert rows[1]["ratio"] == pytest.approx(1.8 / 0.058 / 30.0, rel=0.05)
    assert show_reality(rows).count("\n") == 3
    found = growth(stages, stages.setup(cores=2), [1, 4], 200)
    assert found[1]["linear"] == pytest.approx(1.0, abs=0.05)
    assert show(found).count("\n") == 3


def test_the_model_multiplies_what_was_measured(stages: Stages) -> None:
    assert stages.record == pytest.approx(0.0015)
    need = capacity.need(stages, 1e6, driver=0.0003, record_bytes=1000, store_bytes=500)
    assert need.core_hours == pytest.approx(1e6 * (0.04 + 8 * 0.002 + 0.002) / 3600)
    assert need.read_bytes == pytest.approx(1e6 * 4.1 * MB)
    assert need.cores(24) == pytest.approx(need.core_hours / 24)
    assert need.bits_a_second(24) == pytest.approx(8e6 * 4.1 * MB / 86400)
    assert need.driver_hours == pytest.approx(1e6 * 0.0003 / 3600)
    assert (need.records_bytes, need.store_bytes) == (1e9, 5e8)


def test_the_driver_is_that_of_the_largest_cluster(tmp_path: Path) -> None:
    rows = [{"nodes": 64, "driver": 0.0003}, {"nodes": 8, "driver": 0.0004}]
    (tmp_path / "driver.json").write_text(json.dumps({"rows": rows}))
    assert driver_seconds(tmp_path / "driver.json") == 0.0003
