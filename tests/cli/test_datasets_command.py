"""`genretag datasets`: what there is, everything about one, what a copy holds, and what it lacks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trees import TREES, gtzan_tree, magnatagatune_tree

from command import Command
from genretag.datasets.registry import REGISTRY


def test_the_list(genretag: Command) -> None:
    shown = genretag("datasets")
    assert shown.code == 0
    assert all(name in shown.out for name in REGISTRY)
    listed = json.loads(genretag("datasets", "--json").out)
    assert [row["name"] for row in listed] == list(REGISTRY)


@pytest.mark.parametrize("name", REGISTRY)
def test_everything_about_one(genretag: Command, name: str) -> None:
    info = REGISTRY[name].info
    shown = genretag("datasets", name)
    assert shown.code == 0
    told = " ".join(shown.out.split())
    for text in (info.title, info.where, info.layout, info.licence, info.split, *info.variants, *info.leaks):
        assert " ".join(text.split()) in told
    for size in info.sizes:
        assert all(f"{count:,}" in told for count in (size.labels, *size.clips))
    (record,) = genretag("datasets", name, "--json").records
    assert record["name"] == name
    assert record["copy"] is None


@pytest.mark.parametrize("name", TREES)
def test_what_a_copy_holds(genretag: Command, name: str, tmp_path: Path) -> None:
    root = TREES[name](tmp_path)
    shown = genretag("datasets", name, "--data", root)
    assert shown.code == 0
    assert "split segment: inflated: split by segment" in shown.out
    (record,) = genretag("datasets", name, "--data", root, "--json").records
    everything = record["copy"]["parts"][-1]
    assert everything["part"] == "all"
    assert everything["clips"] > 0
    assert 0 < everything["baseline"]["accuracy"] < 1


def test_the_baseline_of_tags_is_called_that(genretag: Command, tmp_path: Path) -> None:
    root = magnatagatune_tree(tmp_path)
    answer = genretag("datasets", "magnatagatune:188", "--data", root)
    # Eleven of the 7 x 5 tag values are set.
    assert (
        "of all tag values 31.43 % are set: all-zeros, the baseline that says no to every tag" in answer.out
    )
    assert "68.57 % accurate" in answer.out
    assert "left out: 1 (its mp3 is empty in every copy): 6/fay-seven-07-song-0-29.mp3" in answer.out


def test_a_whole_copy_and_a_broken_one(genretag: Command, tmp_path: Path) -> None:
    root = gtzan_tree(tmp_path)
    music = sorted((root / "genres").rglob("*.wav"))
    music[0].write_bytes(b"")
    music[1].write_bytes(b"no music at all")
    opened = genretag("datasets", "gtzan", "--verify", root, "--open", "--json")
    assert opened.code == 1
    (document,) = opened.records
    assert not document["whole"]
    errors = {
        Path(one["path"]).name: one["what"] for one in document["findings"] if one["severity"] == "error"
    }
    assert errors == {music[0].name: "empty", music[1].name: "does not open as audio"}
    shown = genretag("datasets", "gtzan", "--verify", root)
    assert shown.code == 1
    lines = shown.out.splitlines()
    assert lines[0] == f"error   empty: {music[0]}"
    assert sum(line.startswith("warning missing: ") for line in lines) == 21
    assert "more (--verbose names them)" in shown.out
    assert "get it from https://huggingface.co" in shown.err
    everything = genretag("datasets", "gtzan", "--verify", root, "--verbose").out
    assert everything.count("missing: ") == 930 - 18


def test_a_whole_copy_exits_0(genretag: Command, tmp_path: Path) -> None:
    root = TREES["folder"](tmp_path)
    answer = genretag("datasets", "folder", "--verify", root)
    assert answer.code == 0
    assert "usable" in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gtsan"], "no dataset is called 'gtsan'; did you mean gtzan?"),
        (["gtzan", "--data", "."], "has no folder of a genre; expected DIR/genres/<genre>"),
        (["gtzan", "--data", ".", "--variant", "huge"], "there is no variant 'huge'"),
        (["gtzan", "--open"], "--open goes with --verify DIR"),
        (["--verify", "."], "name the dataset too"),
    ],
)
def test_what_cannot_be_is_one_line(
    genretag: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = genretag("datasets", *arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_a_folder_that_is_no_copy_is_broken(genretag: Command, tmp_path: Path) -> None:
    answer = genretag("datasets", "gtzan", "--verify", tmp_path)
    assert answer.code == 1
    assert "has no folder of a genre" in answer.out
