"""Make the four musicnn checkpoints from the package that published them, without TensorFlow.

    python weights/convert_musicnn.py --download
    python weights/convert_musicnn.py --sdist musicnn-0.1.0.tar.gz

The same archive always gives the same bytes. Thresholds come from thresholds.json beside this script, which
calibrate_thresholds.py writes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from genretag import checkpoint
from genretag.checkpoint import CheckpointMeta
from genretag.errors import GenretagError
from genretag.labels import tag_labels
from genretag.models.registry import build, count_parameters, preset

HERE = Path(__file__).resolve().parent
SDIST_SHA256 = "674ccc1fb638e6894f99197cfc2794b90d96444292ea28cedee96de0f74c4abd"
ROOT = "musicnn-0.1.0"
TABLE_MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
FLOAT32 = 1  # tensorflow/core/framework/types.proto

Arrays = dict[str, npt.NDArray[np.float32]]
Message = dict[int, list[int | bytes]]

# Variables of the TensorFlow graphs, numbered in the order in which the original code makes the layers.
MUSICNN_LAYERS = {
    "batch_normalization": "input_norm",
    **{f"conv2d{f'_{n}' if n else ''}": f"front.{n}.conv" for n in range(5)},
    **{f"batch_normalization_{n + 1}": f"front.{n}.norm" for n in range(5)},
    **{f"conv2d_{n + 5}": f"mid.{n}.conv" for n in range(3)},
    **{f"batch_normalization_{n + 6}": f"mid.{n}.norm" for n in range(3)},
    "batch_normalization_9": "pool_norm",
    "dense": "dense",
    "batch_normalization_10": "dense_norm",
    "dense_1": "output",
}
VGG_LAYERS = {
    "batch_normalization": "input_norm",
    **{f"{n + 1}CNN": f"blocks.{n}.conv" for n in range(5)},
    **{f"batch_normalization_{n + 1}": f"blocks.{n}.norm" for n in range(5)},
    "dense": "output",
}
PARTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


@dataclass(frozen=True)
class Source:
    """One of the published models; scores are those of its test set, macro over the 50 tags."""

    name: str
    folder: str
    preset: str
    dataset: str
    roc_auc: float
    pr_auc: float


SOURCES = (
    Source("musicnn-msd", "MSD_musicnn", "musicnn", "million-song", 0.8802, 0.2891),
    Source("musicnn-mtt", "MTT_musicnn", "musicnn", "magnatagatune", 0.9067, 0.3831),
    Source("vgg-msd", "MSD_vgg", "vgg", "million-song", 0.8768, 0.2819),
    Source("vgg-mtt", "MTT_vgg", "vgg", "magnatagatune", 0.9030, 0.3823),
)
SPLITS = {
    "million-song": "201,680 train, 11,774 valid, 28,435 test (https://github.com/jongpillee/music_dataset_split)",
    "magnatagatune": "folders 0-b train, c valid, d-f test (https://github.com/keunwoochoi/magnatagatune-list)",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--sdist", type=Path, help="musicnn-0.1.0.tar.gz as published on PyPI")
    source.add_argument("--download", action="store_true", help="get it with pip")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the checkpoints (this one)")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            convert(arguments.sdist or download(Path(folder)), arguments.out)
    except (GenretagError, ValueError, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"convert_musicnn: {error}\n")
        return 1
    return 0


def download(folder: Path) -> Path:
    """The sdist from PyPI, fetched by pip; nothing of it is installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    subprocess.run([*command, "--dest", str(folder), "musicnn==0.1.0"], check=True)
    return next(folder.glob("musicnn-*.tar.gz"))


def convert(sdist: Path, out: Path) -> None:
    """Write the four checkpoints and the licence of the weights; ValueError where it is another archive."""
    with sdist.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SDIST_SHA256:
        raise ValueError(f"{sdist}: sha256 {found}, not that of musicnn 0.1.0 ({SDIST_SHA256})")
    thresholds = json.loads((HERE / "thresholds.json").read_text(encoding="utf-8"))
    with tarfile.open(sdist) as archive:
        for source in SOURCES:
            folder = f"{ROOT}/musicnn/{source.folder}"
            arrays = read_bundle(
                _member(archive, f"{folder}/.index"), _member(archive, f"{folder}/.data-00000-of-00001")
            )
            meta, state = describe(source, arrays, thresholds[source.name])
            checkpoint.save(out / f"{source.name}.safetensors", meta, state)
            sys.stdout.write(f"{source.name}: {len(arrays)} variables\n")
        (out / "LICENSE-ISC.txt").write_bytes(_member(archive, f"{ROOT}/LICENSE.md"))


