"""Features files: what is read, and the one line that says why one is not."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from genretag.errors import DatasetError, FeatureError
from genretag.training.featurefile import read_features

X = np.arange(12, dtype=np.float64).reshape(4, 3)
Y = np.array([0, 0, 1, 1])
IDS = np.array(["blues/blues.00001.au", "blues/blues.00001.au", "rock/rock.00002.au", "rock/rock.00003.au"])


def test_an_npz_is_windows_numbers_and_names(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, X=X, Y=Y, IDS=np.char.encode(IDS), more=X)
    rows = read_features(path, "gtzan")
    assert rows.X.dtype == np.float32
    assert np.array_equal(rows.X, X)
    assert rows.Y is not None
    assert np.array_equal(rows.Y, Y)
    assert rows.ids == tuple(IDS.tolist())


def test_the_table_of_gtzan_is_read(tmp_path: Path) -> None:
    path = tmp_path / "features_30_sec.csv"
    path.write_text("filename,length,a,b,label\nblues.00000.wav,661794,1.5,2,blues\n")
    rows = read_features(path, "gtzan")
    assert (rows.X.tolist(), rows.Y, rows.ids) == ([[1.5, 2.0]], None, ("blues/blues.00000.au",))


def without(name: str) -> dict[str, np.ndarray]:
    return {key: value for key, value in {"X": X, "Y": Y, "IDS": IDS}.items() if key != name}


def bad_value(value: float) -> np.ndarray:
    changed = X.copy()
    changed[2, 1] = value
    return changed


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        (without("X"), "has no X; it must hold X, Y and IDS"),
        ({"features": X}, "has no X and no Y and no IDS"),
        (
            without("X") | {"X": bad_value(np.nan)},
            r"1 of 4 rows of X .* not numbers, .* rock/rock\.00002\.au",
        ),
        (without("X") | {"X": bad_value(1e300)}, "1 of 4 rows of X hold values that are not numbers"),
        (without("Y") | {"Y": Y[:3]}, "they have 4, 3 and 4"),
        (without("IDS") | {"IDS": IDS[:2]}, "they have 4, 4 and 2"),
        ({"X": X[:0], "Y": Y[:0], "IDS": IDS[:0]}, "they have 0, 0 and 0"),
        (without("X") | {"X": X[0]}, "X must be numbers"),
        (without("X") | {"X": X[:, :0]}, "X, Y and IDS must have a row per window"),
        (without("Y") | {"Y": Y[0]}, "they have 4, none and 4"),
        (
            without("IDS") | {"IDS": np.full(4, 0x7FFFFFFF, "<u4").view("<U1")},
            "IDS holds what is no text",
        ),
        (without("X") | {"X": IDS[:, None]}, "X must be numbers"),
        (without("IDS") | {"IDS": Y}, "IDS text"),
        (without("Y") | {"Y": IDS}, "Y must be numbers"),
        (without("IDS") | {"IDS": IDS.astype(object)}, "cannot be read as an npz"),
    ],
)
def test_an_npz_that_does_not_hold_together_is_one_clear_line(
    arrays: dict[str, np.ndarray], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(FeatureError, match=reason) as caught:
        read_features(path, "gtzan")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 half a zip"])
def test_a_file_that_is_no_npz_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(FeatureError, match="cannot be read as an npz") as caught:
        read_features(path, "gtzan")
    assert "\n" not in str(caught.value)


def test_a_cut_off_npz_and_a_single_array_are_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, X=X, Y=Y, IDS=IDS)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FeatureError, match="cannot be read as an npz"):
        read_features(path, "gtzan")
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(FeatureError, match="one array and not an npz"):
        read_features(tmp_path / "a.npy", "gtzan")
    with pytest.raises(FeatureError, match="no such file"):
        read_features(tmp_path / "none.npz", "gtzan")


def packed(path: Path, compression: int = zipfile.ZIP_DEFLATED, **parts: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return path


def array(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, values, version=(1, 0))
    return out.getvalue()


def test_what_is_no_array_or_damaged_inside_is_one_clear_line(tmp_path: Path) -> None:
    good = {"Y": array(Y), "IDS": array(IDS)}
    path = packed(tmp_path / "a.npz", X=b"no array", **good)
    with pytest.raises(FeatureError, match="X is no array"):
        read_features(path, "gtzan")
    content = bytearray(packed(tmp_path / "b.npz", X=array(np.zeros((4, 9999))), **good).read_bytes())
    content[50:80] = bytes(range(30))  # the compressed bytes of X
    path.write_bytes(content)
    with pytest.raises(FeatureError, match="cannot be read as an npz"):
        read_features(path, "gtzan")
    content = bytearray(packed(path, zipfile.ZIP_STORED, X=array(X), **good).read_bytes())
    content[content.index(b"PK\1\2") + 10] = 99  # a compression that nobody knows
    path.write_bytes(content)
    with pytest.raises(FeatureError, match="cannot be read as an npz"):
        read_features(path, "gtzan")


def test_a_shape_that_is_not_there_fills_no_memory(tmp_path: Path) -> None:
    lying = array(X).replace(b"(4, 3)", b"(9999999999999, 3)")[:128] + bytes(96)
    with pytest.raises(FeatureError, match="cannot be read as an npz"):
        read_features(packed(tmp_path / "a.npz", X=lying, Y=array(Y), IDS=array(IDS)), "gtzan")


def test_what_unpacks_to_more_than_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.npz", X=array(X), Y=array(Y), IDS=array(IDS))
    content = path.read_bytes()
    claimed = content.rindex(b"PK\1\2", 0, content.rindex(b"PK\1\2"))
    path.write_bytes(content[: claimed + 24] + b"\xfe\xff\xff\xff" + content[claimed + 28 :])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096}.get(name, 1 << 18))
        with pytest.raises(FeatureError, match=r"unpacks to 4\.0 GiB, and 0\.5 fit"):
            read_features(path, "gtzan")


def test_nothing_in_an_npz_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    np.savez(tmp_path / "a.npz", X=X, Y=Y, IDS=np.array([Trap()] * 4, dtype=object))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Trap()))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(FeatureError, match="cannot be read as an npz"):
            read_features(tmp_path / name, "gtzan")
    assert not (tmp_path / "sprung").exists()


def test_a_table_belongs_to_its_dataset(tmp_path: Path) -> None:
    path = tmp_path / "features.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(FeatureError, match="tables are read for gtzan, fma"):
        read_features(path, "folder")
    for dataset in ("gtzan", "fma"):
        with pytest.raises(DatasetError, match="feature table"):
            read_features(path, dataset)
