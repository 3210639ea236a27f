"""Which folders lie on a network, and that no store is opened there."""

from __future__ import annotations

from pathlib import Path

import pytest

from genretag import mounts
from genretag.errors import StoreError
from genretag.store import Store

# Lines as the kernel writes them; a space in a name is \040.
TABLE = r"""22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
31 22 0:27 / {root}/home rw,nosuid shared:9 - nfs4 server:/home rw,vers=4.2
32 31 8:3 / {root}/home/local\040disk rw - xfs /dev/sdb1 rw
33 22 0:28 / {root}/share rw master:4 propagate_from:1 - cifs //server/share rw
34 22 0:29 / {root}/cover rw - nfs server:/x rw
35 34 0:30 / {root}/cover rw - tmpfs tmpfs rw
a line of another kind
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE.replace("{root}", str(tmp_path)))
    monkeypatch.setattr(mounts, "TABLE", table)
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("home/me", "nfs4"),
        ("home", "nfs4"),
        ("homeless", None),
        ("home/local disk/genretag", None),
        ("share/a/b", "cifs"),
        ("cover/x", None),
        ("elsewhere", None),
    ],
)
def test_the_mount_that_is_seen_tells_the_kind(root: Path, folder: str, kind: str | None) -> None:
    assert mounts.network_kind(root / folder) == kind


def test_a_link_is_judged_by_where_it_leads(root: Path) -> None:
    (root / "share").mkdir()
    (root / "link").symlink_to(root / "share")
    assert mounts.network_kind(root / "link" / "x") == "cifs"


def test_no_store_is_opened_on_a_network(root: Path) -> None:
    with pytest.raises(StoreError, match=r"\(nfs4\).*set GENRETAG_HOME to a folder on a disk"):
        Store.open(root / "home" / "store")
    assert not (root / "home").exists()
    Store.open(root / "elsewhere").close()


def test_nothing_is_known_without_a_table(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "TABLE", root / "gone")
    assert mounts.network_kind(root / "home") is None


def test_parts_of_a_tree_that_other_machines_share(root: Path) -> None:
    assert mounts.shared_mounts(root) == {root / "home": "nfs4", root / "share": "cifs"}
    assert mounts.shared_mounts(root / "home" / "local disk") == {}
    assert mounts.shared_mounts(root / "home" / "me") == {root / "home" / "me": "nfs4"}
