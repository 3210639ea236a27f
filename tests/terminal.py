"""The command line in a terminal of any width."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess

from command import Answer, command_line

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal(*arguments: object, columns: int, **variables: str) -> Answer:
    """Run to the end in a terminal; `out` is all that came to the screen, escapes left out."""
    import fcntl
    import pty
    import struct
    import termios

    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        command_line(*arguments),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**environment, "TERM": "xterm-256color", **variables},
    )
    os.close(terminal)
    read = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while block := os.read(screen, 65536):
            read += block
    os.close(screen)
    raw = read.decode().replace("\r\n", "\n")
    return Answer(process.wait(60), _ESCAPES.sub("", raw), raw)
