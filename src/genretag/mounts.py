"""What kind of file system a folder lies on (Linux; elsewhere nothing is known)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from genretag.errors import StoreError

# Of this process; man 5 proc_pid_mountinfo.
TABLE = Path("/proc/self/mountinfo")
# Of several machines at once, or reached over a network: a database with shared memory breaks on them.
NETWORK = frozenset({
    "afs", "beegfs", "ceph", "cifs", "fhgfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs",
    "fuse.mountpoint-s3", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs", "wekafs",
})  # fmt: skip

# Folders of the host in a virtual machine, a container or WSL.
HOST = frozenset({
    "9p", "drvfs", "fakeowner", "fuse.grpcfuse", "fuse.osxfs", "fuse.vmhgfs-fuse", "prl_fs", "vboxsf",
    "virtiofs", "vmhgfs",
})  # fmt: skip


def require_local(folder: Path) -> None:
    """StoreError where a folder lies on a network file system: no journal is safe there."""
    if kind := network_kind(folder):
        raise StoreError(
            f"{folder}: lies on a network file system ({kind}), where no journal is safe; set GENRETAG_HOME "
            "to a folder on a disk of this machine"
        )


def network_kind(folder: Path) -> str | None:
    """The kind of network file system that a folder lies on, such as `nfs4`; None for any other."""
    kind = _kind(folder)
    return kind if kind in NETWORK else None


def shared_mounts(root: Path) -> dict[Path, str]:
    """Return the parts of a tree that are shared with other machines, and their kinds of file system.

    The system does not report what other machines change there. A part is `root` itself or the root of
    a mount below it.
    """
    shared = NETWORK | HOST
    below = os.path.join(os.fsencode(os.path.realpath(root)), b"")
    found = {Path(os.fsdecode(at)): kind for at, kind in _mounts() if at.startswith(below)}
    found[root] = _kind(root)
    return {part: kind for part, kind in found.items() if kind in shared}


def _kind(folder: Path) -> str:
    """Return the kind of file system that a folder is on; empty if it is unknown."""
    place = os.fsencode(os.path.realpath(folder))
    kind, depth = "", -1
    for mounted, found in _mounts():
        # Of several mounts on one place the last one is seen.
        if len(mounted) >= depth and (place == mounted or place.startswith(mounted + b"/")):
            kind, depth = found, len(mounted)
    return kind


def _mounts() -> Iterator[tuple[bytes, str]]:
    """Yield the folder of every mount, without a slash at its end, and its kind of file system."""
    try:
        lines = TABLE.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        before, separator, after = line.partition(b" - ")
        fields = before.split()
        if not separator or len(fields) < 5:
            continue
        mounted = re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), fields[4]).rstrip(b"/")
        yield mounted, after.split()[0].decode("ascii", "replace")
