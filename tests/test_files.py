"""Files that appear whole: private and not to be foreseen while they are written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from genretag.files import put_in_place, written_whole


def test_a_file_is_private_until_it_is_whole_and_then_as_any_other(tmp_path: Path) -> None:
    path, plain = tmp_path / "file", tmp_path / "plain"
    plain.touch()
    names = set()
    for content in (b"first", b"second"):
        with written_whole(path) as file:
            file.write(content)
            (temporary,) = set(tmp_path.iterdir()) - {path, plain}
            assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
            names.add(temporary.name)
        assert path.read_bytes() == content
        assert path.stat().st_mode == plain.stat().st_mode
    assert len(names) == 2
    assert set(tmp_path.iterdir()) == {path, plain}


def test_the_umask_of_the_person_counts(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        put_in_place(tmp_path / "new" / "file", b"x")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "file").stat().st_mode) == 0o640


def test_a_link_in_the_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "link"
    precious.write_bytes(b"mine")
    link.symlink_to(precious)
    put_in_place(link, b"new")
    assert precious.read_bytes() == b"mine"
    assert not link.is_symlink()


def test_what_fails_leaves_the_old_file_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with written_whole(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"old"]
    gone = tmp_path / "gone" / "file"
    with pytest.raises(FileNotFoundError) as caught, written_whole(gone):
        pass
    assert caught.value.filename == str(gone)
