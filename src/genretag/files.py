"""Files that appear whole or not at all, and that nobody else can read or foresee until then."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_whole(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` at the end of the block; after an error it is gone.

    Until then it stands beside `path` under a random name that only its owner can read; a link of that name
    is not followed. Afterwards it has the rights of any new file. Without `durable` it is not synced: a power
    cut may leave it too short. Raises OSError, which names `path`.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, its folder made where it is missing; OSError where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write(content)


def _umask() -> int:
    # It can be read only by setting it; what another thread makes meanwhile is more private, not less.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
