"""Open files for reading with any supported release of PyAV."""

from __future__ import annotations

from typing import Protocol

import av
import av.container

# Before PyAV 19 metadata that is not UTF-8 made `av.open` fail unless told to replace what it cannot decode;
# later releases always replace it and have no such parameter.
_LENIENT = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def open_input(
    source: str | _Readable,
    container_format: str | None = None,
    options: dict[str, str] | None = None,
    buffer_size: int = 32768,
) -> av.container.InputContainer:
    """Open a file for reading, whatever bytes its metadata hold.

    Args:
        source: A path or a readable binary file.
        container_format: FFmpeg's name of the demuxer; None detects it.
        options: Options of FFmpeg's demuxer.
        buffer_size: Bytes that one read asks for.

    Raises:
        av.error.FFmpegError: The file cannot be opened or is in no known format.
    """
    return av.open(
        source, mode="r", format=container_format, options=options, buffer_size=buffer_size, **_LENIENT
    )
