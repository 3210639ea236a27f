"""A second identical run changes nothing, whatever the options, the genres in the files and their formats."""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TCON

from albums import set_album
from foreign_tags import TAGGABLE, tag
from genretag import checkpoint
from genretag.audio.payload import identify
from genretag.journal import Journal
from genretag.labels import split_genres
from genretag.predict.decide import DecisionRule
from genretag.store import CachedScores, Store
from genretag.tagging import tags
from genretag.tagging.apply import Applying
from genretag.tagging.genremap import GenreMap, parse_map
from genretag.tagging.plan import Existing, Record, parse_record
from genretag.tagging.scan import Found
from genretag.tagging.tag import Tagging, TagOptions
from genretag.tagging.undo import undo_run
from genretag.tagging.writer import WriteOptions
from sounds import any_sound, make_sound

MODEL = "musicnn-msd"
# High scores of these labels; the rest are low.
LABELS = ("rock", "pop", "alternative", "Hip-Hop", "jazz", "Progressive rock", "80s", "female vocalists")
SEPARATORS = (None, "; ", ";", " / ", "/", ", ", " & ", "-", " ", " ; ", "a;b", "//")
MAPS: tuple[Mapping[str, object], ...] = (
    {},
    {"parents": True},
    {"rename": {"Rock": "Rock; Pop", "Jazz": " cool  jazz "}},
    {
        "rename": {"Hip-Hop": "Rap/Hip Hop", "Pop": "POP", "Rock": "pop"},
        "parents": {"pop": ["Music", "rock"]},
    },
    {"allow": ["Metal", "Rock"], "broaden": True, "drop": ["Pop"]},
)
# As other programs store them: spelled otherwise, joined, repeated, empty, as numbers of ID3v1.
VALUES = (
    *("Rock", "rock", "ROCK ", "Pop", "hip hop", "HipHop", "jazz", "Polka", "polka", "My  Genre", "AC/DC"),
    *("Rock; Pop", "Rock;Pop", "rock;ROCK; Rock", "Pop / Rock", "Rock/Pop", "Rock, Pop", "R&B & Soul", ";"),
    *(
        " ; Jazz;",
        "Hip-Hop; Progressive Rock; Jazz; Pop; Alternative; Rock",
        "17",
        "(17)",
        "(17)Rock",
        "Sci-Fi",
    ),
    *("日本; Rock", "Jazz\nRock", "\x1b[31m", "", "  "),
)
some_examples = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Run:
    """Options of one run; `planned`: carried out by `apply` from a plan."""

    existing: Existing
    writing: WriteOptions
    rule: DecisionRule
    genre_map: GenreMap
    by_album: bool
    planned: bool


