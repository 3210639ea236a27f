"""The library maker and its checker: a run imitated with mutagen passes, any other change is found."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import mutagen
import pytest
from mutagen import id3

from benchmarks import check_library, dress, mixed_library, snapshot, sounds
from benchmarks.mixed_library import Entry

GENRES = ["Rock", "Hip-Hop"]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small hostile library with one file of every kind."""
    folder = tmp_path_factory.mktemp("music")
    source = folder / "source"
    source.mkdir()
    for seed in range(3):
        sounds.encode(sounds.tune(seed, 4), source / f"tune_{seed}.opus", "opus")
    tracks = len(mixed_library.PATTERN)
    mixed_library.build([source], folder / "library", tracks=tracks, hostile_too=True, longest=2)
    return folder / "library"


@pytest.fixture
def library(master: Path, tmp_path: Path) -> Path:
    """A fresh copy."""
    mixed_library.copy(master, tmp_path / "library")
    return tmp_path / "library"


@pytest.fixture
def entries(master: Path) -> list[Entry]:
    """What the manifest says."""
    return mixed_library.read_manifest(mixed_library.manifest_path(master))


def write_genres(path: Path) -> None:
    """Tag one file as a correct program would: same ID3 version, nothing else touched."""
    file = mutagen.File(str(path))
    if file.tags is None:
        file.add_tags()
    if isinstance(file.tags, id3.ID3):
        version = 3 if file.tags.version[:2] == (2, 3) else 4
        plain = type(file)(str(path), translate=False, load_v1=file.tags.version[0] == 1)
        if plain.tags is None:
            plain.add_tags()
        plain.tags.add(id3.TCON(encoding=1, text=GENRES))
        options: dict[str, Any] = {"v1": 1} if path.suffix.lower() == ".mp3" else {}
        end = path.read_bytes()[-128:] if options else b""
        plain.save(v2_version=version, v23_sep=None, **options)
        if end.startswith(b"TAG"):
            with path.open("r+b") as raw:
                raw.seek(-128, 2)
                raw.write(end)
        return
    key = {".m4a": "©gen", ".wma": "WM/Genre"}.get(path.suffix.lower(), "GENRE")
    file.tags[key] = GENRES
    file.save()


def tag_all(library: Path, entries: list[Entry]) -> dict[bytes, dict[str, Any]]:
    """Imitate a whole run; the records by relative path."""
    records: dict[bytes, dict[str, Any]] = {}
    for entry in entries:
        expect = entry.expect.split("|")[0]
        path = library / os.fsdecode(entry.relative)
        record = {"path": str(path), "status": "failed", "genres": [], "error": None}
        if expect == "tag":
            write_genres(path)
            records[entry.relative] = record | {"status": "written", "genres": GENRES}
        elif expect != "ignore":
            records[entry.relative] = record | {
                "error": {"code": expect.removeprefix("fail:"), "message": ""}
            }
    return records


def test_the_library_holds_every_kind_and_every_trap(master: Path, entries: list[Entry]) -> None:
    good = [entry for entry in entries if entry.expect == "tag"]
    expected = {kind for kind in mixed_library.PATTERN if kind != "spx" or sounds.has_speex()}
    assert expected <= {entry.kind for entry in good}
    for entry in good:
        assert entry.before is not None
        assert entry.before.audio, entry.name
    assert {entry.expect for entry in entries if entry.expect.startswith("fail")} >= {
        *("fail:read-only", "fail:empty", "fail:not-audio"),
        *("fail:too-short", "fail:silent", "fail:not-taggable"),
    }
    assert {entry.relative for entry in entries} == check_library.find_all(master)
    assert any(b"\xff" in entry.relative for entry in entries)
    assert {entry.before.id3_version for entry in good if entry.before} >= {"", "1.1", "2.3", "2.4"}
    assert any(entry.before.pictures for entry in good if entry.before)
    assert any(entry.before.genres for entry in good if entry.before)


def test_a_copy_is_untouched_in_every_respect(library: Path, entries: list[Entry]) -> None:
    findings = check_library.check(library, entries, "untouched")
    assert findings.lines == []
    assert findings.compared["links and pipes"] == 4
    assert stat.S_ISFIFO((library / "Traps/pipe.mp3").lstat().st_mode)


def test_a_correct_run_passes_and_its_undoing_too(library: Path, master: Path, entries: list[Entry]) -> None:
    records = tag_all(library, entries)
    tagged = check_library.check(library, entries, "tagged", records)
    assert tagged.lines == []
    good = sum(entry.expect == "tag" for entry in entries)
    assert tagged.compared["genres, mutagen"] == good
    quiet = (
        tagged.notes[".tta: FFmpeg of PyAV shows no genre"]
        + tagged.notes[".wav: FFmpeg of PyAV shows no genre"]
    )
    assert tagged.compared["genres, FFmpeg of PyAV"] == good - quiet
    assert check_library.check(library, entries, "undone").differed["genres"] == good
    for entry in entries:
        if entry.expect == "tag":
            shutil.copy2(master / os.fsdecode(entry.relative), library / os.fsdecode(entry.relative))
    assert check_library.check(library, entries, "undone").lines == []


def test_every_sort_of_damage_is_found(library: Path, entries: list[Entry]) -> None:
    records = tag_all(library, entries)
    by_kind = {entry.kind: library / os.fsdecode(entry.relative) for entry in entries}
    flac = by_kind["flac"]
    body = bytearray(flac.read_bytes())
    body[-20] ^= 1
    flac.write_bytes(body)
    file = mutagen.File(str(by_kind["wma"]))
    file.tags["Author"] = ["Somebody"]
    file.save()
    file = mutagen.File(str(by_kind["wv"]))
    file.tags["Genre"] = ["Polka"]
    file.save()
    (library / "Traps/empty.mp3").write_bytes(b"x")
    (library / "Traps/.rest.tmp").touch()
    (library / "Traps/alias.mp3").unlink()
    (library / "Traps/gone.mp3").unlink()
    (library / "Traps/gone.mp3").touch()
    by_kind["tta"].chmod(0o600)
    records[b"Traps/a letter.mp3"]["error"]["code"] = "decode-failed"
    findings = check_library.check(library, entries, "tagged", records)
    assert findings.differed == {
        "audio packets": 1,
        "tags but genre": 1,
        "tags but genre, FFmpeg": 1,
        "genres, mutagen": 1,
        "genres, FFmpeg of PyAV": 1,
        "untouched files": 1,
        "their time": 1,
        "nothing extra": 1,
        "still there": 1,
        "links and pipes": 1,
        "mode": 1,
        "outcome": 1,
    }


def test_an_id3_upgrade_and_a_lost_private_frame_are_found(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    sounds.encode(sounds.tune(1, 1), path, "mp3-cbr")
    dress.dress(path, dress.Song("A", "T", "B", 1, 1990, ("Rock",), dress.cover(1)), "2.3+private")
    entry = mixed_library.entry(tmp_path, Path("song.mp3"), "mp3-cbr", "tag")
    tags = id3.ID3(str(path))
    tags.delall("PRIV")
    tags.delall("APIC")
    tags.save(str(path), v2_version=4)
    findings = check_library.check(tmp_path, [entry], "undone")
    assert {"tags but genre", "pictures", "ID3 version"} <= set(findings.differed)
    assert findings.differed["audio packets"] == 0


def test_records_are_matched_by_the_bytes_of_the_name(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n.mp3")
    lines = [json.dumps({"path": str(tmp_path / "music" / name)})] * 2 + [
        json.dumps({"path": "/elsewhere.mp3"})
    ]
    (tmp_path / "records.jsonl").write_text("".join(f"{line}\n" for line in lines))
    records = check_library.read_records(tmp_path / "records.jsonl", tmp_path / "music")
    assert {b"caf\xe9\n.mp3", b"caf\xe9\n.mp3 (again)"} <= set(records)
    assert len(records) == 3


def test_the_manifest_survives_json(tmp_path: Path) -> None:
    before = snapshot.Snapshot("00", 0o444, 1, "1 packets", ["Rock"], ["TCON=Rock"], ["k=v\udcff"])
    entry = Entry(base64.b64encode(b"\xff").decode(), "\\xff", "flac", "tag", None, before)
    link = Entry(base64.b64encode(b"l").decode(), "l", "link", "ignore", base64.b64encode(b"..").decode())
    mixed_library.write_manifest(tmp_path / "m.json", [entry, link])
    assert mixed_library.read_manifest(tmp_path / "m.json") == [entry, link]


def test_the_command_lines_agree(library: Path, master: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = str(mixed_library.manifest_path(master))
    assert check_library.main([str(library), manifest, "--stage", "untouched"]) == 0
    assert "no difference" in capsys.readouterr().out
    (library / "Traps/notes.txt").write_text("changed")
    assert check_library.main([str(library), manifest, "--stage", "untouched"]) == 1
    assert "notes.txt" in capsys.readouterr().out
