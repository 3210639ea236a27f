"""Entry point of the `genretag` command: runs it and turns expected errors into one line and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
from types import FrameType

from typer.exceptions import Abort, TyperException

from genretag.errors import GenretagError

SOME_FAILED = 1
NOTHING_STARTED = 2
INTERRUPTED = 130
# What a shell reports of a program that wrote into a closed pipe (128 + SIGPIPE).
PIPE_CLOSED = 141


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    from genretag.cli.output import show_fault

    sys.excepthook = show_fault
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Exit code of one command line: 0 done, 1 some files failed, 2 not started, 130 interrupted."""
    from genretag.cli.advice import in_plain_words
    from genretag.cli.app import app
    from genretag.cli.output import prepare_streams, say

    prepare_streams()
    if not (sys.argv[1:] if arguments is None else arguments):
        app(args=["--help"], prog_name="genretag", standalone_mode=False)
        return NOTHING_STARTED
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(args=arguments, prog_name="genretag", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "genretag"
        say(f"{in_plain_words(error.format_message())} (see {command} --help)")
        return NOTHING_STARTED
    except GenretagError as error:
        say(str(error))
        return NOTHING_STARTED
    except Abort:
        code = INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        # The reader has gone (`| head`): nobody is left to tell, and Python must not try at exit.
        _silence()
        return PIPE_CLOSED
    except OSError as error:
        # Without a name it is the output, whose disk is full or fails.
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        _silence()
        say(f"the output cannot be written ({error.strerror}); what was finished is kept")
        return SOME_FAILED
    if code == INTERRUPTED:  # typer's answer to KeyboardInterrupt
        say("interrupted; what was finished is kept")
    return code if isinstance(code, int) else 0


def _silence() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
