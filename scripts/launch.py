"""Start a command so that Ctrl-C ends it quietly from its first moment, as the Makefile does.

    python -m scripts.launch "make doctor" scripts.doctor:main --fix

The first argument is what the user typed, for messages; the second names a function, or an
application of typer's, for `run_command` of `command_line.py`.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import NoReturn

INTERRUPTED = 130
"""The exit status after Ctrl-C, of typer's commands too: 128 and the signal's number."""


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Have Ctrl-C end the process at once: imports take seconds, and nothing is open yet.

    Python would raise KeyboardInterrupt in the middle of some module, with a long traceback.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.SIG_IGN:  # in a shell's background
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    yield
    signal.signal(signal.SIGINT, handler)


def main() -> NoReturn:
    """Run the command that the command line names."""
    typed, command, *arguments = sys.argv[1:]
    sys.argv = [typed, *arguments]
    module, _, name = command.partition(":")
    with quiet_imports():
        found = getattr(import_module(module), name)
        from scripts.command_line import run_command
    run_command(found)


if __name__ == "__main__":
    main()
