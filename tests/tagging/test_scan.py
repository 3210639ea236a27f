"""From named paths to audio files: what is found, in which order, and what is passed over."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from genretag.errors import ScanError
from genretag.tagging.scan import MARKER, ScanOptions, read_file_list, require_any, scan


def names(*paths: Path, **options: object) -> list[str]:
    root = paths[0] if paths[0].is_dir() else paths[0].parent
    found = scan(paths, ScanOptions(**options))  # type: ignore[arg-type]
    return [os.path.relpath(item.path, root) for item in found if item.error is None]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for name in (
        "b.mp3",
        "a.FLAC",
        "cover.jpg",
        "sub/c d.ogg",
        "sub/deep/e.opus",
        ".hidden/x.mp3",
        "._a.mp3",
    ):
        path = tmp_path / "library" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "library"


def test_audio_by_suffix_in_name_order_without_hidden_entries(library: Path) -> None:
    assert names(library) == ["a.FLAC", "b.mp3", "sub/c d.ogg", "sub/deep/e.opus"]


def test_titles_may_begin_with_dots(library: Path) -> None:
    (library / "...And Justice for All.mp3").touch()
    assert names(library)[0] == "...And Justice for All.mp3"


def test_a_named_file_is_taken_whatever_its_suffix(library: Path) -> None:
    assert names(library / "cover.jpg") == ["cover.jpg"]


@pytest.mark.parametrize(
    ("glob", "left"),
    [
        ("*.mp3", ["a.FLAC", "sub/c d.ogg", "sub/deep/e.opus"]),
        ("sub", ["a.FLAC", "b.mp3"]),
        ("sub/", ["a.FLAC", "b.mp3"]),
        ("deep", ["a.FLAC", "b.mp3", "sub/c d.ogg"]),
        ("sub/deep/*", ["a.FLAC", "b.mp3", "sub/c d.ogg"]),
    ],
)
def test_exclude(library: Path, glob: str, left: list[str]) -> None:
    assert names(library, exclude=(glob,)) == left


def test_a_marker_file_hides_its_folder(library: Path) -> None:
    (library / "sub" / MARKER).touch()
    assert names(library) == ["a.FLAC", "b.mp3"]


def test_links_are_followed_only_on_request_and_loops_end(library: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o.mp3").touch()
    (library / "loop").symlink_to(library)
    (library / "out").symlink_to(outside)
    (library / "twin.mp3").symlink_to(library / "b.mp3")
    (library / "broken.mp3").symlink_to(library / "nowhere")
    assert names(library) == ["a.FLAC", "b.mp3", "sub/c d.ogg", "sub/deep/e.opus"]
    assert names(library, follow_symlinks=True) == [
        "a.FLAC",
        "b.mp3",
        "out/o.mp3",
        "sub/c d.ogg",
        "sub/deep/e.opus",
    ]


def test_a_file_is_met_once_however_often_it_is_named(library: Path) -> None:
    assert names(library, library / "b.mp3", library / "sub") == names(library)
    again = [item.path.name for item in scan([library / "sub", library / "b.mp3", library])]
    assert sorted(again) == ["a.FLAC", "b.mp3", "c d.ogg", "e.opus"]


def test_what_is_not_there_or_no_file_is_named_as_failed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    found = list(scan([tmp_path / "gone.mp3", tmp_path / "pipe.mp3"]))
    assert [item.error.code for item in found if item.error] == ["missing", "not-a-file"]
    assert list(scan([tmp_path])) == []


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses names that are not UTF-8")
def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = b"caf\xe9.mp3"
    with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
        pass
    (found,) = scan([tmp_path])
    assert os.fsencode(found.path).endswith(name)
    assert list(read_file_list(io.BytesIO(b"x\xe9y"), nul=False)) == [Path("x\udce9y")]


def test_lists_by_line_and_by_nul() -> None:
    assert list(read_file_list(io.BytesIO(b"a b\r\n\nc\n"), nul=False)) == [Path("a b"), Path("c")]
    assert list(read_file_list(io.BytesIO(b"a\nb\0c\0"), nul=True)) == [Path("a\nb"), Path("c")]
    long = b"\n".join(b"%06d" % number for number in range(50_000))
    assert len(list(read_file_list(io.BytesIO(long), nul=False))) == 50_000


def test_nothing_starts_when_no_named_path_exists(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"gone: no such file or folder; check the spelling"):
        require_any([tmp_path / "gone"])
    require_any([tmp_path / "gone", tmp_path])
    require_any([])
