"""Stops, power cuts and meddling over real files; `python -m benchmarks.crash` does more of the same."""

from __future__ import annotations

import errno
import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.crash import attacks, faults, kills, links, others, power, processes
from benchmarks.crash.judge import Bench, Findings
from benchmarks.crash.kills import Mode
from foreign_tags import tag
from genretag.audio.packets import same_packets
from genretag.store import FileKey
from genretag.tagging import open_files, staged_copy
from sounds import make_sound

NAMES = ("mp3 song.mp3", "flac song.flac", "opus song.opus", "m4a song.m4a", "wv song.wv")


def bench(folder: Path, *names: str, in_place: bool = False) -> Bench:
    old = {}
    for number, name in enumerate(names):
        path = make_sound(folder / name, 0.6)
        if number % 2 == 0:
            tag(path, ["Jazz"], cover=bytes(range(256)) * 20)
        old[name] = path.read_bytes()
        path.unlink()
    return Bench(folder / "trials", old, in_place=in_place)


def wrong(findings: Findings) -> list[str]:
    assert findings.trials > 0
    return findings.losses + findings.leftovers + findings.untruths


@pytest.fixture
def strace() -> None:
    if not processes.has_strace():
        pytest.skip("no strace here")


def test_a_kill_at_every_call_of_one_write_loses_nothing(tmp_path: Path) -> None:
    """That changes something, from the lock of the run on; before that there is only the store."""
    one = bench(tmp_path, NAMES[0])
    one.fresh(one.old)
    calls = processes.list_calls(one.home, one.apply)
    replacement = calls.index(processes.REPLACEMENT)
    first = replacement - calls[replacement::-1].index("mkdir")
    findings = Findings()
    for number in range(first + 1, 1 + len(calls)):
        if calls[number - 1] in ("open", "close", "flush", "flock"):
            continue
        one.fresh(one.old)
        ended = one.starter(one.apply)(processes.kill_at_call(number)).wait()
        assert ended.killed, ended.output
        one.judge(one.old, f"killed at call {number} ({calls[number - 1]})", findings)
    assert findings.trials > 30
    assert wrong(findings) == []


def test_kills_of_other_formats_lose_nothing(tmp_path: Path) -> None:
    all_formats = bench(tmp_path, *NAMES)
    chance = random.Random(1)
    assert wrong(kills.at_calls(all_formats, 4, chance)) == []
    findings = kills.at_random(all_formats, 2, chance)
    assert findings.kills == 2
    assert wrong(findings) == []


@pytest.mark.usefixtures("strace")
def test_kills_at_system_calls_lose_nothing(tmp_path: Path) -> None:
    findings = kills.at_system_calls(bench(tmp_path, NAMES[1]), 4, random.Random(2))
    assert findings.kills == 4
    assert wrong(findings) == []


@pytest.mark.usefixtures("strace")
def test_a_power_cut_loses_nothing(tmp_path: Path) -> None:
    assert wrong(power.cut(bench(tmp_path, NAMES[2]), 6, random.Random(3))) == []


@pytest.mark.usefixtures("strace")
def test_what_the_journal_says_is_safe_when_it_says_so(tmp_path: Path) -> None:
    """Right after a run, or the start that settles a killed one, all that is not synced goes."""
    one, findings = bench(tmp_path, NAMES[4]), Findings()
    for scenario in power.scenarios(one, NAMES[4]):
        *_, (disk, moment) = power.play(one, scenario)
        power.judge(one, NAMES[4], disk.after_cut(lambda: 0.0), moment, findings)
    assert wrong(findings) == []


@pytest.mark.usefixtures("strace")
def test_stops_and_cuts_in_place_lose_nothing(tmp_path: Path) -> None:
    some = bench(tmp_path, NAMES[1], NAMES[2], in_place=True)
    assert wrong(power.cut(some, 4, random.Random(7))) == []
    for mode in (kills.at_calls, faults.rewritten, faults.two_at_once):
        assert wrong(mode(some, 2, random.Random(8))) == []


@pytest.mark.usefixtures("strace")
def test_a_start_that_is_killed_over_a_half_written_file_loses_nothing(tmp_path: Path) -> None:
    one = bench(tmp_path, NAMES[4], in_place=True)
    findings = Findings()
    half, *_ = (o for o in kills.operations(one, [NAMES[4]]) if o.name.endswith("killed at write"))
    half.prepare()
    found = one.states(one.old, "killed in the middle", findings)
    assert list(found.values()) == [None], "nothing was half written: the test tests nothing"
    for boundary in processes.list_boundaries(half.start, one.scratch)[::9]:
        half.prepare()
        assert processes.kill_at(half.start, boundary).killed
        one.judge(one.old, f"start killed at {boundary.name} {boundary.number}", findings)
    assert wrong(findings) == []


@pytest.mark.usefixtures("strace")
def test_what_was_not_synced_can_be_lost(tmp_path: Path) -> None:
    """The simulated disk itself: else it could never find anything."""

    def work() -> int:
        folder = tmp_path / "disk"
        (folder / "kept").write_bytes(b"new")
        (folder / "temp").write_bytes(b"unsynced")
        (folder / "temp").replace(folder / "old")
        return 0

    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "old").write_bytes(b"old")
    disk = power.Disk(tmp_path / "disk")
    for call in power.record(processes.worker(tmp_path / "home", work), tmp_path / "log"):
        disk.apply(call)

    def after(*, kept: bool) -> dict[str, bytes | None]:
        found = disk.after_cut(lambda: float(kept))
        return {Path(path.decode()).name: content for path, content in found.items()}

    assert after(kept=False) == {"disk": None, "old": b"old"}
    assert after(kept=True) == {"disk": None, "kept": b"new", "old": b"unsynced"}


