"""Splits: nothing on both sides, the same for the same seed, honest about what cannot be ruled out."""

from __future__ import annotations

import dataclasses
import itertools
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genretag.datasets import gtzan, registry
from genretag.datasets.base import PARTS, Clip, Dataset
from genretag.errors import SplitError
from genretag.labels import Kind, genre_labels
from genretag.training.splits import SplitKind, SplitPlan, guard, make_split


def dataset(
    clips: list[Clip], *, kind: Kind = "single", official: str | None = None, filtered: bool = False
) -> Dataset:
    names = sorted({label for clip in clips for label in clip.labels})
    return Dataset("mini", "own", None, tuple(clips), genre_labels(names, kind), official, filtered, (), ())


def clip(
    name: str, label: str, artist: str | None = None, split: str | None = None, track: str | None = None
) -> Clip:
    return Clip(name, None, tuple(label.split("|")) if label else (), artist, track or name, split)


def library(artists: int = 12, songs: int = 5, labels: str = "ABC", known: bool = True) -> Dataset:
    """`artists` of every label with `songs` clips each."""
    return dataset([
        clip(f"{label}/{artist:02d}-{song}", label, f"{label}{artist}" if known else None)
        for label in labels
        for artist in range(artists)
        for song in range(songs)
    ])  # fmt: skip


def parts_of(plan: SplitPlan, data: Dataset, what: str) -> dict[str, set[str | None]]:
    return {part: {getattr(data.clips[i], what) for i in clips} for part, clips in plan.parts.items()}


def assert_apart(plan: SplitPlan, data: Dataset, what: str) -> None:
    for one, other in itertools.combinations(parts_of(plan, data, what).values(), 2):
        assert not (one & other) - {None}


@pytest.mark.parametrize("kind", ["artist", "track", "official", "segment"])
def test_a_valid_part_can_be_left_out(kind: SplitKind) -> None:
    clips = [clip(f"{n}", "AB"[n % 2], f"{n // 3}", "test" if n > 20 else "train") for n in range(30)]
    data = dataset(clips, official="listed")
    plan = make_split(data, kind, fractions=(0.7, 0.0, 0.3))
    if kind == "segment":
        assert not len(plan.windows("valid", "0", 28))
        assert len(plan.windows("train", "0", 28)) == 20
    else:
        assert plan.parts["valid"] == ()
        assert len(plan.parts["train"]) + len(plan.parts["test"]) == 30
    if kind == "official":
        assert plan.parts["train"] == tuple(range(21))
        assert make_split(data, kind).parts["valid"]


def test_without_a_list_clips_are_grouped_by_artist_and_labels_kept_in_proportion() -> None:
    data = library()
    plan = make_split(data)
    assert plan.name == "artist"
    assert plan.leak_free
    assert plan.reason == "split by artist; no track and no known artist stands in two parts"
    assert_apart(plan, data, "artist")
    assert sorted(i for clips in plan.parts.values() for i in clips) == list(range(len(data.clips)))
    sizes = {part: len(clips) / len(data.clips) for part, clips in plan.parts.items()}
    assert sizes == pytest.approx({"train": 0.8, "valid": 0.1, "test": 0.1}, abs=0.04)
    for clips in plan.parts.values():
        count = Counter(data.clips[i].labels[0] for i in clips)
        assert set(count) == set("ABC")
        assert max(count.values()) - min(count.values()) <= 5


def test_without_artists_clips_are_grouped_by_track_and_the_doubt_is_told() -> None:
    data = dataset([
        clip(f"{label}{track}-{part}", label, track=f"{label}{track}")
        for label in "AB"
        for track in range(10)
        for part in range(4)
    ])  # fmt: skip
    plan = make_split(data)
    assert plan.name == "track"
    assert_apart(plan, data, "track")
    assert not plan.leak_free
    assert plan.reason.startswith("may be inflated: split by track; ")
    assert "the artist of 80 of 80 clips is not known" in plan.reason


