"""Standard streams that are closed, full or read by nobody."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import Any, BinaryIO, cast


def prepare_standard_streams() -> None:
    """Make the standard streams safe to use; call it before any file is opened.

    A closed stream becomes the null device: otherwise the next file that is opened would get its number, and
    whatever is printed would be written into that file. Messages that standard error cannot take are lost,
    and change nothing else. What standard output cannot take is an error; see `is_output_error`.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)  # processes that are started need it too
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    sys.stdout = _prepared(sys.stdout, lossy=False)
    sys.stderr = _prepared(sys.stderr, lossy=True)


def is_output_error(error: BaseException) -> bool:
    """Return whether an error was raised by standard output."""
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return isinstance(raw, _Output) and error is raw.error


def discard_output() -> None:
    """Drop what standard output still holds, so that Python does not fail over it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


class _Output(io.RawIOBase):
    """A file of bytes that remembers its error, and ignores it if `lossy`."""

    def __init__(self, raw: Any, *, lossy: bool) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._raw = raw
        self._lossy = lossy

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        number: int = self._raw.fileno()
        return number

    def isatty(self) -> bool:
        with suppress(OSError):
            return bool(self._raw.isatty())
        return False

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = left.nbytes
        try:
            while left:
                written = self._raw.write(left)
                if written is None:  # a pipe that does not block and is full
                    select.select([], [self], [])
                left = left[written or 0 :]
        except OSError as error:
            self.error = error
            if not self._lossy:
                raise
        return size


def _prepared(stream: Any, *, lossy: bool) -> io.TextIOWrapper:
    if stream is None:
        raw = io.FileIO(os.devnull, "w")
        return io.TextIOWrapper(io.BufferedWriter(_Output(raw, lossy=lossy)), encoding="utf-8")
    stream.flush()
    buffered = hasattr(stream.buffer, "raw")  # not with PYTHONUNBUFFERED
    output = _Output(stream.buffer.raw if buffered else stream.buffer, lossy=lossy)
    return io.TextIOWrapper(
        io.BufferedWriter(output) if buffered else cast(BinaryIO, output),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
