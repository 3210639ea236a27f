"""The way to a Ray cluster: the one that is named, or Ray on this machine alone. Ray keeps quiet about it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from genretag.errors import EngineError

KNOCK_SECONDS = 5.0  # in which the head of a cluster must take a connection
STORE_BYTES = 80 << 20  # of Ray's shared memory where Ray is started here: only numbers travel


def connect(address: str | None) -> tuple[Any, bool]:
    """Ray, and whether the connection to its cluster is ours to end; EngineError where nobody answers.

    Without an address that of RAY_ADDRESS counts; without both, Ray is started on this machine.
    """
    # Ray otherwise reports on its use over the internet, for every cluster that a program starts.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        return ray, False
    # A thread of Ray prints on standard output, among the records, when a node dies; no option stops it.
    ray._private.worker.print_to_stdstream = _to_nobody
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = address or os.environ.get("RAY_ADDRESS") or None
    try:
        with _own_ending(), _quiet_core():
            if address is None:
                ray.init("local", include_dashboard=False, object_store_memory=STORE_BYTES, **quiet)
            else:
                _knock(address)
                ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        where = f"--ray-address {address}" if address else "--engine ray"
        if _wants_token(error):
            raise EngineError(
                f"{where}: the Ray cluster asks for a token; set RAY_AUTH_MODE=token, and have the cluster's "
                "~/.ray/auth_token here"
            ) from error
        raise EngineError(f"{where}: no Ray cluster answers ({first_line(error)})") from error
    return ray, True


def _wants_token(error: BaseException | None) -> bool:
    """Whether this, or what led to it, says that the cluster knows who may do what (Ray 2.5x and later)."""
    while error is not None:
        if "InvalidAuthToken" in str(error) or type(error).__name__ == "AuthenticationError":
            return True
        error = error.__cause__ or error.__context__
    return False


def _to_nobody(*arguments: object, **named: object) -> None:
    """In place of a printer."""


def _knock(address: str) -> None:
    """OSError where nobody listens: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


@contextlib.contextmanager
def _quiet_core() -> Iterator[None]:
    """Keep off standard error what Ray's core says of every try to connect; no option stops that either."""
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def _own_ending() -> Iterator[None]:
    """Keep what this process does on SIGTERM, for which Ray has ideas of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def first_line(error: Exception) -> str:
    """The first line of what Ray says at length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(error).__name__