def test_clips_of_one_track_stay_together_whoever_plays_them() -> None:
    clips = [clip(f"{label}{n}", label, f"{label}{n}") for label in "AB" for n in range(20)]
    clips += [clip(f"{label}x{n}", label, None, track=f"{label}{n}") for label in "AB" for n in range(20)]
    clips += [
        clip(f"{label}y{n}", label, f"{label}{(n + 1) % 3}", track=f"{label}{n}")
        for label in "AB"
        for n in range(3)
    ]
    data = dataset(clips)
    plan = make_split(data, "artist")
    assert_apart(plan, data, "track")
    assert_apart(plan, data, "artist")


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.lists(st.integers(2, 9), min_size=2, max_size=5),
    st.integers(0, 5),
    st.sampled_from([(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.5, 0.25, 0.25)]),
    st.randoms(use_true_random=False),
)
def test_every_label_trains_and_is_tested(
    artists: list[int], seed: int, fractions: tuple[float, float, float], chance: random.Random
) -> None:
    data = dataset([
        clip(f"{label}-{artist}-{song}", str(label), f"{label}-{artist}")
        for label, count in enumerate(artists)
        for artist in range(count)
        for song in range(chance.randint(1, 12))
    ])  # fmt: skip
    try:
        plan = make_split(data, "artist", seed=seed, fractions=fractions)
    except SplitError as error:
        # With two artists a label there is none left for valid.
        assert max(artists) == 2
        assert "too few artists" in str(error)  # noqa: PT017
        return
    assert_apart(plan, data, "artist")
    labels = {part: {data.clips[i].labels for i in clips} for part, clips in plan.parts.items()}
    assert labels["train"] == labels["test"] == {(name,) for name in data.labels.names}
    assert labels["valid"]


def test_a_plain_split_by_track_is_marked_as_inflated() -> None:
    data = library()
    plan = make_split(data, "track")
    assert not plan.leak_free
    assert plan.reason.startswith("inflated: split by track; ")
    assert_apart(plan, data, "track")
    assert len(plan.overlap.artists) > 5
    assert plan.overlap.exposed > 0
    with pytest.raises(SplitError, match=r"artist 'A\d+' stands in two parts of the split"):
        guard(plan, data)
    guard(plan, data, allow=["track"])


def test_a_plain_split_by_segment_puts_windows_of_every_clip_everywhere() -> None:
    data = library()
    plan = make_split(data, "segment", seed=3)
    assert plan.by_window
    assert not plan.leak_free
    assert plan.reason.startswith("inflated: split by segment")
    shares = Counter[str]()
    for piece in data.clips:
        windows = {part: plan.windows(part, piece.id, 10).tolist() for part in PARTS}
        assert sorted(itertools.chain(*windows.values())) == list(range(10))
        shares.update({part: len(found) for part, found in windows.items()})
    assert {part: count / shares.total() for part, count in shares.items()} == pytest.approx(
        {"train": 0.8, "valid": 0.1, "test": 0.1}, abs=0.02
    )
    one_window = Counter(
        part for piece in data.clips for part in PARTS if len(plan.windows(part, piece.id, 1))
    )
    assert one_window.total() == len(data.clips)
    assert set(one_window) == set(PARTS)
    assert make_split(data).windows("train", data.clips[0].id, 4).tolist() == [0, 1, 2, 3]
    with pytest.raises(SplitError, match="track 'A/00-0' stands in two parts"):
        guard(plan, data, allow=["track"])


@pytest.mark.parametrize("kind", [None, "artist", "track", "segment"])
def test_folds_test_every_clip_once(kind: SplitKind | None) -> None:
    data = library()
    plans = [make_split(data, kind, folds=5, fold=fold, seed=1) for fold in range(5)]
    assert len({plan.hash for plan in plans}) == 5
    if kind == "segment":
        tested = [plan.windows("test", data.clips[0].id, 10).tolist() for plan in plans]
        assert sorted(itertools.chain(*tested)) == list(range(10))
        valid = [len(plan.windows("valid", data.clips[0].id, 100)) for plan in plans]
        assert set(valid) <= {8, 9}  # a ninth of the 80 windows that are not tested
        return
    assert sorted(i for plan in plans for i in plan.part("test")) == list(range(len(data.clips)))
    for plan in plans:
        assert plan.name == (kind or "artist")
        assert sorted(itertools.chain(*plan.parts.values())) == list(range(len(data.clips)))
        assert plan.part("valid")


