"""Ctrl-C, SIGTERM and a closed terminal: the first ends a run in good order, the second at once.

Everything that genretag does to files survives being stopped anywhere, so the second may end the process
where it stands.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
# Shells, `timeout` and other wrappers pass on a signal that the whole group has got already.
SAME_REQUEST_SECONDS = 0.25
AT_ONCE = b"genretag: ended at once; what was finished is kept, and the next start clears up the rest\n"


class _Interrupted(KeyboardInterrupt):
    """Exception that the signal handler raises.

    If exactly KeyboardInterrupt passes through an `exec` or `eval`, such as those of dataclasses, CPython
    ends a `python -m` process by SIGINT later, although the exception was caught.
    """


class _State:
    first: int | None = None
    when = 0.0
    held = 0
    waiting = False
    over = False


def handle_signals() -> None:
    """Let the three signals raise KeyboardInterrupt; those that are ignored (nohup, `&`) stay so."""
    for name in _ENDING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


@contextmanager
def held_off() -> Iterator[None]:
    """An interruption waits for the end of the block: one file is finished, not left in the middle."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.held += 1
    try:
        yield
    finally:
        _State.held -= 1
    if _State.waiting and not _State.held:
        _State.waiting = False
        raise _Interrupted


def seen() -> bool:
    """Whether somebody has asked for the end."""
    return _State.first is not None


def check() -> None:
    """Raise KeyboardInterrupt if somebody has asked for the end.

    For loops that may run for long: an exception that a signal raises in a callback of a library or in a
    destructor is lost.
    """
    if seen():
        raise _Interrupted


def exit_code(code: int) -> int:
    """`code`, or what a shell reports of a program that the signal ended (130, 143, 129)."""
    return code if _State.first is None else 128 + _State.first


def expected() -> None:
    """The interruption was the way in which a command ends: its exit code is its own."""
    _State.first = None


def leaving() -> None:
    """From here on nothing is left to finish: a signal must not disturb the end of the interpreter."""
    _State.over = True


def _handle(number: int, _frame: FrameType | None) -> None:
    now = time.monotonic()
    if _State.first is None and not _State.over:
        _State.first, _State.when = number, now
        _State.waiting = _State.held > 0
        if not _State.waiting:
            raise _Interrupted
    elif _State.over or number != _State.first or now - _State.when > SAME_REQUEST_SECONDS:
        if not _State.over:
            with suppress(OSError):
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, AT_ONCE)
        os._exit(128 + number)
