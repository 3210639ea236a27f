"""The converter reads TensorFlow's files and puts every variable in its place."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from genretag import checkpoint

SCRIPT = Path(__file__).resolve().parents[2] / "weights" / "convert_musicnn.py"


@pytest.fixture(scope="module")
def converter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_musicnn", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A LevelDB block whose keys share what they have in common with the one before."""
    content, before = b"", b""
    for key, value in entries:
        shared = next((n for n, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), 0)
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return content + struct.pack("<II", 0, 1)


def bundle(arrays: dict[str, NDArray[np.float32]], compression: int = 0) -> tuple[bytes, bytes]:
    """Index and data of a TensorFlow checkpoint."""
    entries, data = [(b"", b"\x08\x01")], b""
    for name, array in sorted(arrays.items()):
        shape = b"".join(
            b"\x12" + varint(len(size) + 1) + b"\x08" + size for size in map(varint, array.shape)
        )
        value = b"\x08\x01\x12" + varint(len(shape)) + shape
        value += (b"\x20" + varint(len(data)) if data else b"") + b"\x28" + varint(array.nbytes) + b"\x35abcd"
        entries.append((name.encode(), value))
        data += array.tobytes()
    table, ends = b"", []
    for content in (entries[:2], entries[2:]):
        start = len(table)
        table += block(content)
        ends.append((content[-1][0], varint(start) + varint(len(table) - start)))
        table += bytes([compression]) + b"crc!"
    start = len(table)
    table += block(ends)
    handle = varint(start) + varint(len(table) - start)
    footer = varint(0) + varint(0) + handle
    return table + b"\x00crc!" + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57), data


ARRAYS = {
    "model/dense/bias": np.arange(3, dtype=np.float32),
    "model/dense/kernel": np.arange(600, dtype=np.float32).reshape(200, 3),
    "model/dense/kernel/Adam": np.zeros((200, 3), np.float32),
}


def test_bundle_gives_the_trained_variables(converter: ModuleType) -> None:
    found = converter.read_bundle(*bundle(ARRAYS))
    assert sorted(found) == ["dense/bias", "dense/kernel"]
    np.testing.assert_array_equal(found["dense/kernel"], ARRAYS["model/dense/kernel"])
    np.testing.assert_array_equal(found["dense/bias"], ARRAYS["model/dense/bias"])


def test_other_files_are_refused(converter: ModuleType, tmp_path: Path) -> None:
    index, data = bundle(ARRAYS)
    with pytest.raises(ValueError, match="no table"):
        converter.read_bundle(index[:-1], data)
    with pytest.raises(ValueError, match="not a whole"):
        converter.read_bundle(index, data[:100])
    with pytest.raises(ValueError, match="compressed"):
        converter.read_bundle(*bundle(ARRAYS, compression=1))
    archive = tmp_path / "other.tar.gz"
    archive.write_bytes(b"something else")
    with pytest.raises(ValueError, match="not that of musicnn"):
        converter.convert(archive, tmp_path)


def test_shipped_tensors_are_the_published_variables(converter: ModuleType, shared_data: Path) -> None:
    for source in converter.SOURCES:
        with np.load(shared_data / "musicnn" / f"{source.folder}.npz") as published:
            expected = converter.torch_state(source.preset, dict(published))
        found = checkpoint.load(checkpoint.resolve(source.name)).state
        counters = {name for name in found if name.endswith("num_batches_tracked")}
        assert found.keys() - counters == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_description_is_that_of_the_shipped_file(converter: ModuleType, shared_data: Path) -> None:
    for source in converter.SOURCES:
        shipped = checkpoint.load(checkpoint.resolve(source.name))
        with np.load(shared_data / "musicnn" / f"{source.folder}.npz") as published:
            meta, _ = converter.describe(source, dict(published), dict(shipped.meta.thresholds))
        assert meta.to_json() == shipped.meta.to_json().replace(shipped.meta.tensors_sha256, "")