runs = st.builds(
    Run,
    existing=st.sampled_from([*Existing, Existing.ADD]),
    writing=st.builds(
        WriteOptions,
        separator=st.sampled_from(SEPARATORS),
        id3=st.sampled_from(["keep", "2.3", "2.4"]),
        preserve_mtime=st.booleans(),
        provenance=st.booleans(),
        in_place=st.booleans(),
    ),
    rule=st.builds(
        DecisionRule,
        top=st.integers(1, 5),
        threshold=st.sampled_from([None, 0.0, 0.3]),
        task=st.sampled_from([None, None, "single", "multi"]),
    ),
    genre_map=st.sampled_from(MAPS).map(lambda document: parse_map(dict(document), Path("map.toml"))),
    by_album=st.booleans(),
    planned=st.booleans(),
)
genre_values = st.lists(st.sampled_from(VALUES), max_size=4)
scores = st.lists(st.sampled_from([0.05, 0.2, 0.4, 0.6, 0.9]), min_size=len(LABELS), max_size=len(LABELS))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new folder for each example."""
    root = tmp_path_factory.mktemp("music")
    return (root / str(number) for number in itertools.count())


@lru_cache(maxsize=128)
def sound(suffix: str, seed: int, folder: Path) -> bytes:
    path = folder / f"sound{suffix}"
    if suffix in (".ape", ".mpc", ".spx"):
        any_sound(path)
    else:
        make_sound(path, 0.3, seed=seed, channels=1 if suffix == ".dsf" else 2)
    return path.read_bytes()


@cache
def labels() -> tuple[tuple[str, ...], str]:
    path = checkpoint.resolve(MODEL)
    return checkpoint.read_meta(path).labels.names, checkpoint.file_hash(path)


def let_sound(store: Store, path: Path, heard: Sequence[float]) -> None:
    """Store these scores for the recording, as if the model had analysed it."""
    names, model = labels()
    known = dict(zip(LABELS, heard, strict=True))
    row = np.array([known.get(name, 0.01) for name in names], np.float32)
    store.remember_scores(identify(path), model, "fast", CachedScores(row, 4, 200.0))


def carry_out(store: Store, run: Run, paths: Iterable[Path]) -> list[Record]:
    options = TagOptions(
        model=MODEL,
        write=not run.planned,
        existing=run.existing,
        rule=run.rule,
        genre_map=run.genre_map,
        writing=run.writing,
        by="album" if run.by_album else "track",
    )
    records = list(Tagging(options, store).records(map(Found, paths)))
    if not run.planned:
        return records
    plan = [parse_record(record.to_json(), "plan") for record in records]
    applied = {record.path: record for record in Applying(plan, run.writing, store).records()}
    again = list(Applying(plan, run.writing, store).records())
    assert [record.status for record in again] == ["unchanged"] * len(again)
    return [applied.get(record.path, record) if record.status == "planned" else record for record in records]


def content(paths: Iterable[Path]) -> list[tuple[str, int]]:
    return [(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in paths]


def check_second_run(store: Store, run: Run, paths: Sequence[Path]) -> None:
    """Assert that a first run does its work and that a second one leaves every file as it is."""
    journal = Journal(store)
    before = [path.read_bytes() for path in paths]
    stored = [tags.read(path).genres for path in paths]
    runs_before = len(journal.runs())
    first = carry_out(store, run, paths)
    assert [record.error for record in first] == [None] * len(paths)
    # Of a file with two names, the second name is found as the first one left it.
    files = len({path.stat().st_ino for path in paths})
    assert [record.previous for record in first][:files] == stored[:files], "as they are in the file"
    for record, old, values in zip(first[:files], before, stored, strict=False):
        if record.status in ("unchanged", "kept", "unsure"):
            assert record.path.read_bytes() == old
        elif run.existing is Existing.ADD and values:
            kept = split_genres(values, run.writing.separator)
            assert split_genres(tags.read(record.path).genres, run.writing.separator)[: len(kept)] == kept
    after, written = content(paths), len(journal.runs())
    second = carry_out(store, run, paths)
    assert content(paths) == after
    for one, other in zip(first, second, strict=True):
        expected = {"unsure"} if one.status == "unsure" else {"unchanged", "kept"}
        assert other.status in expected, (one, other)
    assert len(journal.runs()) == written, "nothing was written"
    if written > runs_before:
        undone = {(record.status, record.how) for record in undo_run(store, journal.runs()[0].id)}
        assert undone == {("undone", "bytes")}
    assert [path.read_bytes() for path in paths] == before


def prepare(
    folder: Path, store: Store, suffix: str, files: Sequence[tuple[list[str], list[float]]]
) -> list[Path]:
    folder.mkdir()
    paths = []
    for number, (values, _) in enumerate(files):
        path = folder / f"{number}{suffix}"
        path.write_bytes(sound(suffix, number, folder.parent))
        if values:
            tag(path, values)
        paths.append(path)
    return paths


ADD_JOINED = Run(Existing.ADD, WriteOptions("; "), DecisionRule(2, 0.0), GenreMap(), False, False)


@pytest.mark.parametrize("suffix", TAGGABLE)
@settings(some_examples, max_examples=6)
@given(run=runs, values=genre_values, heard=scores)
@example(run=ADD_JOINED, values=["Polka"], heard=[0.9] * len(LABELS))
@example(run=replace(ADD_JOINED, planned=True), values=["Polka; rock"], heard=[0.9] * len(LABELS))
def test_every_format(
    store: Store, folders: Iterator[Path], suffix: str, run: Run, values: list[str], heard: list[float]
) -> None:
    paths = prepare(next(folders), store, suffix, [(values, heard)])
    let_sound(store, paths[0], heard)
    check_second_run(store, run, paths)


@settings(some_examples, max_examples=60)
@given(
    run=runs,
    suffix=st.sampled_from([".mp3", ".flac", ".m4a"]),
    files=st.lists(st.tuples(genre_values, scores), min_size=2, max_size=5),
    tagged=st.booleans(),
)
# The first two tracks agree after the first run, which must not decide the third in the second one.
@example(
    run=replace(ADD_JOINED, existing=Existing.KEEP, rule=DecisionRule(1, 0.5), by_album=True),
    suffix=".mp3",
    files=[(["Rock"], [0.05] * 8), ([], [0.9, *[0.05] * 7]), ([], [0.05] * 8)],
    tagged=False,
)
def test_albums(
    store: Store,
    folders: Iterator[Path],
    run: Run,
    suffix: str,
    files: list[tuple[list[str], list[float]]],
    tagged: bool,
) -> None:
    paths = prepare(next(folders), store, suffix, files)
    for path, (_, heard) in zip(paths, files, strict=True):
        if tagged:
            set_album(path, "An album", artist="Somebody")
        let_sound(store, path, heard)
    check_second_run(store, replace(run, by_album=True), paths)


# Genres in more tags than one, and in tags that this program does not write


def id3_of_version_3(path: Path, values: list[str]) -> None:
    found = ID3()
    found.add(TCON(encoding=1, text=values))
    found.save(path, v2_version=3, v23_sep=None)


def only_id3v1(path: Path, _values: list[str]) -> None:
    path.write_bytes(path.read_bytes() + b"TAG" + b"A title".ljust(124, b"\0") + bytes((17,)))


def ape_beside_id3(path: Path, values: list[str]) -> None:
    found = APEv2()
    found["Genre"] = [*values, "Older"]
    found.save(path)
    id3_of_version_3(path, values)
    only_id3v1(path, values)


def only_ape(path: Path, values: list[str]) -> None:
    found = APEv2()
    found["Genre"] = values
    found.save(path)


def info_list(path: Path, values: list[str]) -> None:
    text = "; ".join(values).encode() + b"\0"
    entry = b"IGNR" + struct.pack("<I", len(text)) + text + bytes(len(text) % 2)
    chunk = b"LIST" + struct.pack("<I", 4 + len(entry)) + b"INFO" + entry
    data = path.read_bytes() + chunk
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


def info_list_and_id3(path: Path, values: list[str]) -> None:
    tag(path, values)
    info_list(path, [*values, "Older"])


FOREIGN: dict[str, tuple[str, Callable[[Path, list[str]], None]]] = {
    "ID3v2.3": (".mp3", id3_of_version_3),
    "only ID3v1": (".mp3", only_id3v1),
    "APE beside ID3": (".mp3", ape_beside_id3),
    "only APE": (".mp3", only_ape),
    "APE and ID3v1 in tta": (".tta", ape_beside_id3),
    "only INFO": (".wav", info_list),
    "INFO and ID3": (".wav", info_list_and_id3),
}


@pytest.mark.parametrize("kind", FOREIGN)
@settings(some_examples, max_examples=12)
@given(run=runs, values=genre_values.filter(bool), heard=scores, other_name=st.booleans())
def test_foreign_tags_and_files_with_two_names(
    store: Store,
    folders: Iterator[Path],
    kind: str,
    run: Run,
    values: list[str],
    heard: list[float],
    other_name: bool,
) -> None:
    suffix, write = FOREIGN[kind]
    (path,) = prepare(next(folders), store, suffix, [([], [])])
    write(path, values)
    let_sound(store, path, heard)
    paths = [path]
    if other_name:
        paths.append(path.with_name(f"other{suffix}"))
        paths[1].hardlink_to(path)
    check_second_run(store, run, paths)


@settings(some_examples, max_examples=60)
@given(
    earlier=runs,
    run=runs,
    values=genre_values,
    heard=scores,
    suffix=st.sampled_from([".mp3", ".opus", ".wv"]),
)
def test_after_a_run_with_other_options(
    store: Store,
    folders: Iterator[Path],
    earlier: Run,
    run: Run,
    values: list[str],
    heard: list[float],
    suffix: str,
) -> None:
    paths = prepare(next(folders), store, suffix, [(values, heard)])
    let_sound(store, paths[0], heard)
    carry_out(store, earlier, paths)
    check_second_run(store, run, paths)
