"""The genre of every format: written, read back by this and by other programs, and taken back."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from mutagen.apev2 import APEv2

from foreign_tags import TAGGABLE, add_rich_fields, all_but_genre, seen_by_ffmpeg, seen_by_mutagen
from genretag.errors import GenretagError, TagError, WriteError
from genretag.tagging import tags
from sounds import any_sound, make_sound

# Where undoing leaves the very bytes of before; MP4 keeps 8 bytes of free space, ASF some empty objects.
EXACT = [suffix for suffix in TAGGABLE if suffix not in (".m4a", ".alac.m4a", ".mp4", ".wma")]
GENRES = ("Rock/Pop", "Żółć", "日本 (J-Pop)")


@pytest.fixture(params=TAGGABLE)
def sound(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return any_sound(tmp_path / f"song{request.param}")


def decoded(path: Path) -> str:
    """A hash of the decoded audio: demuxers count a tag at the end into the last packet, decoders do not."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()


def test_what_is_written_is_read_by_all_and_taken_back(sound: Path) -> None:
    before, content, audio = tags.read(sound), sound.read_bytes(), decoded(sound)
    assert before.taggable
    assert before.genres == ()

    tags.write(sound, GENRES, provenance="musicnn 0.1: rock 0.9")
    after = tags.read(sound)
    assert after.genres == GENRES
    assert after.format == before.format
    assert tuple(seen_by_mutagen(sound)) == GENRES
    # Some of ffmpeg's demuxers know one value only: the first must be among what it shows.
    assert seen_by_ffmpeg(sound, "GENRE").split(";")[0] == GENRES[0]
    assert seen_by_ffmpeg(sound, "GENRETAG") == "musicnn 0.1: rock 0.9"
    assert decoded(sound) == audio

    tags.restore(sound, before.raw)
    assert tags.read(sound).genres == ()
    assert seen_by_ffmpeg(sound, "GENRETAG") == ""
    assert decoded(sound) == audio
    assert len(sound.read_bytes()) - len(content) < 200


@pytest.mark.parametrize("suffix", EXACT)
def test_undoing_leaves_the_bytes_of_before(tmp_path: Path, suffix: str) -> None:
    path = any_sound(tmp_path / f"song{suffix}")
    untouched = path.read_bytes()
    tags.write(path, ["First"], provenance="note")
    first, state = path.read_bytes(), tags.read(path)
    tags.write(path, ["A much longer genre " * 300, *GENRES])
    tags.restore(path, state.raw)
    assert path.read_bytes() == first
    tags.write(path, ())
    tags.restore(path, state.raw)
    assert tags.read(path).genres == ("First",)
    assert tags.read(path).raw == state.raw
    path.write_bytes(untouched)
    empty = tags.read(path)
    tags.write(path, ())
    assert path.read_bytes() == untouched
    tags.restore(path, empty.raw)
    assert path.read_bytes() == untouched


def test_other_fields_stay_as_they_are(sound: Path) -> None:
    if sound.suffix == ".tta":
        APEv2().delete(sound)  # so that the file gets ID3, the other tag that tta may have
    add_rich_fields(sound)
    fields, before = all_but_genre(sound), tags.read(sound)
    assert len(fields) >= 4
    tags.write(sound, GENRES)
    assert all_but_genre(sound) == fields
    tags.write(sound, ["x" * 20_000])
    assert all_but_genre(sound) == fields
    tags.restore(sound, before.raw)
    assert all_but_genre(sound) == fields
    assert tags.read(sound).genres == ()


def test_the_name_of_a_file_does_not_matter(sound: Path) -> None:
    expected = tags.read(sound)
    bare = sound.with_name(os.fsdecode(b"\xff nameless"))
    shutil.move(sound, bare)
    assert tags.read(bare) == expected


@pytest.mark.parametrize("suffix", [".au", ".aac"])
def test_formats_without_a_place_for_a_genre(tmp_path: Path, suffix: str) -> None:
    path = make_sound(tmp_path / f"song{suffix}", 1.0)
    content, state = path.read_bytes(), tags.read(path)
    assert (state.taggable, state.genres) == (False, ())
    with pytest.raises(TagError) as caught:
        tags.write(path, ["Rock"])
    assert caught.value.code == "not-taggable"
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_separator_joins_and_nothing_splits(sound: Path) -> None:
    tags.write(sound, ["Rock", "Pop/Funk"], separator="; ")
    state = tags.read(sound)
    assert state.genres == ("Rock; Pop/Funk",)
    assert tags.same(state, ["Rock", "Pop/Funk"], "; ")
    assert not tags.same(state, ["Rock", "Pop/Funk"])
    tags.write(sound, ["Rock ", "Pop/Funk", "Rock"])
    assert tags.read(sound).genres == ("Rock", "Pop/Funk") == tags.as_stored(["Rock ", "Pop/Funk", "Rock"])
    assert tags.same(tags.read(sound), ["Rock", "Pop/Funk"])
    assert not tags.same(tags.read(sound), ["Pop/Funk", "Rock"])


