"""Entry point of the `genretag` command: runs it and turns expected errors into one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys

from genretag import interruption
from genretag.errors import GenretagError, InterruptedRunError

SOME_FAILED = 1
NOTHING_STARTED = 2
INTERRUPTED = 130
# What a shell reports of a program that wrote into a closed pipe (128 + SIGPIPE).
PIPE_CLOSED = 141


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code; signals are handled from here on."""
    _open_closed_streams()
    from genretag.cli.output import show_fault

    sys.excepthook = show_fault
    interruption.handle_signals()
    try:
        code = run(arguments)
    except KeyboardInterrupt:  # before or after the command itself
        sys.stderr.write("genretag: interrupted\n")
        code = INTERRUPTED
    except OSError as error:
        # A closed terminal: nobody is left to tell. It can show before its signal comes.
        if not interruption.seen() and (error.filename is not None or error.errno != errno.EIO):
            raise
        _silence()
        code = SOME_FAILED
    interruption.leaving()
    sys.exit(interruption.exit_code(code))


def run(arguments: list[str] | None = None) -> int:
    """Exit code of one command line: 0 done, 1 some files failed, 2 not started, 130 interrupted."""
    # Here and not above: a Ctrl-C while they are imported is to end in a line too.
    from typer.exceptions import Abort, TyperException

    from genretag.cli.advice import in_plain_words
    from genretag.cli.app import app
    from genretag.cli.output import prepare_streams, say

    prepare_streams()
    if not (sys.argv[1:] if arguments is None else arguments):
        app(args=["--help"], prog_name="genretag", standalone_mode=False)
        return NOTHING_STARTED
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
        return INTERRUPTED if isinstance(error, InterruptedRunError) else NOTHING_STARTED
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


def _open_closed_streams() -> None:
    """Open the null device for every standard stream that is closed (`>&-`), here and in worker processes.

    Files that are opened later would get their numbers, and receive what libraries print.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:  # the lowest free number
        os.set_inheritable(descriptor, True)
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def _silence() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
