"""Precomputed features in place of audio: an npz of X, Y and IDS, or the tables that datasets come with."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genretag.datasets import fma, gtzan
from genretag.datasets.base import FeatureTable
from genretag.errors import FeatureError

ARRAYS = ("X", "Y", "IDS")

_TABLES: Mapping[str, Callable[[Path], FeatureTable]] = {
    "gtzan": gtzan.load_feature_table,
    "fma": fma.load_feature_table,
}


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Windows as they stand in a features file; those with one id belong to one track, in their order.

    `X` float32 (windows, ...). `Y` (windows,) numbers of the labels in alphabetical order, or (windows,
    labels), or None where the file has none.
    """

    X: NDArray[np.float32]
    Y: NDArray[np.integer | np.floating] | None
    ids: tuple[str, ...]


def read_features(path: Path, dataset: str) -> FeatureRows:
    """The rows of a features file of this dataset; FeatureError or DatasetError, in one line, without any."""
    if not path.is_file():
        raise FeatureError(f"{path}: no such file")
    rows = _from_table(path, dataset) if path.suffix.lower() == ".csv" else _from_arrays(path)
    odd = np.flatnonzero(~np.isfinite(rows.X).reshape(len(rows.X), -1).all(axis=1))
    if len(odd):
        raise FeatureError(
            f"{path}: {len(odd):,} of {len(rows.X):,} rows of X hold values that are not numbers, "
            f"the first one of {rows.ids[odd[0]]}; compute them again"
        )
    return rows


def _from_table(path: Path, dataset: str) -> FeatureRows:
    if dataset not in _TABLES:
        known = ", ".join(_TABLES)
        raise FeatureError(f"{path}: tables are read for {known}; for {dataset} give an npz of X, Y and IDS")
    table = _TABLES[dataset](path)
    return FeatureRows(table.X, None, table.ids)


def _from_arrays(path: Path) -> FeatureRows:
    X, Y, IDS = _arrays(path)
    if X.ndim < 2 or X.dtype.kind not in "fiu":
        raise FeatureError(f"{path}: X must be numbers (windows, dims) and is {X.dtype} {X.shape}")
    if Y.dtype.kind not in "iufb" or IDS.ndim != 1 or IDS.dtype.kind not in "US":
        raise FeatureError(
            f"{path}: Y must be numbers and IDS text (windows,), and they are {Y.dtype} {Y.shape} and "
            f"{IDS.dtype} {IDS.shape}"
        )
    if not X.size or Y.ndim < 1 or not len(X) == len(Y) == len(IDS):
        raise FeatureError(
            f"{path}: X, Y and IDS must have a row per window; "
            f"they have {len(X):,}, {Y.shape[0] if Y.ndim else 'none'} and {len(IDS):,}"
        )
    with np.errstate(over="ignore"):  # what does not fit into float32 is found as infinite
        return FeatureRows(X.astype(np.float32), Y, _texts(path, IDS))


def _arrays(path: Path) -> list[NDArray[Any]]:
    """X, Y and IDS of an npz; nothing in it is unpickled, and what would fill the memory is not read."""
    try:
        with path.open("rb") as start:
            if start.read(6) == b"\x93NUMPY":
                raise FeatureError(f"{path}: one array and not an npz of X, Y and IDS")
        with np.load(path, allow_pickle=False) as file:
            if lacking := [name for name in ARRAYS if name not in file.files]:
                raise FeatureError(f"{path}: has no {' and no '.join(lacking)}; it must hold X, Y and IDS")
            wanted = {*ARRAYS, *(f"{name}.npy" for name in ARRAYS)}
            size = sum(part.file_size for part in file.zip.infolist() if part.filename in wanted)
            if size > (most := _memory() // 2):
                raise FeatureError(
                    f"{path}: unpacks to {size / 2**30:,.1f} GiB, and {most / 2**30:,.1f} fit into this "
                    "machine's memory; give a smaller file"
                )
            arrays = [file[name] for name in ARRAYS]
    except FeatureError:
        raise
    except Exception as error:
        # The zip, each of its compressions and numpy's headers have their own ways to fail.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FeatureError(f"{path}: cannot be read as an npz of numbers and text ({reason})") from error
    if odd := [name for name, array in zip(ARRAYS, arrays, strict=True) if not isinstance(array, np.ndarray)]:
        raise FeatureError(f"{path}: {odd[0]} is no array of numpy")
    return arrays


def _texts(path: Path, ids: NDArray[Any]) -> tuple[str, ...]:
    try:
        texts = np.char.decode(ids, "utf-8", "surrogateescape") if ids.dtype.kind == "S" else ids
        return tuple(texts.tolist())
    except (ValueError, SystemError):  # numbers that no character has
        raise FeatureError(f"{path}: IDS holds what is no text") from None


def _memory() -> int:
    """Bytes of this machine's memory; where it does not say, as many as can be addressed."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize
