"""Any genres, in files that carry anything: they come back, nothing else changes, and undo is exact."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import mutagen
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TCON, TIT2

from foreign_tags import (
    TAGGABLE,
    add_rich_fields,
    all_but_genre,
    picture,
    seen_by_ffmpeg,
    seen_by_mutagen,
    tag,
)
from genretag.audio.payload import payload_digest
from genretag.journal import Journal
from genretag.store import Store
from genretag.tagging import tags
from genretag.tagging.formats.id3 import parse, tag_length
from genretag.tagging.undo import undo_run
from sounds import any_sound, make_sound
from writing import left_over, write_genres

some_examples = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# What has a meaning of its own somewhere: separators, numbers of ID3v1, marks of encodings, ends of lines.
TRAPS = (
    *(
        "AC/DC",
        "Rock; Pop",
        "a\\\\b",
        "a, b & c",
        "x=y",
        "=",
        "a\nb",
        "\r",
        "\x85x",
        "a\u2028b",
        "\x1b[31m",
        "\x7f",
    ),
    *(
        "17",
        "017",
        "00017",
        "(17)",
        "(17)Rock",
        "17 ",
        "255",
        "256",
        "2000",
        "(2000)",
        "0",
        "²",
        "٣",
        "80s",
        "Unknown",
    ),
    *(
        "RX",
        "CR",
        "(RX)",
        "(CR)(17)",
        "(x)",
        "((x",
        "((17)",
        "(",
        ")",
        "()",
        " lead",
        "trail\t",
        "\xa0x\u3000",
    ),
    *(
        "\ufeffbom",
        "x\ufeff",
        "\ufffe",
        "\uffff",
        "e\u0301",
        "İ",
        "ß",
        "𝄞",
        "日本 (J-Pop)",
        "TAG",
        "APETAGEX",
        "ID3",
    ),
)
names = st.one_of(
    st.sampled_from(TRAPS),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30),
    st.builds(lambda letter, count: letter * count, st.sampled_from("xüあ𝄞\xff"), st.integers(200, 16_000)),
)
genre_lists = st.lists(names.filter(str.strip), min_size=1, max_size=6)


def small(suffix: str) -> bytes:
    """A file of the format, as short as it can be."""
    return _small(suffix, "")


@lru_cache(maxsize=128)
def _small(suffix: str, variant: str) -> bytes:
    path = Path(os.environ["GENRETAG_HOME"]) / f"small{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix in (".ape", ".mpc", ".spx"):
        any_sound(path)
    else:
        make_sound(path, 0.2, channels=1 if suffix == ".dsf" else 2)
    if variant:
        VARIANTS[variant](path)
    return path.read_bytes()


BY_ID3 = (".mp3", ".tta", ".aiff", ".wav", ".dsf")


def seen_by_id3(name: str) -> bool:
    return "\n" not in name and (name.isascii() or not name.isdigit())


def plain(name: str) -> bool:
    """Whether other programs read the name as it is: none that mutagen or FFmpeg take for a number or cut."""
    return re.fullmatch(r"[^\W\d][\w /&=()\\-]{0,99}", name) is not None and name.isprintable()


@pytest.mark.parametrize("suffix", TAGGABLE)
@settings(some_examples, max_examples=25)
@given(genres=genre_lists)
def test_any_genres_are_read_as_they_were_written(tmp_path: Path, suffix: str, genres: list[str]) -> None:
    path, content = tmp_path / f"song{suffix}", small(suffix)
    path.write_bytes(content)
    before, promised = tags.read(path), tags.as_stored(genres)
    tags.write(path, genres, provenance="note")
    state = tags.read(path)
    assert state.genres == promised
    assert tags.same(state, genres)
    # Of a genre in ID3, mutagen drops what follows a line break, and it fails over digits like "²".
    if suffix not in BY_ID3 or all(map(seen_by_id3, promised)):
        assert tuple(value.strip() for value in seen_by_mutagen(path)) == promised
    if plain(promised[0]):
        assert seen_by_ffmpeg(path, "GENRE").split(";")[0].strip() == promised[0]
    tags.write(path, genres, provenance="note")
    assert tags.read(path).raw == state.raw
    tags.restore(path, before.raw)
    assert tags.read(path).genres == ()


@pytest.mark.parametrize("suffix", TAGGABLE)
@settings(some_examples, max_examples=8)
@given(genres=genre_lists, separator=st.sampled_from([None, "; ", "/", "\n"]))
def test_everything_but_the_genre_stays_whatever_is_written(
    tmp_path: Path, suffix: str, genres: list[str], separator: str | None
) -> None:
    path = tmp_path / f"song{suffix}"
    path.write_bytes(_small(suffix, "rich"))
    fields, sound, state = all_but_genre(path), payload_digest(path), tags.read(path)
    assert len(fields) >= 4
    tags.write(path, genres, separator=separator)
    assert tags.read(path).genres == tags.as_stored(genres, separator)
    assert (all_but_genre(path), payload_digest(path)) == (fields, sound)
    tags.restore(path, state.raw)
    assert (all_but_genre(path), payload_digest(path)) == (fields, sound)


# An mp3 with any frames, and any of the other tags that an mp3 may have


def frame(name: str, body: bytes, version: int) -> bytes:
    bits = 7 if version == 4 else 8
    size = bytes(len(body) >> shift * bits & (1 << bits) - 1 for shift in (3, 2, 1, 0))
    return name.encode() + size + b"\0\0" + body


PRIVATE = {
    "Serato": ("GEOB", b"\0application/octet-stream\0\0Serato Markers2\0\1\1" + bytes(range(256))),
    "Serato again": ("GEOB", b"\0application/octet-stream\0\0Serato Overview\0" + bytes(999)),
    "Traktor": ("PRIV", b"TRAKTOR4\0" + bytes(range(200))),
    "ReplayGain": ("TXXX", b"\0replaygain_track_gain\0-3.2 dB"),
    "RVA2": ("RVA2", b"track\0\1\xff\xc0\x10\0\0"),
    "MusicBrainz": ("UFID", b"http://musicbrainz.org\0" + b"c0ffee" * 6),
    "MusicBrainz album": ("TXXX", b"\0MusicBrainz Album Id\0c0ffee"),
    "picture": ("APIC", b"\0image/png\0\3\0" + picture(5000)),
    "broken picture": ("APIC", b"\0image"),
    "chapter": ("CHAP", b"ch0\0" + struct.pack(">4I", 0, 900, 0xFFFFFFFF, 0xFFFFFFFF)),
    "contents that hold themselves": ("CTOC", b"toc\0\3\2ch0\0toc\0"),
    "lyrics": ("USLT", b"\1eng\xff\xfe\0\0\xff\xfeL\0"),
    "timed lyrics": ("SYLT", b"\3eng\2\1\0One\0\0\0\0\0Two\0\0\0\3\x84"),
    "rating": ("POPM", b"a@b\0\xc8\0\0\0\7"),
    "unknown": ("XYZW", bytes(range(100))),
    "empty": ("TCOP", b""),
    "title": ("TIT2", b"\1\xfe\xff\0T\0i"),
    "not our note": ("TXXX", b"\0GENRETAGS\0x"),
    "grouping": ("GRP1", b"\0House"),
}
FOOT = struct.Struct("<8s4I8x")


def ape(items: Sequence[bytes]) -> bytes:
    body = b"".join(items)
    return body + FOOT.pack(b"APETAGEX", 2000, len(body) + 32, len(items), 0)


def ape_item(key: str, value: bytes) -> bytes:
    return struct.pack("<2I", len(value), 0) + key.encode() + b"\0" + value


def id3v1(genre: int = 17) -> bytes:
    return b"TAG" + b"A title".ljust(124, b"\0") + bytes((genre,))


@settings(some_examples, max_examples=60)
@given(
    frames=st.lists(st.sampled_from(sorted(PRIVATE)), max_size=8),
    version=st.sampled_from([3, 4]),
    padding=st.sampled_from([0, 1, 30, 4000]),
    with_ape=st.booleans(),
    with_v1=st.booleans(),
    old=st.booleans(),
    genres=genre_lists,
)
def test_every_other_byte_of_an_mp3_stays(
    tmp_path: Path,
    frames: list[str],
    version: int,
    padding: int,
    with_ape: bool,
    with_v1: bool,
    old: bool,
    genres: list[str],
) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(small(".mp3"))
    with path.open("rb") as file:
        audio = path.read_bytes()[tag_length(file, 0) :]
    raw = [frame(name, body, version) for name, body in map(PRIVATE.__getitem__, frames)]
    old_frame = [frame("TCON", b"\0Old", version)] if old else []
    body = b"".join([*raw[:2], *old_frame, *raw[2:]]) + bytes(padding)
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    gain = ape_item("REPLAYGAIN_TRACK_GAIN", b"-3.2 dB")
    behind = (ape([gain]) if with_ape else b"") + (id3v1() if with_v1 else b"")
    before = b"ID3" + bytes((version, 0, 0)) + size + body + audio + behind
    path.write_bytes(before)
    state = tags.read(path)
    tags.write(path, genres)
    after = path.read_bytes()
    with path.open("rb") as file:
        length = tag_length(file, 0)
    kept = [cut for cut in parse(after[:length]).frames if not cut.startswith(b"TCON")]
    assert (after[3], kept) == (version, raw)
    assert length >= len(before) - len(audio) - len(behind)
    assert (
        after[length:][: len(audio) + len(behind) - with_v1]
        == (audio + behind)[: len(audio + behind) - with_v1]
    )
    tags.restore(path, state.raw)
    assert path.read_bytes() == before


# The journal's undo, for every format in every state that libraries hold it in


def without_padding(path: Path) -> None:
    add_rich_fields(path)
    mutagen.File(path).save(padding=lambda _: 0)


def with_much_padding(path: Path) -> None:
    add_rich_fields(path)
    mutagen.File(path).save(padding=lambda _: 30_000)


def with_id3v1(path: Path) -> None:
    path.write_bytes(path.read_bytes() + id3v1())


def with_ape(path: Path) -> None:
    found = APEv2()
    found["Genre"], found["Artist"] = ["Old", "Older"], "Somebody"
    found.save(path)


def with_id3_before(path: Path) -> None:
    found = ID3()
    found.add(TCON(encoding=3, text=["Old"]))
    found.add(TIT2(encoding=3, text="Title"))
    found.save(path)


def with_all(path: Path) -> None:
    tag(path, ["Jazz", "Blues"], cover=picture(150_000))
    (with_ape if path.suffix in (".mp3", ".tta") else with_id3_before)(path)
    with_id3v1(path)


VARIANTS: dict[str, Callable[[Path], None]] = {
    "rich": add_rich_fields,
    "no-padding": without_padding,
    "much-padding": with_much_padding,
    "id3v1": with_id3v1,
    "ape": with_ape,
    "id3-before": with_id3_before,
    "all": with_all,
}
PADDED = {
    *(".mp3", ".flac", ".m4a", ".alac.m4a", ".mp4", ".wma", ".aiff", ".wav", ".dsf", ".ogg", ".opus"),
    ".oga",
}
FRAMED = {".mp3", ".flac", ".tta", ".ape", ".mpc", ".wv"}
FITTING = {
    "rich": set(TAGGABLE),
    "no-padding": PADDED,
    "much-padding": PADDED,
    "id3v1": FRAMED,
    "ape": FRAMED - {".flac"},
    "id3-before": FRAMED,
    "all": FRAMED,
}


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    with Store.open(tmp_path_factory.mktemp("store")) as store:
        yield Journal(store)


@pytest.mark.parametrize(
    ("suffix", "variant"),
    [(suffix, variant) for variant in VARIANTS for suffix in TAGGABLE if suffix in FITTING[variant]],
)
def test_the_very_file_comes_back(journal: Journal, tmp_path: Path, suffix: str, variant: str) -> None:
    path = tmp_path / f"song{suffix}"
    path.write_bytes(_small(suffix, variant))
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 23456)
    marked = give_attribute(path)
    before = state_of(path)
    with journal.run("tag", "a model") as run_id:
        write_genres(journal, run_id, path, ("Żółć", "Rock"))
    written = state_of(path)
    assert written[0] != before[0]
    assert written[1:] == before[1:]
    assert marked == ("user.rating" in (os.listxattr(path) if hasattr(os, "listxattr") else ()))
    (record,) = undo_run(journal._store, run_id)
    assert (record.status, record.how) == ("undone", "bytes")
    assert state_of(path) == before
    assert left_over(tmp_path) == []


def give_attribute(path: Path) -> bool:
    try:
        os.setxattr(path, "user.rating", b"5 \xff")
    except (OSError, AttributeError):
        return False
    return True


def state_of(path: Path) -> tuple[object, ...]:
    """SHA-256, and what a file system keeps of a file besides its bytes and times."""
    status = path.stat()
    listed = os.listxattr(path) if hasattr(os, "listxattr") else []
    attributes = {name: os.getxattr(path, name) for name in listed}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return digest, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, attributes


@pytest.mark.parametrize("suffix", TAGGABLE)
@settings(some_examples, max_examples=3)
@given(genres=genre_lists)
def test_whatever_was_written_the_bytes_come_back(
    journal: Journal, tmp_path: Path, suffix: str, genres: list[str]
) -> None:
    path, content = tmp_path / f"song{suffix}", _small(suffix, "rich")
    path.write_bytes(content)
    with journal.run("tag", "a model") as run_id:
        write_genres(journal, run_id, path, tags.as_stored(genres))
    assert path.read_bytes() != content
    assert [record.how for record in undo_run(journal._store, run_id)] == ["bytes"]
    assert path.read_bytes() == content
