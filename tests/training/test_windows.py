"""Windows from memory and from memory-mapped files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from genretag.errors import FeatureError
from genretag.training.windows import OPEN_MAPS, ArrayWindows, FileWindows, StoredWindows

HEADER = 64


def stored(path: Path, rows: np.ndarray) -> StoredWindows:
    path.write_bytes(bytes(HEADER) + rows.astype(np.float32).tobytes())
    return StoredWindows(path, HEADER, len(rows), rows.shape[1:])


def test_an_array_is_shared_and_what_is_gathered_is_a_copy() -> None:
    array = np.arange(12, dtype=np.float32).reshape(6, 2)
    windows = ArrayWindows(array, np.array([5, 0, 3]))
    assert len(windows) == 3
    gathered = windows.gather(np.array([2, 0, 2]))
    assert gathered.tolist() == [[6, 7], [10, 11], [6, 7]]
    gathered[:] = 0
    assert array[3].tolist() == [6, 7]


def test_files_follow_one_another_in_any_order_of_reading(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(count, 3, 2)).astype(np.float32) for count in (4, 1, 6)]
    files = [stored(tmp_path / f"{number}.npy", rows) for number, rows in enumerate(arrays)]
    chosen = [np.array([0, 2]), np.array([0]), np.array([5, 1, 3])]
    expected = np.concatenate([rows[some] for rows, some in zip(arrays, chosen, strict=True)])
    windows = FileWindows(files, chosen)
    assert len(windows) == 6
    for indices in (np.arange(6), np.array([4, 0, 4, 3]), np.array([], np.int64)):
        gathered = windows.gather(indices)
        assert gathered.dtype == np.float32
        assert np.array_equal(gathered, expected[indices])
    gathered[:] = 0  # a copy, not the file


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors through /proc")
def test_many_files_do_not_use_up_the_descriptors(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    count = OPEN_MAPS + 100
    files = [stored(tmp_path / f"{number}.npy", np.full((1, 1), number)) for number in range(count)]
    windows = FileWindows(files, [np.array([0])] * count)
    assert windows.gather(np.arange(count))[:, 0].tolist() == list(range(count))
    assert len(os.listdir("/proc/self/fd")) - before <= OPEN_MAPS


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, HEADER + 4)])
def test_a_file_that_is_gone_or_cut_off_is_one_clear_line(damage: object, tmp_path: Path) -> None:
    file = stored(tmp_path / "a.npy", np.ones((2, 3)))
    assert callable(damage)
    damage(file.path)
    with pytest.raises(FeatureError, match=r"a\.npy: cached features cannot be read .*start again$"):
        FileWindows([file], [np.array([1])]).gather(np.array([0]))
