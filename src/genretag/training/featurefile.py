"""Precomputed features in place of audio: an npz of X, Y and IDS, or the tables that datasets come with."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

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
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise FeatureError(f"{path}: one array and not an npz of X, Y and IDS")
        with file:
            if lacking := [name for name in ARRAYS if name not in file.files]:
                raise FeatureError(f"{path}: has no {' and no '.join(lacking)}; it must hold X, Y and IDS")
            X, Y, IDS = (file[name] for name in ARRAYS)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise FeatureError(f"{path}: cannot be read as an npz of numbers and text ({reason})") from None
    if X.ndim < 2 or X.dtype.kind not in "fiu":
        raise FeatureError(f"{path}: X must be numbers (windows, dims) and is {X.dtype} {X.shape}")
    if Y.dtype.kind not in "iufb" or IDS.ndim != 1 or IDS.dtype.kind not in "US":
        raise FeatureError(
            f"{path}: Y must be numbers and IDS text (windows,), and they are {Y.dtype} {Y.shape} and "
            f"{IDS.dtype} {IDS.shape}"
        )
    if not len(X) or not len(X) == len(Y) == len(IDS):
        raise FeatureError(
            f"{path}: X, Y and IDS must have a row per window; "
            f"they have {len(X):,}, {len(Y):,} and {len(IDS):,}"
        )
    texts = np.char.decode(IDS, "utf-8", "surrogateescape") if IDS.dtype.kind == "S" else IDS
    with np.errstate(over="ignore"):  # what does not fit into float32 is found as infinite
        return FeatureRows(X.astype(np.float32), Y, tuple(texts.tolist()))
