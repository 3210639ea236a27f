"""What holds for every dataset: a loop over the live table, on a small tree of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from trees import TREES, gtzan_tree

from genretag.datasets import registry
from genretag.datasets.base import PARTS
from genretag.errors import DatasetError

VARIANTS = [(name, variant) for name, entry in registry.REGISTRY.items() for variant in entry.info.variants]
TASKS = [(name, task) for name, entry in registry.REGISTRY.items() for task in entry.info.tasks]


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_every_variant_loads_from_its_layout(name: str, variant: str, tmp_path: Path) -> None:
    dataset = registry.load(name, TREES[name](tmp_path), variant=variant)
    assert (dataset.name, dataset.variant) == (name, variant)
    assert dataset.clips
    ids = [clip.id for clip in dataset.clips]
    assert ids == sorted(set(ids))
    for clip in dataset.clips:
        assert clip.path is not None
        assert clip.path.stat().st_size > 0
        assert set(clip.labels) <= set(dataset.labels.names)
        assert clip.split in PARTS if dataset.official else clip.split is None
    assert not {clip for clip, _ in dataset.excluded} & set(ids)
    assert dataset.targets().sum() == sum(len(clip.labels) for clip in dataset.clips)


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_every_task_is_what_the_labels_say(name: str, task: str, tmp_path: Path) -> None:
    dataset = registry.load(f"{name}:{task}", TREES[name](tmp_path))
    assert dataset.labels.kind == task
    if task == "single":
        assert all(len(clip.labels) == 1 for clip in dataset.clips)


@pytest.mark.parametrize("name", registry.REGISTRY)
def test_clips_can_be_named_by_features_in_place_of_audio(name: str, tmp_path: Path) -> None:
    data = TREES[name](tmp_path)
    whole = registry.load(name, data)
    names = [clip.id for clip in whole.clips[::2]]
    dataset = registry.load(name, data, ids=[*names, *names])
    assert [clip.id for clip in dataset.clips] == names
    assert all(clip.path is None for clip in dataset.clips)
    assert dataset.named == {name: name for name in names}
    assert {clip.artist for clip in dataset.clips} <= {clip.artist for clip in whole.clips}
    stray = "rootless" if name == "folder" else "no/such clip"
    with pytest.raises(DatasetError, match=f"features are given for '{stray}'") as error:
        registry.load(name, data, ids=[*names, stray])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", registry.REGISTRY)
def test_a_wrong_layout_is_one_line_that_says_what_was_expected(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for data in (tmp_path / "empty", tmp_path / "missing", None):
        with pytest.raises(DatasetError) as error:
            registry.load(name, data)
        message = str(error.value)
        assert "\n" not in message
        assert message.startswith(f"{name}: ")
        assert registry.info(name).where in message
    assert [found.severity for found in registry.verify(name, tmp_path / "empty")] == ["error"]


@pytest.mark.parametrize("name", registry.REGISTRY)
def test_verify_finds_nothing_broken_in_a_sound_copy(name: str, tmp_path: Path) -> None:
    findings = registry.verify(name, TREES[name](tmp_path), open_files=True)
    assert [found for found in findings if found.severity == "error"] == []


@pytest.mark.parametrize("name", registry.REGISTRY)
def test_verify_names_what_is_missing_empty_and_broken(name: str, tmp_path: Path) -> None:
    data = TREES[name](tmp_path)
    gone, empty, broken = (clip.path for clip in registry.load(name, data).clips[:3])
    assert gone is not None
    assert empty is not None
    assert broken is not None
    before = {(found.what, found.path) for found in registry.verify(name, data, open_files=True)}
    gone.unlink()
    empty.write_bytes(b"")
    broken.write_bytes(b"this is no music" * 500)
    after = {(found.what, found.path) for found in registry.verify(name, data, open_files=True)}
    assert {(what, path) for what, path in after - before if what != "missing"} == {
        ("empty", empty),
        ("does not open as audio", broken),
    }
    missing = {path.with_suffix("") for what, path in after - before if what == "missing" and path}
    # What lies in a folder of one's own is all that should lie there.
    assert missing == (set() if name == "folder" else {gone.with_suffix("")})


@pytest.mark.parametrize("name", registry.REGISTRY)
def test_everything_a_person_must_know_is_there(name: str) -> None:
    about = registry.info(name)
    for text in (about.title, about.where, about.layout, about.licence, about.split, *about.leaks):
        assert text
        assert "\n" not in text
    assert about.leaks
    assert {size.variant for size in about.sizes} <= set(about.variants)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gtzen", "did you mean gtzan"),
        ("spotify", "there are gtzan"),
        ("fma:tiny", "'tiny' does not fit; variants are small"),
        ("fma:small:medium", "'medium' does not fit"),
        ("gtzan:multi", "labels are not multi"),
    ],
)
def test_an_unknown_name_gets_a_hint(name: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=hint):
        registry.load(name, tmp_path)


def test_looking_at_the_datasets_does_not_import_torch() -> None:
    script = "import sys, genretag.datasets.registry; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_an_unknown_variant_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no variant 'huge'"):
        registry.load("fma", tmp_path, variant="huge")


def test_two_files_of_one_clip_are_told_apart_from_strays(tmp_path: Path) -> None:
    data = gtzan_tree(tmp_path)
    first = registry.load("gtzan", data).clips[0].path
    assert first is not None
    first.with_suffix(".zip.wav").write_bytes(first.read_bytes())
    first.with_suffix(".wma").write_bytes(first.read_bytes())
    said = {found.path: found.what for found in registry.verify("gtzan", data)}
    assert said[first.with_suffix(".wma")].startswith("a second file of blues/blues.")
    assert said[first.with_suffix(".zip.wav")] == "no clip of the dataset"
    assert registry.load("gtzan", data).clips[0].path == first
