"""Owner, mode and extended attributes, carried over from one open file to another one."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress


def copy_metadata(original: int, copy: int, status: os.stat_result) -> bool:
    """Give the copy the owner, mode and extended attributes of the original.

    Set-user-ID and set-group-ID are dropped: on music they can only be a mistake or an attack. Everything
    goes through descriptors, since a path could be made to lead to another file.

    Args:
        original: Descriptor of the file to read from.
        copy: Descriptor of the file to change.
        status: Owner and mode to set.

    Returns:
        False if the copy belongs to another owner than the original: only root can keep it.

    Raises:
        OSError: An attribute cannot be set.
    """
    if sys.platform == "win32":
        return True
    if sys.platform == "linux":
        _copy_attributes(original, copy)
    owner_kept = True
    now = os.fstat(copy)
    if (now.st_uid, now.st_gid) != (status.st_uid, status.st_gid):
        owner_kept = _give(copy, status.st_uid, status.st_gid)
    # Last, since a change of owner clears bits of the mode.
    os.fchmod(copy, stat.S_IMODE(status.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))
    return owner_kept


def _give(copy: int, owner: int, group: int) -> bool:
    """Change the owner; only root can. The group can be kept by its members."""
    try:
        os.fchown(copy, owner, group)
        return True
    except PermissionError:
        with suppress(PermissionError):
            os.fchown(copy, -1, group)
        return False


def _copy_attributes(original: int, copy: int) -> None:
    try:
        wanted, there = os.listxattr(original), os.listxattr(copy)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return
        raise
    for name in wanted:
        try:
            os.setxattr(copy, name, os.getxattr(original, name))
        except OSError as error:
            # Labels of a security module are the system's to set; a person's attributes must not be lost.
            if not name.startswith("security.") or error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
    for name in set(there) - set(wanted):
        # Inherited from the folder's default access list.
        if name.startswith("system.posix_acl"):
            os.removexattr(copy, name)
