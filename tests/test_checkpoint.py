"""Checkpoints: what is saved comes back, what is damaged or foreign gives one line and runs nothing."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from genretag import checkpoint
from genretag.audio.features import FeatureSpec
from genretag.checkpoint import CheckpointMeta
from genretag.errors import CheckpointError
from genretag.labels import tag_labels

META = CheckpointMeta(
    name="small",
    preset="vgg",
    config={"filters": 4},
    features=FeatureSpec("logmel", 16000, 512, 256, frames=10, step_frames=5, n_mels=8),
    labels=tag_labels(["rock", "happy"], ["rock"]),
    thresholds={"rock": 0.25},
    temperature=1.5,
    dataset="folder",
    split="artist",
    split_hash="abc",
    seed=3,
    scores={"accuracy": 0.5},
    licence="MIT",
    origin="a test",
    extra={"parameters": 12},
)


def state() -> dict[str, torch.Tensor]:
    return {
        "weight": torch.arange(12, dtype=torch.float32).reshape(3, 4).T,  # not contiguous
        "bias": torch.tensor([1.5, -2.0]),
        "count": torch.tensor(7),
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    checkpoint.save(path, META, state())
    return path


def test_everything_comes_back(saved: Path) -> None:
    loaded = checkpoint.load(saved)
    assert loaded.path == saved
    assert replace(loaded.meta, tensors_sha256="") == META
    assert checkpoint.read_meta(saved) == loaded.meta
    assert loaded.state.keys() == state().keys()
    assert all(torch.equal(loaded.state[name], tensor) for name, tensor in state().items())


def test_same_input_gives_same_bytes(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again" / "small.safetensors"
    checkpoint.save(again, META, dict(reversed(state().items())))
    assert again.read_bytes() == saved.read_bytes()
    assert checkpoint.file_hash(again) == checkpoint.file_hash(saved)


def test_description_is_read_without_torch(saved: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom genretag import checkpoint\n"
        f"print(checkpoint.read_meta(Path({str(saved)!r})).name, 'torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.split() == ["small", "False"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def cut_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 255
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("not a checkpoint at all\n" * 20, encoding="utf-8")


def foreign(path: Path) -> None:
    save_file(state() | {"weight": state()["weight"].contiguous()}, path, {"format": "pt"})


def rewrite(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """The same file with another description."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header["__metadata__"]["genretag"])
    document = change(document) or document
    header["__metadata__"]["genretag"] = document if isinstance(document, str) else json.dumps(document)
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + length :])


@pytest.mark.parametrize("damage", [truncate, cut_header, flip, empty, text, foreign])
def test_damage_gives_one_line(saved: Path, damage: Callable[[Path], None]) -> None:
    damage(saved)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(saved)
    assert str(caught.value).startswith(str(saved))
    assert "\n" not in str(caught.value)


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("write", [torch.save, lambda trap, path: path.write_bytes(pickle.dumps(trap))])
def test_pickles_are_refused_and_not_run(tmp_path: Path, write: Callable[[Trap, Path], object]) -> None:
    path, sprung = tmp_path / "trap.safetensors", tmp_path / "sprung"
    write(Trap(sprung), path)
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        checkpoint.load(path)
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=2), "checkpoint format 2"),
        (lambda d: d.pop("format") and None, "checkpoint format None"),
        (lambda d: d.pop("preset") and None, "'preset' is missing"),
        (lambda d: d.update(more=1), "'more' is missing or unknown"),
        (lambda d: d.update(temperature=0), "temperature cannot be 0"),
        (lambda d: d.update(thresholds={"rock": "high"}), "thresholds cannot be"),
        (lambda d: d.update(thresholds={"pop": 0.5}), "'pop', which is no label"),
        (lambda d: d.update(temperature=10**400), "temperature cannot be 10000"),
        (lambda d: '{"config": ' + "[" * 5000, "not JSON"),
        (lambda d: d.update(seed=True), "seed cannot be True"),
        (lambda d: d.update(aggregation="vote"), "aggregation cannot be 'vote'"),
        (lambda d: d["features"].update(frames=0), "every size must be at least 1"),
        (lambda d: d["features"].update(frames=10**6), "a size or a window is larger than 67,108,864"),
        (lambda d: d["features"].update(n_mels=10**20), "a size or a window is larger than"),
        (lambda d: d["labels"].update(kind="both"), "labels"),
        (lambda d: [1, 2], "not a JSON object"),
        (lambda d: "{", "not JSON"),
    ],
)
def test_odd_descriptions_are_named(
    saved: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    rewrite(saved, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.read_meta(saved)
    assert "\n" not in str(caught.value)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match=str(path)):
            checkpoint.load(path)
        with pytest.raises(CheckpointError, match=str(path)):
            checkpoint.file_hash(path)


def test_what_cannot_be_read_back_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    with pytest.raises(CheckpointError, match="thresholds"):
        checkpoint.save(path, replace(META, thresholds={"rock": "high"}), state())  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_the_old_file(saved: Path) -> None:
    before = saved.read_bytes()
    program = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom genretag import checkpoint\n"
        "from genretag.errors import CheckpointError\n"
        f"path = Path({str(saved)!r})\nloaded = checkpoint.load(path)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))\n"
        "try:\n    checkpoint.save(path, loaded.meta, loaded.state)\n"
        "except CheckpointError as error:\n    sys.exit(str(error))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "cannot be written" in result.stderr
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_names_and_files_resolve(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"musicnn-msd", "musicnn-mtt", "vgg-msd", "vgg-mtt"} <= set(checkpoint.shipped())
    assert checkpoint.resolve("musicnn-msd") == checkpoint.shipped()["musicnn-msd"]
    assert checkpoint.resolve(str(saved)) == saved
    monkeypatch.chdir(tmp_path)
    assert checkpoint.resolve("small.safetensors").samefile(saved)
    with pytest.raises(CheckpointError, match="musicnn-msd"):
        checkpoint.resolve("musicn-msd")
    with pytest.raises(CheckpointError, match="vgg-mtt"):
        checkpoint.resolve("qqq")
    with pytest.raises(CheckpointError, match="a folder"):
        checkpoint.resolve(str(tmp_path))
