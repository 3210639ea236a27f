"""What kind of file system a folder lies on (Linux; elsewhere nothing is known)."""

from __future__ import annotations

import os
import re
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


def require_local(folder: Path) -> None:
    """StoreError where a folder lies on a network file system: no journal is safe there."""
    if kind := network_kind(folder):
        raise StoreError(
            f"{folder}: lies on a network file system ({kind}), where no journal is safe; set GENRETAG_HOME "
            "to a folder on a disk of this machine"
        )


def network_kind(folder: Path) -> str | None:
    """The kind of network file system that a folder lies on, such as `nfs4`; None for any other."""
    try:
        lines = TABLE.read_bytes().splitlines()
    except OSError:
        return None
    place = os.fsencode(os.path.realpath(folder))
    kind, depth = "", -1
    for line in lines:
        before, separator, after = line.partition(b" - ")
        fields = before.split()
        if not separator or len(fields) < 5:
            continue
        mounted = re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), fields[4]).rstrip(b"/")
        # Of several mounts on one place the last one is seen.
        if len(mounted) >= depth and (place == mounted or place.startswith(mounted + b"/")):
            kind, depth = after.split()[0].decode("ascii", "replace"), len(mounted)
    return kind if kind in NETWORK else None
