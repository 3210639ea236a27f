"""`genretag tag` from the command line: what is written, shown and left alone, and what undo makes of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command import Command, command_line, in_own_process, start
from genretag.tagging import tags
from sounds import make_sound

GOOD = ("one's song.mp3", "three.m4a", "zwei ü.flac")
# No model is sure of a test generator's chords.
SURE = ("--model", "musicnn-msd", "--threshold", "0", "--top", "2")


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def genres(folder: Path) -> dict[str, tuple[str, ...]]:
    return {path.name: tags.read(path).genres for path in folder.rglob("*") if path.name in GOOD}


def statuses(records: list[dict[str, object]]) -> dict[str, object]:
    return {Path(str(record["path"])).name: record["status"] for record in records}


def test_tag_writes_good_files_and_names_bad_ones_and_undo_takes_it_back(
    genretag: Command, library: Path
) -> None:
    before = hashes(library)
    answer = genretag("tag", "--json", *SURE, library)
    assert answer.code == 1
    assert statuses(answer.records) == dict.fromkeys(GOOD, "written") | {
        "x raw.aac": "failed",
        "y empty.mp3": "failed",
        "z text.mp3": "failed",
    }
    codes = {record["error"]["code"] for record in answer.records if record["error"]}
    assert codes == {"not-taggable", "empty", "not-audio"}
    written = {Path(r["path"]).name: tuple(r["genres"]) for r in answer.records if r["status"] == "written"}
    assert genres(library) == written
    assert all(len(names) == 2 for names in written.values())
    changed = {name for name, digest in hashes(library).items() if digest != before[name]}
    assert {Path(name).name for name in changed} == set(GOOD)
    assert "3 written, 3 failed" in answer.err
    assert "genretag undo" in answer.err

    assert "written" in genretag("history").out
    undone = genretag("undo", "--json")
    assert undone.code == 0
    assert sorted(record["status"] for record in undone.records) == ["undone"] * 3
    assert hashes(library) == before
    again = genretag("undo")
    assert again.code == 0
    assert "nothing to take back" in again.err


def test_a_record_has_every_key_whatever_happened(genretag: Command, library: Path) -> None:
    for record in genretag("tag", "-n", "--json", library).records:
        assert set(record) >= {
            *("path", "status", "genres", "previous", "scores", "model", "seconds", "error")
        }
        assert record["model"] == "auto"


def test_a_dry_run_changes_nothing(genretag: Command, library: Path) -> None:
    before = hashes(library)
    answer = genretag("tag", "--dry-run", *SURE, library)
    assert answer.out.count("planned") == 3
    assert hashes(library) == before
    assert genretag("history", "--json").out == ""


def test_not_sure_means_left_alone(genretag: Command, library: Path) -> None:
    answer = genretag("tag", "--json", "--threshold", "1", library / "A")
    assert answer.code == 0
    assert set(statuses(answer.records).values()) == {"unsure"}
    answer = genretag("tag", "--json", "--threshold", "0", "--min-confidence", "0.999", library / "A")
    assert set(statuses(answer.records).values()) == {"unsure"}


def test_existing_genres_are_kept_added_to_replaced_or_refreshed(genretag: Command, library: Path) -> None:
    song = library / "A" / "one's song.mp3"
    tags.write(song, ["My Own", "Rock"])

    def tag(existing: str) -> tuple[str, tuple[str, ...]]:
        (record,) = genretag("tag", "--json", *SURE, "--existing", existing, song).records
        return record["status"], tags.read(song).genres

    assert tag("keep") == ("kept", ("My Own", "Rock"))
    assert tag("refresh") == ("kept", ("My Own", "Rock"))
    status, added = tag("add")
    assert status == "written"
    assert added[:2] == ("My Own", "Rock")
    assert len(added) > 2
    assert tag("add") == ("unchanged", added)
    status, replaced = tag("replace")
    assert status == "written"
    assert "My Own" not in replaced
    (record,) = genretag(
        "tag",
        "--json",
        "--model",
        "musicnn-msd",
        "--threshold",
        "0",
        "--single",
        "--existing",
        "refresh",
        song,
    ).records
    assert record["status"] == "written"
    assert tags.read(song).genres == replaced[:1]
    tags.write(song, ["Mine Again"])
    assert tag("refresh") == ("kept", ("Mine Again",))


@pytest.mark.parametrize("separator", ["; ", " / ", None])
def test_adding_again_and_again_changes_nothing(
    genretag: Command, library: Path, separator: str | None
) -> None:
    song = library / "A" / "one's song.mp3"
    tags.write(song, ["My Own; rock" if separator is None else separator.join(["My Own", "rock"])])
    joined = () if separator is None else ("--separator", separator)

    def tag(*more: str) -> str:
        (record,) = genretag("tag", "--json", *SURE, "--existing", "add", *joined, *more, song).records
        return str(record["status"])

    assert tag() == "written"
    found, content = tags.read(song).genres, song.read_bytes()
    if separator is None:
        assert found[:2] == ("My Own", "rock")
    else:
        assert len(found) == 1
        assert found[0].startswith(f"My Own{separator}rock{separator}")
    assert [tag(), tag("--no-cache"), tag()] == ["unchanged"] * 3
    assert song.read_bytes() == content


def test_a_joined_value_that_lacks_nothing_stays_as_it_is(genretag: Command, library: Path) -> None:
    song = library / "A" / "zwei ü.flac"
    (planned,) = genretag("tag", "-n", "--json", *SURE, song).records
    tags.write(song, ["; ".join(genre.upper() for genre in planned["genres"])])
    before = song.read_bytes()
    (record,) = genretag("tag", "--json", *SURE, "--existing", "add", song).records
    assert (record["status"], record["genres"]) == ("unchanged", list(tags.read(song).genres))
    assert song.read_bytes() == before


def test_a_second_run_analyses_nothing_even_after_a_move(library: Path, tmp_path: Path) -> None:
    first = in_own_process("tag", "--json", *SURE, library)
    assert first.code == 1
    moved = tmp_path / "elsewhere"
    library.rename(moved)
    copied = tmp_path / "copied"
    shutil.copytree(moved, copied)
    (moved / "A" / "one's song.mp3").rename(moved / "A" / "renamed.mp3")
    script = (
        "import sys; from genretag.__main__ import run; code = run(sys.argv[1:]);"
        "assert not {'torch', 'librosa'} & set(sys.modules); sys.exit(code)"
    )
    for folder in (moved, copied):
        line = [sys.executable, "-c", script, "tag", "--existing", "replace", *SURE, str(folder)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert "3 unchanged, 3 failed (3 known from earlier runs)" in done.stderr
        assert done.returncode == 0


def test_a_map_a_separator_and_provenance(genretag: Command, library: Path, tmp_path: Path) -> None:
    genre_map = tmp_path / "map.toml"
    (record,) = genretag("tag", "-n", "--json", *SURE, library / "A" / "zwei ü.flac").records
    first, second = record["genres"]
    genre_map.write_text(f'[rename]\n"{first}" = "Renamed"\n')
    song = library / "A" / "zwei ü.flac"
    genretag("tag", *SURE, "--map", genre_map, "--separator", " / ", "--provenance", song)
    assert tags.read(song).genres == (f"Renamed / {second}",)
    assert b"GENRETAG" in song.read_bytes()
    (record,) = genretag(
        "tag", "--json", *SURE, "--map", genre_map, "--separator", " / ", "--existing", "replace", song
    ).records
    assert record["status"] == "unchanged"


def test_times_are_kept_on_request(genretag: Command, library: Path) -> None:
    old = 1_000_000_000_000_000_000
    for path in library.rglob("*.*"):
        os.utime(path, ns=(old, old))
    genretag("tag", *SURE, "--preserve-mtime", library / "A")
    genretag("tag", *SURE, library / "B" / "three.m4a")
    assert {path.stat().st_mtime_ns for path in (library / "A").iterdir()} == {old}
    assert (library / "B" / "three.m4a").stat().st_mtime_ns != old


def test_a_link_that_stays_behind_is_told(genretag: Command, library: Path) -> None:
    song = library / "A" / "one's song.mp3"
    (library / "twin").hardlink_to(song)
    answer = genretag("tag", *SURE, song)
    assert "had other names (hard links), which still show the old genre; --in-place" in answer.err
    assert not tags.read(library / "twin").genres


def test_in_place_all_names_of_a_file_stay_together(genretag: Command, library: Path) -> None:
    song = library / "A" / "one's song.mp3"
    twins = [library / "A" / "a twin.mp3", library / "B" / "twin.mp3"]
    before = song.read_bytes()
    for twin in twins:
        twin.hardlink_to(song)
    answer = genretag("tag", "--json", "--in-place", *SURE, library / "A", library / "B" / "twin.mp3")
    assert answer.code == 0
    assert sorted(statuses(answer.records).values()) == ["unchanged", "unchanged", "written", "written"]
    assert "hard links" not in answer.err
    assert all(twin.samefile(song) for twin in twins)
    assert len(tags.read(song).genres) == 2
    assert genretag("undo").code == 0
    assert song.read_bytes() == twins[0].read_bytes() == before


def test_paths_from_a_list(library: Path) -> None:
    names = b"\0".join(os.fsencode(path) for path in sorted((library / "A").iterdir()))
    line = command_line("tag", "-n", "--json", "--files-from", "-", "-0")
    done = subprocess.run(line, input=names, capture_output=True, timeout=60, check=True)
    assert done.stdout.count(b"\n") == 2


def test_a_reader_that_leaves_early_causes_no_traceback(library: Path) -> None:
    line = " ".join(f"'{word}'" for word in command_line("tag", "-n", "--json")) + f" '{library}'"
    done = subprocess.run(
        ["bash", "-c", f"{line} | head -n 1"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_an_interrupted_run_keeps_what_is_finished(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(40):
        make_sound(folder / f"{number:02}.flac", 8, seed=number % 4, level=0.3 + number / 100)
    process = start("tag", "--json", *SURE, folder)
    assert process.stdout is not None
    assert '"written"' in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("genretag: interrupted: ")
    assert err.endswith("; what was finished is kept, and the same command goes on from here\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    tagged = [path for path in sorted(folder.iterdir()) if tags.read(path).genres]
    assert 1 <= len(tagged) < 40
    assert len(tagged) >= 1 + out.count('"written"')
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert in_own_process("undo").code == 0
    assert not [path for path in folder.iterdir() if tags.read(path).genres]


def test_a_killed_run_is_settled_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for number in range(20):
        make_sound(folder / f"{number:02}.mp3", 8, seed=number % 4, level=0.3 + number / 100)
    process = start("tag", "--json", *SURE, folder)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.05)
    process.kill()
    process.communicate(timeout=60)
    answer = in_own_process("tag", "--json", *SURE, folder)
    assert answer.code == 0
    assert "was interrupted" in answer.err
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert all(len(tags.read(path).genres) == 2 for path in folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--model", "musicn"], "no model or file named 'musicn'; models: musicnn-"),
        (["--threshold", "7"], "--threshold 7: give a probability from 0 to 1, such as 0.3"),
        (["--min-confidence", "-1"], "--min-confidence -1.0: give a probability from 0 to 1"),
        (["--existing", "overwrite"], "--existing overwrite: give one of keep, add, replace, refresh"),
        (["--coverage", "0"], "coverage '0': give fast, full or a number of windows from 1 up"),
        (["--top", "0"], "--top 0: give a whole number from 1 up"),
        (["--workers", "many"], "--workers many: give auto or a whole number from 1 up"),
        (["--id3", "2.2"], "--id3 2.2: give one of keep, 2.3, 2.4"),
        (["--map", "gone.toml"], "gone.toml: no such map file"),
        (["--device", "cuda:7"], "device cuda:7: "),
        (["--files-from", "gone.txt"], "gone.txt: no such file; give a file or - for standard input"),
        (["-0"], "-0 says how the list of --files-from is separated; give that too"),
        (["--nonsense"], "No such option: --nonsense"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    genretag: Command, library: Path, arguments: list[str], line: str
) -> None:
    before = hashes(library)
    answer = genretag("tag", *arguments, library)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith(f"genretag: {line}")
    assert answer.err.count("\n") == 1
    assert hashes(library) == before


def test_missing_paths(genretag: Command, library: Path) -> None:
    nothing = genretag("tag")
    assert nothing.code == 2
    assert nothing.err.startswith("genretag: give a file or folder to tag")
    gone = genretag("tag", library / "gone")
    assert gone.code == 2
    assert "no such file or folder; check the spelling" in gone.err
    some = genretag("tag", "-n", "--json", library / "gone", library / "A")
    assert some.code == 1
    assert some.records[0]["status"] == "failed"
    assert len(some.records) == 3


def test_names_cannot_speak_to_the_terminal(genretag: Command, tmp_path: Path) -> None:
    song = make_sound(tmp_path / "\x1b[31mred\nline.mp3", seed=1)
    answer = genretag("tag", "-n", *SURE, song)
    assert "\x1b" not in answer.out
    assert "\\x1b[31mred\\nline.mp3" in answer.out


def test_an_empty_folder_says_so(genretag: Command, tmp_path: Path) -> None:
    answer = genretag("tag", tmp_path)
    assert answer.code == 0
    assert "no audio files there" in answer.err


def test_a_damaged_store_is_moved_aside(genretag: Command, library: Path) -> None:
    home = Path(os.environ["GENRETAG_HOME"])
    home.mkdir(exist_ok=True)
    (home / "genretag.sqlite3").write_bytes(b"this is not a database" * 1000)
    answer = genretag("tag", "-n", *SURE, library / "A")
    assert answer.code == 0
    assert "was damaged and is kept as" in answer.err
    (aside,) = home.glob("*.damaged-*")
    assert aside.read_bytes().startswith(b"this is not a database")
