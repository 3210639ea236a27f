"""Entry point of the `genretag` command: runs it and turns expected errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from genretag import interruption
from genretag.cli import streams
from genretag.errors import GenretagError, InterruptedRunError

SOME_FAILED = 1
NOTHING_STARTED = 2
INTERRUPTED = 130
# What a shell reports of a program that wrote into a closed pipe (128 + SIGPIPE).
PIPE_CLOSED = 141


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code; signals are handled from here on."""
    streams.prepare_standard_streams()
    from genretag.cli.output import show_fault

    sys.excepthook = show_fault
    try:
        interruption.handle_signals()
        code = run(arguments)
    except KeyboardInterrupt:  # before or after the command itself
        sys.stderr.write("genretag: interrupted\n")
        code = INTERRUPTED
    except OSError:
        # A closed terminal can fail the command before its signal comes.
        if not interruption.seen():
            raise
        streams.discard_output()
        code = SOME_FAILED
    interruption.leaving()
    sys.exit(interruption.exit_code(code))


def run(arguments: list[str] | None = None) -> int:
    """Exit code of one command line: 0 done, 1 some files failed, 2 not started, 130 interrupted.

    141 if the reader of standard output has gone (`| head`), 1 if its disk is full or fails.
    """
    from genretag.cli.output import prepare_streams, say

    prepare_streams()
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        streams.discard_output()
        return PIPE_CLOSED
    except OSError as error:
        if not streams.is_output_error(error):
            raise
        streams.discard_output()
        say(f"the output cannot be written ({error.strerror}); what was finished is kept")
        return SOME_FAILED


def _run(arguments: list[str] | None) -> int:
    # Here and not above: a Ctrl-C while they are imported is to end in a line too.
    from typer.exceptions import Abort, TyperException

    from genretag.cli.advice import in_plain_words
    from genretag.cli.app import app
    from genretag.cli.output import say

    arguments = expand_home(sys.argv[1:] if arguments is None else arguments)
    if not arguments:
        app(args=["--help"], prog_name="genretag", standalone_mode=False)
        return NOTHING_STARTED
    try:
        code = app(args=arguments, prog_name="genretag", standalone_mode=False)
    except TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "genretag"
        say(f"{in_plain_words(error.format_message())} (see {command} --help)")
        return NOTHING_STARTED
    except GenretagError as error:
        say(str(error))
        return INTERRUPTED if isinstance(error, InterruptedRunError) else NOTHING_STARTED
    except Abort:  # typer's answer to KeyboardInterrupt
        code = INTERRUPTED
    if code == INTERRUPTED:
        say("interrupted; what was finished is kept")
    return code if isinstance(code, int) else 0


def expand_home(arguments: Sequence[str]) -> list[str]:
    """Replace a leading `~/` of arguments and option values, which some shells and quotes leave as it is.

    A path that exists as it is given is left alone.
    """
    expanded = []
    for argument in arguments:
        option, equals, path = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        if path.startswith("~/") and not os.path.lexists(path):
            path = os.path.expanduser(path)
        expanded.append(option + equals + path)
    return expanded


if __name__ == "__main__":
    main()