def describe(
    source: Source, arrays: Arrays, thresholds: dict[str, float]
) -> tuple[CheckpointMeta, dict[str, torch.Tensor]]:
    """Description and tensors of one checkpoint from the variables of its TensorFlow graph."""
    chosen = preset(source.preset)
    tags = tomllib.loads((HERE / "labels.toml").read_text(encoding="utf-8"))[source.dataset]
    model = build(source.preset, {}, len(tags["labels"]))
    unfit = model.load_state_dict(torch_state(source.preset, arrays), strict=False)
    missing = [name for name in unfit.missing_keys if not name.endswith("num_batches_tracked")]
    if missing or unfit.unexpected_keys:
        raise ValueError(f"{source.folder}: {[*missing, *unfit.unexpected_keys][0]} has no counterpart")
    meta = CheckpointMeta(
        name=source.name,
        preset=source.preset,
        config=dict(chosen.config),
        features=chosen.features,
        labels=tag_labels(tags["labels"], tags["genres"]),
        thresholds=thresholds,
        dataset=source.dataset,
        split=SPLITS[source.dataset],
        scores={
            "roc_auc": source.roc_auc,
            "pr_auc": source.pr_auc,
            "on": f"{source.dataset} test, by its authors",
        },
        package_version="0.1.0",
        licence="ISC, (c) 2019 Music Technology Group, Universitat Pompeu Fabra; code by Jordi Pons",
        origin=f"{source.folder} of the sdist of musicnn 0.1.0 on PyPI, sha256 {SDIST_SHA256}",
        extra={"parameters": count_parameters(model)},
    )
    return meta, model.state_dict()


def torch_state(preset_name: str, arrays: Arrays) -> dict[str, torch.Tensor]:
    """The graph's variables under the names, and with the axes, of the PyTorch network."""
    layers = MUSICNN_LAYERS if preset_name == "musicnn" else VGG_LAYERS
    state = {}
    for variable, array in arrays.items():
        layer, part = variable.split("/")
        name = layers[layer]
        if part == "kernel":
            if array.ndim == 2:  # (inputs, units)
                array = array.T
            elif name.startswith("mid."):  # (frames, channels, 1, filters)
                array = array[:, :, 0].transpose(2, 1, 0)
            else:  # (frames, mels, channels, filters)
                array = array.transpose(3, 2, 0, 1)
        state[f"{name}.{PARTS[part]}"] = torch.from_numpy(np.ascontiguousarray(array))
    return state


def read_bundle(index: bytes, data: bytes) -> Arrays:
    """Trained variables of a TensorFlow checkpoint (optimiser state left out).

    Format: tensorflow/core/util/tensor_bundle and tensorflow/core/protobuf/tensor_bundle.proto.
    """
    arrays: Arrays = {}
    for key, value in _table(index):
        name = key.decode()
        if not name or name.rsplit("/", 1)[-1] not in PARTS:
            continue
        entry = _message(value)
        dtype, offset, size = _number(entry, 1), _number(entry, 4), _number(entry, 5)
        if dtype != FLOAT32 or offset + size > len(data):
            raise ValueError(f"{name}: not a whole float32 variable")
        dimensions = [_message(_bytes(dim)) for dim in _message(_bytes(entry[2][0])).get(2, [])]
        shape = [_number(dimension, 1) for dimension in dimensions]
        array = np.frombuffer(data, "<f4", size // 4, offset).reshape(shape)
        arrays[name.removeprefix("model/")] = array.astype(np.float32)
    return arrays


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a LevelDB table (https://github.com/google/leveldb/blob/main/doc/table_format.md)."""
    footer = content[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != TABLE_MAGIC:
        raise ValueError("the checkpoint index is no table")
    position = _varint(footer, _varint(footer, 0)[1])[1]  # past the handle of the meta-index
    for _, handle in _block(content, footer[position:]):
        yield from _block(content, handle)


def _block(content: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset, position = _varint(handle, 0)
    size, _ = _varint(handle, position)
    block = content[offset : offset + size]
    if content[offset + size] != 0:
        raise ValueError("the checkpoint index is compressed")
    end = size - 4 * (struct.unpack("<I", block[-4:])[0] + 1)  # restart points and their number
    key, position = b"", 0
    while position < end:
        shared, position = _varint(block, position)
        fresh, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + fresh]
        position += fresh
        yield key, block[position : position + length]
        position += length


def _message(content: bytes) -> Message:
    """Fields of a protocol buffer by number (https://protobuf.dev/programming-guides/encoding/)."""
    fields: Message = {}
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        kind = tag & 7
        value: int | bytes
        if kind == 0:
            value, position = _varint(content, position)
        elif kind == 2:
            length, position = _varint(content, position)
            value, position = content[position : position + length], position + length
        elif kind == 5:
            value, position = content[position : position + 4], position + 4
        else:
            raise ValueError(f"the checkpoint index has a field of unknown type {kind}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position


def _number(message: Message, field: int) -> int:
    """A number of a message; 0, the default, is not written."""
    value = message.get(field, [0])[0]
    if not isinstance(value, int):
        raise ValueError(f"field {field} of the checkpoint index is no number")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("the checkpoint index has a number where a message should be")
    return value


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is not in the archive")
    return file.read()


if __name__ == "__main__":
    sys.exit(main())