@pytest.mark.usefixtures("strace")
def test_errors_of_the_disk_are_said_and_lose_nothing(tmp_path: Path) -> None:
    assert wrong(faults.errors(bench(tmp_path, NAMES[3]), 4, random.Random(4))) == []


@pytest.mark.usefixtures("strace")
def test_an_error_of_the_disk_while_packets_are_compared_is_raised_without_a_traceback(
    tmp_path: Path,
) -> None:
    song = make_sound(tmp_path / "song.m4a", 0.6)

    def compare() -> int:
        try:
            return 10 + same_packets(song, song)
        except OSError as error:
            return int(error.errno or 0)

    start = processes.worker(tmp_path / "home", compare)
    assert start(None).wait().code == 11
    same_packets(song, song)  # imports what the worker would otherwise read
    codes = set()
    for number in range(1, 9):
        ended = processes.inject(start, f"read:error=EIO:when={number}+")
        assert "Traceback" not in ended.output
        codes.add(ended.code)
    assert codes <= {errno.EIO, 11}
    assert errno.EIO in codes


def test_meddling_and_two_at_once_lose_nothing(tmp_path: Path) -> None:
    both = bench(tmp_path, *NAMES[:2])
    for mode in (faults.two_at_once, faults.clock_back):
        assert wrong(mode(both, 2, random.Random(5))) == []


# Other programs that step in


TAGGED = ("mp3-vbr dressed.mp3", "opus dressed.opus")
"""Names as those of the benchmark's specimens, with the fields that its tagger edits."""

root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs root, who writes the files of another user"
)


def attacked(folder: Path, *, in_place: bool = False) -> Bench:
    old = {}
    for name in TAGGED:
        path = make_sound(folder / name, 0.6)
        tag(path, ["Jazz", "Blues"], title="A Title")
        old[name] = path.read_bytes()
        path.unlink()
    return Bench(folder / "trials", old, in_place=in_place)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    "mode", [attacks.writer, attacks.edited, pytest.param(links.linked, marks=root), links.fifo]
)
def test_other_programs_that_step_in_lose_nothing(tmp_path: Path, mode: Mode, *, in_place: bool) -> None:
    findings = mode(attacked(tmp_path, in_place=in_place), 8, random.Random(9))
    assert wrong(findings) == []
    assert findings.outcomes
    assert in_place or not findings.windows


def test_the_writer_mode_sees_a_write_that_looks_for_no_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "_take_lease", lambda _descriptor: False)
    monkeypatch.setattr(open_files, "_open_for_writing_elsewhere", lambda _status: False)
    findings = attacks.writer(attacked(tmp_path), 12, random.Random(10))
    assert any("nothing of what the other process wrote" in loss for loss in findings.losses)


def test_the_edited_mode_sees_a_write_that_ignores_change_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = FileKey.of
    monkeypatch.setattr(FileKey, "of", lambda status: replace(really(status), ctime_ns=None))
    findings = attacks.edited(attacked(tmp_path), 12, random.Random(10))
    assert any("the edit is gone" in loss for loss in findings.losses)


@root
def test_the_linked_mode_sees_a_write_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_path(copy: staged_copy.StagedCopy) -> None:
        os.chown(copy.temp, copy.status.st_uid, copy.status.st_gid)
        copy.temp.chmod(copy.status.st_mode)

    monkeypatch.setattr(staged_copy.StagedCopy, "copy_metadata", by_path)
    findings = links.linked(attacked(tmp_path), 24, random.Random(10))
    assert any("elsewhere is not as it was" in loss for loss in findings.losses)


def test_the_fifo_mode_sees_a_write_that_compares_no_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_copy.StagedCopy, "_require_names", lambda _self: None)
    monkeypatch.setattr(staged_copy.StagedCopy, "_is_original", lambda _self, _named: True)
    findings = links.fifo(attacked(tmp_path), 12, random.Random(10))
    assert any("the pipe is gone" in loss for loss in findings.losses)


def test_a_run_that_hangs_is_an_untruth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 0.5)
    os.mkfifo(tmp_path / "pipe")
    start = processes.worker(tmp_path / "home", lambda: int((tmp_path / "pipe").open("rb").closed))
    findings = Findings()
    others.judge_end(start(None).wait(), "a pipe", findings)
    assert findings.untruths == ["a pipe: ended with 1000: it hung"]


def test_the_judge_sees_losses_leftovers_and_untruths(tmp_path: Path) -> None:
    """A judge that always nods would prove nothing."""
    one = bench(tmp_path, NAMES[0])
    one.written(one.old)
    path = one.music / NAMES[0]
    path.write_bytes(one.old[NAMES[0]])
    (one.music / ".genretag-left.mp3").touch()
    untrue = Findings()
    one.judge(one.old, "tampered", untrue)
    assert untrue.untruths[0].endswith("is old, not so in the journal")
    assert untrue.leftovers[0] == "tampered: .genretag-left.mp3"
    path.write_bytes(b"half")
    lost = Findings()
    one.judge(one.old, "cut short", lost)
    assert lost.losses[0] == f"cut short: {NAMES[0]}: 4 bytes that are neither"