def test_an_official_split_wins_and_has_no_folds() -> None:
    clips = [clip(f"{label}{n}", label, f"{label}{n}", PARTS[n % 3]) for label in "AB" for n in range(9)]
    data = dataset(clips, official="listed")
    plan = make_split(data)
    assert plan.name == "official"
    assert plan.leak_free
    assert {part: {data.clips[i].split for i in where} for part, where in plan.parts.items()} == {
        part: {part} for part in PARTS
    }
    assert make_split(data, folds=3).name == "artist"
    with pytest.raises(SplitError, match="no folds"):
        make_split(data, "official", folds=3)
    with pytest.raises(SplitError, match="has no official split"):
        make_split(dataclasses.replace(data, official=None), "official")


def test_a_missing_valid_part_is_cut_from_train_by_artist() -> None:
    data = dataset(
        [
            clip(f"{label}/{artist}-{song}", label, f"{label}{artist}", "test" if artist > 9 else "train")
            for label in "AB"
            for artist in range(12)
            for song in range(4)
        ],
        official="listed",
    )
    plan = make_split(data)
    assert len(plan.part("test")) == 16
    assert len(plan.part("valid")) == pytest.approx(8, abs=4)
    assert_apart(plan, data, "artist")
    assert {data.clips[i].labels[0] for i in plan.part("valid")} == {"A", "B"}


@pytest.mark.parametrize(
    ("filtered", "shared", "leak_free", "lead"),
    [
        (True, 1, True, "listed split, published as artist-filtered; 1 of "),
        (True, 5, False, "inflated: listed split, published as artist-filtered; 5 of "),
        (False, 1, True, "listed split; 1 of "),
        (False, 5, False, "inflated: listed split; 5 of "),
    ],
)
def test_artists_that_cross_in_an_official_split_are_counted_and_told(
    filtered: bool, shared: int, leak_free: bool, lead: str
) -> None:
    parts = [*["train"] * 20, *["valid"] * 10, *["test"] * 10]
    clips = [
        clip(f"{label}{n}", label, f"{label}{n - 30 if label == 'A' and 30 <= n < 30 + shared else n}", part)
        for label in "AB"
        for n, part in enumerate(parts)
    ]
    plan = make_split(dataset(clips, official="listed", filtered=filtered))
    assert plan.leak_free is leak_free
    assert plan.reason.startswith(lead)
    assert f"{shared} of 20 test artists, with {shared} of 20 clips, stand in train" in plan.reason
    assert len(plan.overlap.artists) == shared


def test_an_official_split_that_parts_a_track_is_refused() -> None:
    clips = [
        clip(f"{label}{n}", label, None, PARTS[n % 3], track=f"{n // 2}") for label in "AB" for n in range(12)
    ]
    with pytest.raises(SplitError, match="track '0' stands in two parts of the split, as do 6 in all"):
        make_split(dataset(clips, official="listed"))


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ({"valid", "test"}, "no clip of the train part"),
        ({"train", "valid"}, "has no 'test' clips here .train 6, valid 6, test 0."),
    ],
)
def test_a_part_that_is_not_here_is_one_line(keep: set[str], said: str) -> None:
    clips = [clip(f"{label}{n}", label, None, PARTS[n % 3]) for label in "AB" for n in range(9)]
    data = dataset([piece for piece in clips if piece.split in keep], official="listed")
    with pytest.raises(SplitError, match=said):
        make_split(data).part("test")


