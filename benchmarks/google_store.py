"""A folder in a store that speaks the protocol of Google's: the same records by `gs://` as from the disk.

pip install gcsfs gcp-storage-emulator
python -m benchmarks.google_store --library SONGS
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.cluster import tag

BUCKET = "music"


@contextmanager
def emulator() -> Iterator[Any]:
    """A store in memory on this machine, and the file system of fsspec that speaks to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Without this gcsfs asks over another protocol first, which no emulator speaks.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    os.environ["STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "gcp_storage_emulator",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with subprocess.Popen(
        [*command, "--in-memory", "--default-bucket", BUCKET],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        try:
            while running.poll() is None and socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.1)
            import gcsfs

            yield gcsfs.GCSFileSystem(token="anon", endpoint_url=os.environ["STORAGE_EMULATOR_HOST"])
        finally:
            running.terminate()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module; 1 where records differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--model", default="musicnn-msd")
    options = parser.parse_args(arguments)
    library = options.library.resolve()
    with emulator() as store:
        for path in sorted(path for path in library.rglob("*") if path.is_file()):
            store.pipe(f"{BUCKET}/{path.relative_to(library).as_posix()}", path.read_bytes())
        there = tag(["--model", options.model, f"gs://{BUCKET}"])
    here = tag(["--model", options.model, library])
    for records, base in ((there, f"gs://{BUCKET}"), (here, str(library))):
        for record in records:
            record["path"] = record["path"].removeprefix(base)
    same = "the same" if here == there else "others"
    print(f"{len(here)} records from the disk, {len(there)} by gs://, {same}")
    return int(here != there)


if __name__ == "__main__":
    sys.exit(main())
