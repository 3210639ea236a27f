"""The real command over what is no plain file or has no plain name: pipes, devices, links."""

from __future__ import annotations

import calendar
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from command import in_own_process
from genretag.__main__ import run
from genretag.errors import TagError
from genretag.tagging import tags
from hostile_files import patched, sound
from small_lessons import GENRES, make_lessons
from sounds import make_sound

SURE = ("--model", "musicnn-msd", "--threshold", "0", "--top", "1")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    make_sound(folder / "good.mp3", 2)
    return folder


@pytest.fixture
def special(music: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Everything that never ends or never answers, under names of music."""
    os.mkfifo(music / "pipe.mp3")
    monkeypatch.chdir(music)  # a socket's name must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp3")
    monkeypatch.undo()
    (music / "zero.mp3").symlink_to("/dev/zero")
    (music / "to a pipe.mp3").symlink_to("pipe.mp3")
    made = [music / name for name in ("pipe.mp3", "socket.mp3", "zero.mp3", "to a pipe.mp3")]
    if os.geteuid() == 0:
        os.mknod(music / "device.mp3", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        made.append(music / "device.mp3")
    return made


def outcomes(*arguments: object, **options: object) -> dict[str, str]:
    answer = in_own_process("tag", "--json", *SURE, *arguments, **options)
    assert "Traceback" not in answer.err
    assert all("\n" not in record["error"]["message"] for record in answer.records if record["error"])
    found = {
        Path(record["path"]).name: record["error"]["code"] if record["error"] else record["status"]
        for record in answer.records
    }
    assert len(found) == len(answer.records)
    assert answer.code == (1 if any(record["error"] for record in answer.records) else 0)
    return found


def test_what_never_ends_is_passed_over_in_folders_and_named_where_it_was_asked_for(
    music: Path, special: list[Path]
) -> None:
    assert outcomes("-n", music) == {"good.mp3": "planned"}
    assert outcomes("-n", "--follow-symlinks", music) == {"good.mp3": "planned"}
    named = dict.fromkeys((path.name for path in special), "not-a-file")
    assert outcomes(music / "good.mp3", *special) == {"good.mp3": "written"} | named


def replaced(path: Path, kind: str) -> None:
    """Put a pipe, or a link to a device that never ends, under the name of a file."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_known_file_that_became_a_pipe_or_device_is_an_error_of_that_file(music: Path, kind: str) -> None:
    home = music.parent
    bad = make_sound(music / "bad.mp3", 2, seed=1)
    assert in_own_process("tag", "-n", *SURE, "--plan", home / "plan", music).code == 0
    tags.write(music / "good.mp3", ["Rock"])
    replaced(bad, kind)

    assert outcomes("-n", bad) == {"bad.mp3": "not-a-file"}
    assert outcomes(music, bad) == {"good.mp3": "kept", "bad.mp3": "not-a-file"}
    applied = in_own_process("apply", home / "plan")
    assert applied.code == 1
    assert f"[unreadable] {bad}: is not a regular file" in applied.err
    reported = in_own_process("report", "--json", bad)
    assert reported.code == 0
    assert [failure["code"] for failure in reported.records[0]["failures"]] == ["not-a-file"]
    known = in_own_process("report", "--json")
    assert known.code == 0
    assert known.records[0]["tracks"] == 1
    inspected = in_own_process("inspect", "--model", "musicnn-msd", "--html", home / "page.html", bad)
    assert inspected.code == 1
    assert f"[unreadable] {bad}: " in inspected.err
    assert not (home / "page.html").exists()
    listed = in_own_process("playlists", home / "lists", music, bad)
    assert listed.code == 1
    assert f"[not-a-file] {bad}: " in listed.err
    drafted = in_own_process("map", "init", "--json", music, bad)
    assert drafted.code == 0
    assert in_own_process("map", "init").code == 0
    assert not stat.S_ISREG(bad.stat().st_mode)


@pytest.mark.parametrize(("kind", "how"), [("pipe", "--in-place"), ("device", "--preserve-mtime")])
def test_undo_skips_what_is_no_regular_file_any_more(music: Path, kind: str, how: str) -> None:
    bad = make_sound(music / "bad.mp3", 2, seed=1)
    before = (music / "good.mp3").read_bytes()
    assert outcomes(how, music) == {"good.mp3": "written", "bad.mp3": "written"}
    replaced(bad, kind)
    answer = in_own_process("undo", "--json")
    assert answer.code == 1
    records = {Path(record["path"]).name: record for record in answer.records}
    assert records["good.mp3"]["status"] == "undone"
    assert records["bad.mp3"]["status"] == "skipped"
    assert records["bad.mp3"]["error"] == {
        "code": "changed",
        "message": f"{bad}: is not a regular file any more",
        "known": False,
    }
    assert (music / "good.mp3").read_bytes() == before
    assert not stat.S_ISREG(bad.stat().st_mode)


def test_pipes_and_devices_among_labelled_files_are_left_out_or_named(tmp_path: Path) -> None:
    root = make_lessons(tmp_path / "lessons", 4, GENRES[:2])
    replaced(root / GENRES[0] / "pipe.flac", "pipe")
    replaced(root / GENRES[1] / "device.flac", "device")
    (root / GENRES[1] / "gone.flac").symlink_to("nowhere")

    verified = in_own_process("datasets", "folder", "--verify", root, "--open", "--json")
    assert verified.code == 1
    assert {Path(one["path"]).name: one["what"] for one in verified.records[0]["findings"]} == {
        "pipe.flac": "not a regular file",
        "device.flac": "not a regular file",
        "gone.flac": "cannot be read (No such file or directory)",
    }
    (root / GENRES[1] / "gone.flac").unlink()
    learned = in_own_process("learn", "--min-files", "4", "--no-default", "--json", "--quiet", root)
    assert learned.code == 0
    assert learned.records[0]["files"] == dict.fromkeys(GENRES[:2], 4)
    trained = in_own_process(
        *("train", "--dataset", "folder", "--data", root, "--model", "probe", "--out", tmp_path / "run")
    )
    assert trained.code == 1, trained.err
    for name in ("pipe.flac", "device.flac"):
        assert f"{name}: is not a regular file" in trained.err
    measured = in_own_process(
        "eval", "musicnn-msd", "--dataset", "folder", "--data", root, "--split", "train"
    )
    assert measured.code == 1
    assert "[unreadable]" in measured.err
    assert "not a regular file" in measured.err


def test_a_pipe_with_the_name_of_a_playlist_is_left_alone(music: Path) -> None:
    tags.write(music / "good.mp3", ["Rock"])
    out = music.parent / "lists"
    out.mkdir()
    os.mkfifo(out / "Jazz.m3u8")
    answer = in_own_process("playlists", out, music)
    assert answer.code == 0
    assert (out / "Rock.m3u8").is_file()
    tags.write(music / "good.mp3", ["Jazz"])
    answer = in_own_process("playlists", out, music)
    assert answer.code == 2
    assert f"{out / 'Jazz.m3u8'}: is there and was not made by genretag" in answer.err
    assert stat.S_ISFIFO((out / "Jazz.m3u8").stat().st_mode)


def test_tags_are_written_to_regular_files_only(music: Path) -> None:
    good = tags.read(music / "good.mp3")
    replaced(music / "pipe.mp3", "pipe")
    replaced(music / "device.mp3", "device")
    for name in ("pipe.mp3", "device.mp3"):
        with pytest.raises(TagError, match="is not a regular file") as raised:
            tags.write(music / name, ["Rock"])
        assert raised.value.code == "unreadable"
        with pytest.raises(TagError, match="is not a regular file"):
            tags.restore(music / name, good.raw)


def test_times_beyond_64_bit_nanoseconds_do_not_matter_to_readers(music: Path, tmp_path: Path) -> None:
    tags.write(music / "good.mp3", ["Rock"])
    for year in (1601, 2300):
        seconds = calendar.timegm((year, 1, 1, 0, 0, 0))
        song = make_sound(music / f"{year}.mp3", 2, seed=year)
        tags.write(song, ["Jazz"])
        os.utime(song, ns=(seconds * 10**9, seconds * 10**9))
    listed = in_own_process("playlists", tmp_path / "lists", music)
    assert (listed.code, listed.err.splitlines()[0]) == (0, f"3 files, 2 playlists in {tmp_path / 'lists'}")
    for year in (1601, 2300):
        page = tmp_path / f"{year}.html"
        inspected = in_own_process(
            *("inspect", "--model", "musicnn-msd", "--html", page, "--audio", "link", music / f"{year}.mp3")
        )
        assert inspected.code == 0, inspected.err
        assert page.is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_files_of_the_system_are_not_read_for_ever(music: Path) -> None:
    # kmsg calls itself a regular file, and keeps whoever reads it waiting.
    for name in ("kmsg", "self/mem", "self/pagemap", "self/maps"):
        (music / f"{name.replace('/', ' ')}.mp3").symlink_to(f"/proc/{name}")
    found = outcomes("-n", "--follow-symlinks", music)
    assert found.pop("good.mp3") == "planned"
    assert len(found) == 4
    assert set(found.values()) <= {"empty", "unreadable"}


def test_links_that_go_round_end(music: Path) -> None:
    tags.write(music / "good.mp3", ["Rock"])
    (music / "here").symlink_to(".")
    (music / "itself.mp3").symlink_to("itself.mp3")
    (music / "a").mkdir()
    (music / "a" / "b").symlink_to("../c")
    (music / "c").symlink_to("a")
    found = outcomes("-n", "--follow-symlinks", music)
    assert found == {"good.mp3": "kept", "itself.mp3": "unreadable"}


NAMES = (
    b"new\nline\r.mp3",
    b"\x1b[31mred\x1b]0;title\x07.mp3",
    b"caf\xe9 \xff\xfe.mp3",
    b" .mp3",
    b"-rf.mp3",
    b"%s {0} $(id) `id`.mp3",
    b"a" * 251 + b".mp3",
    b"a." + b"b" * 253,
    "é".encode() * 125 + b".mp3",
)


def test_any_name_is_only_a_name(music: Path) -> None:
    for name in NAMES:
        make_sound(music / "next.mp3", 2)
        (music / "next.mp3").rename(os.fsdecode(bytes(music) + b"/" + name))
    (music / os.fsdecode(b"bad\xff\n\x1b[2J.flac")).write_bytes(b"no music")
    names = music.parent / "names"
    names.write_bytes(b"\0".join(bytes(music) + b"/" + name for name in os.listdir(bytes(music))))

    answer = in_own_process("tag", *SURE, "--files-from", names, "-0")
    assert answer.code == 1
    lines = answer.out.splitlines() + answer.err.splitlines()
    assert len(lines) == len(NAMES) + 1 + 1 + 3  # a line for each file, and the summary
    assert all(line.isprintable() for line in lines)
    for path in music.iterdir():
        assert path.suffix == ".flac" or tags.read(path).genres
    assert in_own_process("undo", "-q").code == 0
    assert not any(tags.read(path).genres for path in music.iterdir() if path.suffix != ".flac")


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose path leaves room for a short name, and below it one whose path is too long."""
    if sys.platform != "linux":
        pytest.skip("other systems have other limits")
    folder = tmp_path
    monkeypatch.chdir(tmp_path)
    while (room := 4070 - len(bytes(folder))) > 1:
        name = "d" * min(200, room - 1)
        os.mkdir(name)
        os.chdir(name)
        folder = folder / name
    make_sound(Path("a.mp3"), 2)
    os.mkdir("e" * 100)
    os.chdir("e" * 100)
    make_sound(Path("b.mp3"), 2)
    os.chdir(tmp_path)
    return folder


def test_a_path_with_no_room_for_the_copy_is_refused_and_forgotten(
    deep: Path, music: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = (deep / "a.mp3").read_bytes()
    assert outcomes(deep, music) == {"a.mp3": "too-long", "e" * 100: "unreadable", "good.mp3": "written"}
    assert (deep / "a.mp3").read_bytes() == before
    assert run(["tag", "-n", "-q", str(music)]) == 0
    assert capfd.readouterr().err == ""  # the start finds nothing to settle


def test_lists_that_are_none(music: Path) -> None:
    tags.write(music / "good.mp3", ["Rock"])
    names = music.parent / "names"
    names.write_bytes(bytes(music / "good.mp3") + b"\n" + b"a\0b.mp3\n")
    assert outcomes("-n", "--files-from", names) == {"good.mp3": "kept", "a\0b.mp3": "missing"}
    with names.open("r+b") as file:
        file.truncate(1 << 30)
    answer = in_own_process("tag", "-n", "--files-from", names)
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith("genretag: the list of --files-from holds a path of more")


def test_a_damaged_copy_does_not_speak_for_the_whole_one(music: Path) -> None:
    whole, damaged = music / "a.m4a", music / "b.m4a"
    whole.write_bytes(sound(".m4a"))
    damaged.write_bytes(patched(sound(".m4a"), b"stco", 12, ">I", 0xFFFFFF00))
    assert outcomes("-n", damaged) == {"b.m4a": "decode-failed"}
    answer = in_own_process("tag", "-n", *SURE, damaged)
    assert "as before" in answer.err
    assert outcomes("-n", whole) == {"a.m4a": "planned"}


def test_ten_thousand_files_in_one_folder(music: Path) -> None:
    tags.write(music / "good.mp3", ["Rock"])
    for number in range(1, 10_000):
        os.link(music / "good.mp3", music / f"{number}.mp3")
    found = outcomes("-n", music)
    assert len(found) == 10_000
    assert set(found.values()) == {"kept"}