def test_a_label_that_is_tested_and_never_trained_is_one_line() -> None:
    clips = [clip(f"{label}{n}", label, None, PARTS[n % 3]) for label in "AB" for n in range(9)]
    data = dataset(
        [piece for piece in clips if (piece.labels, piece.split) != (("B",), "train")], official="listed"
    )
    with pytest.raises(SplitError, match="'B' has clips in valid and none in train"):
        make_split(data)


def test_a_label_with_a_single_artist_is_one_line() -> None:
    clips = [*library(labels="AB").clips, *(clip(f"C/{n}", "C", "Solo") for n in range(7))]
    data = dataset(clips)
    with pytest.raises(SplitError) as error:
        make_split(data)
    assert str(error.value) == (
        "mini: 'C' has a single artist (7 clips), which cannot stand in train and in test; "
        "add another artist or ask for --split track or segment"
    )
    with pytest.raises(SplitError, match="'C' has a single artist"):
        make_split(data, folds=4)
    assert make_split(data, "track").part("test")


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (library(labels="A"), {}, "all clips have one label"),
        (library(known=False), {"kind": "artist"}, "no artist is known; put artists.csv"),
        (library(artists=2), {"folds": 7}, "7 folds need as many artists or tracks, and there are 6"),
        (library(artists=2), {}, "too few artists or tracks .* add some, or ask for --split track"),
        (dataset([clip("1", "A|B", "Ann"), clip("2", "B", "Bea")], kind="multi"), {}, "too few artists"),
        (dataset([clip("1", "A", "Ann"), clip("2", "B", "Ann")], kind="multi"), {}, "too few artists"),
        (library(), {"folds": 1}, "2 folds or more"),
        (library(), {"folds": 3, "fold": 3}, "fold 3 of 3"),
        (library(), {"fractions": (0.0, 0.9, 0.1)}, "must be above 0 .* and add up to 1"),
        (library(), {"fractions": (1.0, -0.1, 0.1)}, "must be above 0 .* and add up to 1"),
        (library(), {"fractions": (0.5, 0.1, 0.1)}, "must be above 0 .* and add up to 1"),
    ],
)
def test_what_cannot_be_split_is_one_line(data: Dataset, options: dict[str, object], said: str) -> None:
    with pytest.raises(SplitError, match=said) as error:
        make_split(data, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_artists_entangled_over_all_labels_are_one_line() -> None:
    # Any two of these artists are needed to show all three labels, and there is only one more.
    pairs = {"Ann": "AB", "Bea": "AC", "Cid": "BC"}
    data = dataset([clip(f"{by}-{label}", label, by) for by, labels in pairs.items() for label in labels])
    with pytest.raises(SplitError, match="too few artists or tracks"):
        make_split(data)
    said = []
    for fold in range(2):
        try:
            make_split(data, folds=2, fold=fold)
        except SplitError as error:
            said.append(str(error))
    assert any("2 folds leave a label without train clips" in message for message in said)


@pytest.mark.parametrize("filtered", [True, False])
def test_an_official_split_is_believed_about_artists_only_if_published_so(filtered: bool) -> None:
    clips = [clip(f"{label}{n}", label, None, PARTS[n % 3]) for label in "AB" for n in range(9)]
    plan = make_split(dataset(clips, official="listed", filtered=filtered))
    assert plan.leak_free is filtered
    assert plan.reason.startswith("may be inflated: ") is not filtered
    assert plan.reason.endswith("the artist of 18 of 18 clips is not known")


@pytest.mark.filterwarnings("error")
def test_several_labels_are_kept_in_proportion_by_the_rarest() -> None:
    data = dataset(
        [
            clip(f"{n:03d}", "common|rare" if n % 10 == 0 else "common" if n % 7 else "", f"artist {n}")
            for n in range(200)
        ],
        kind="multi",
    )
    plan = make_split(data)
    assert plan.leak_free
    for part, share in (("train", 0.8), ("valid", 0.1), ("test", 0.1)):
        rare = sum("rare" in data.clips[i].labels for i in plan.part(part))
        assert rare == pytest.approx(20 * share, abs=1)
    # A tag of one artist can only be trained; that is no reason to refuse all the others.
    solo = dataset([*data.clips, clip("solo", "solo", "soloist")], kind="multi")
    assert "soloist" in parts_of(make_split(solo), solo, "artist")["train"]


def test_the_hash_is_of_ids_and_parts_and_not_of_the_order_of_files() -> None:
    data = library()
    shuffled = list(data.clips)
    random.Random(7).shuffle(shuffled)
    other = dataclasses.replace(data, clips=tuple(shuffled))
    for kind in ("artist", "track", "segment"):
        plan, again = make_split(data, kind, seed=5), make_split(other, kind, seed=5)
        assert plan.hash == again.hash
        assert parts_of(plan, data, "id") == parts_of(again, other, "id")
        assert make_split(data, kind, seed=6).hash != plan.hash
    fewer = dataclasses.replace(data, clips=data.clips[1:])
    assert make_split(fewer, seed=5).hash != make_split(data, seed=5).hash


def test_another_process_makes_the_same_split() -> None:
    script = (
        "import test_splits as t\n"
        "plan = t.make_split(t.library(), seed=2)\n"
        "other = t.make_split(t.library(), 'segment', seed=2)\n"
        "print(plan.hash, other.windows('test', 'A/00-0', 40).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        env={"PYTHONHASHSEED": "77", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    data = library()
    windows = make_split(data, "segment", seed=2).windows("test", "A/00-0", 40).tolist()
    assert done.stdout.strip() == f"{make_split(data, seed=2).hash} {windows}"


def test_ids_that_are_not_utf8_can_be_hashed() -> None:
    data = dataset([clip(f"caf\udce9 {label}{n}", label, f"{label}{n}") for label in "AB" for n in range(12)])
    assert len(make_split(data).hash) == 64
    assert len(make_split(data, "segment").windows("train", data.clips[0].id, 10)) == 8


def test_the_filtered_gtzan_split_and_the_artists_that_cross_in_it(shared_data: Path) -> None:
    table = gtzan.load_feature_table(shared_data / "gtzan" / "features_30_sec.csv")
    data = registry.load("gtzan", shared_data / "gtzan", ids=table.ids)
    plan = make_split(data)
    assert [len(plan.part(part)) for part in PARTS] == [443, 197, 290]
    assert plan.leak_free
    assert plan.reason.startswith(
        "fault-filtered split, published as artist-filtered; 13 of 312 known artists "
    )
    assert plan.overlap.exposed == 22
    grouped = make_split(data, "artist")
    assert_apart(grouped, data, "artist")
    assert (
        np.bincount([data.labels.names.index(data.clips[i].labels[0]) for i in grouped.part("test")]).min()
        > 0
    )
    plain = make_split(data, "track")
    assert not plain.leak_free
    assert plain.overlap.exposed > 0.6 * plain.overlap.held_clips


@pytest.mark.parametrize("kind", ["artist", "track", "segment"])
def test_a_split_without_a_test_part(kind: SplitKind) -> None:
    data = library()
    plan = make_split(data, kind, fractions=(0.7, 0.3, 0.0))
    windows = {part: len(plan.windows(part, "one", 20)) for part in ("train", "valid", "test")}
    if kind == "segment":
        assert windows == {"train": 14, "valid": 6, "test": 0}
    else:
        assert not plan.parts["test"]
        assert 0.2 < len(plan.part("valid")) / len(data.clips) < 0.4


def test_for_testing_alone_an_official_split_needs_no_train_part() -> None:
    clips = [clip("1", "A", "Ann", split="test"), clip("2", "B", "Bea", split="test")]
    data = dataset(clips, official="listed")
    with pytest.raises(SplitError, match="no clip of the train part"):
        make_split(data)
    assert make_split(data, partial=True).parts == {"train": (), "valid": (), "test": (0, 1)}
