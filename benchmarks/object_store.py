"""A real object store on this machine, and a count of what is fetched from it.

moto answers as S3 in a process of its own; a relay before it counts the bytes and requests of one client.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

_SERVER = """
import logging
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
logging.getLogger("werkzeug").disabled = True
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
KEYS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "music"


class ObjectStore:
    """The store for the time of a `with` block; `environment` is what a client of it needs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        self.relay = Relay(self._port)
        self._client = _client(self._port)
        self._client.create_bucket(Bucket=BUCKET)

    @property
    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.relay.port}"
        return {**os.environ, **KEYS, "AWS_ENDPOINT_URL": address, "FSSPEC_S3_ENDPOINT_URL": address}

    def put(self, path: Path, key: str) -> None:
        """Store a file, for everyone to read: it can be fetched by its web address, too."""
        self._client.upload_file(str(path), BUCKET, key, ExtraArgs={"ACL": "public-read"})

    def put_folder(self, folder: Path) -> int:
        """Store all files below a folder under their names there; the bytes stored."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in paths:
            self.put(path, path.relative_to(folder).as_posix())
        return sum(path.stat().st_size for path in paths)

    def __enter__(self) -> ObjectStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.relay.close()
        self._process.kill()
        self._process.wait()


class Relay:
    """Passes connections on to a port of this machine; `fetched` bytes came back, over `requests`.

    While it is `cut`, answers end after their first bytes.
    """

    def __init__(self, port: int) -> None:
        self.fetched = self.requests = 0
        self.cut = False
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self) -> None:
        self.fetched = self.requests = 0

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, asking: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if asking:
                    self.requests += data.startswith((b"GET ", b"HEAD "))
                else:
                    self.fetched += len(data)
                if self.cut and not asking:
                    sink.sendall(data[:100])
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _client(port: int) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=KEYS["AWS_DEFAULT_REGION"],
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