def test_a_note_about_an_old_genre_does_not_stay(sound: Path) -> None:
    tags.write(sound, ["Rock"], provenance="one")
    tags.write(sound, ["Pop"], provenance="two: ü")
    assert seen_by_ffmpeg(sound, "GENRETAG") == "two: ü"
    noted = tags.read(sound)
    tags.write(sound, ["Jazz"])
    assert seen_by_ffmpeg(sound, "GENRETAG") == ""
    tags.restore(sound, noted.raw)
    assert seen_by_ffmpeg(sound, "GENRETAG") == "two: ü"
    assert tags.read(sound).genres == ("Pop",)


@pytest.mark.parametrize("genres", [["Rock", ""], ["  "], ["a\0b"], ["\udcff"]])
def test_a_genre_that_no_tag_can_hold_changes_nothing(tmp_path: Path, genres: list[str]) -> None:
    path = make_sound(tmp_path / "song.mp3", 1.0)
    content = path.read_bytes()
    with pytest.raises(TagError):
        tags.write(path, genres)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "content", [b"", b"x", b"ID3", bytes(5000), b"no music here " * 500, b"\xff\xfb" + b"\x55" * 3000]
)
def test_what_is_no_music_is_said_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    with pytest.raises(TagError) as caught:
        tags.read(path)
    assert caught.value.code == "bad-tags"
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_cannot_be_opened_is_said_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.mp3"):
        with pytest.raises(TagError) as caught:
            tags.read(path)
        assert caught.value.code == "unreadable"
    with pytest.raises(WriteError) as refused:
        tags.write(tmp_path / "missing.mp3", ["Rock"])
    assert refused.value.code == "missing"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_missing_rights_are_said_in_one_line(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.mp3", 1.0)
    path.chmod(0o400)
    with pytest.raises(WriteError) as refused:
        tags.write(path, ["Rock"])
    assert refused.value.code == "read-only"
    path.chmod(0)
    with pytest.raises(TagError) as caught:
        tags.read(path)
    assert caught.value.code == "unreadable"


def test_a_full_disk_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    path = make_sound(tmp_path / "song.flac", 1.0)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, limits[1]))
    try:
        with pytest.raises(WriteError) as refused:
            tags.write(path, ["long " * 10_000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refused.value.code == "no-space"


def test_a_record_of_another_format_is_refused(tmp_path: Path) -> None:
    path = make_sound(tmp_path / "song.mp3", 1.0)
    raw = tags.read(make_sound(tmp_path / "song.flac", 1.0)).raw
    for record in (raw, "{", '{"format": "mp3", "tags": {"id3v2": {}}}'):
        with pytest.raises(TagError):
            tags.restore(path, record)


def damages(content: bytes, seed: int) -> list[bytes]:
    """Copies cut short, with bytes changed near the start and the end, and with pieces missing."""
    chance = random.Random(seed)
    damaged = [content[: chance.randrange(1, 600)] for _ in range(6)]
    damaged += [content[: chance.randrange(600, len(content))] for _ in range(4)]
    for spread in (64, 600, 600, 4000):
        for _ in range(6):
            changed = bytearray(content)
            for _ in range(chance.choice((1, 3, 30))):
                at = chance.randrange(min(spread, len(content)))
                changed[at if chance.random() < 0.7 else -at - 1] = chance.choice(
                    (0, 255, chance.randrange(256))
                )
            damaged.append(bytes(changed))
    cut = chance.randrange(4, 400)
    return [*damaged, content[:cut] + content[cut + 5 :]]


def test_damaged_files_raise_nothing_but_our_errors(sound: Path) -> None:
    add_rich_fields(sound)
    tags.write(sound, GENRES, provenance="note")
    content, state = sound.read_bytes(), tags.read(sound)
    attempts: list[tuple[Callable[[], Any], tuple[str, ...] | None]] = [
        (lambda: tags.read(sound), None),
        (lambda: tags.write(sound, ["Jazz", "ü" * 3000]), ("Jazz", "ü" * 3000)),
        (lambda: tags.write(sound, ["Jazz"], id3="2.3"), ("Jazz",)),
        (lambda: tags.restore(sound, state.raw), None),
    ]
    for damaged in damages(content, seed=len(content)):
        for attempt, written in attempts:
            sound.write_bytes(damaged)
            try:
                attempt()
            except GenretagError as error:
                assert "\n" not in str(error)  # noqa: PT017 - some damage is harmless
            else:
                assert written is None or tags.read(sound).genres == written
