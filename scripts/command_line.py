"""What the commands have in common: how they end, and how they speak of their arguments.

A command of the Makefile is called with make's variables (`ID=3`), and the program behind it with
options (`--id 3`): messages name what the user typed.
"""

import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer
from sqlalchemy.exc import DBAPIError

from app.database import connections, migrating
from app.database.connections import Sessions
from app.errors import ImageSearchError, SettingsInvalid
from app.runtime.backing_services import database
from app.runtime.shutdown import exit_process, unwind_on_signals
from app.settings import Settings
from scripts.chosen_database import describe, other_in_use, served_instead

Command = typer.Typer | Callable[..., object]
"""An application of typer's, or a function whose parameters describe the options."""

MAKE = "make "  # how sys.argv[0] begins where the Makefile calls
OPTION = re.compile(r"(?:option )?'?(?<![\w/-])--([a-z][a-z-]*)'?|argument '([a-z_]+)'")
"""An option, but no part of a word or path: the hub's cache has folders `models--owner--name`."""
MISSING = re.compile(r"^Missing (\w+=…)\.$")


def by_make() -> bool:
    """Whether a target of the Makefile calls."""
    return sys.argv[0].startswith(MAKE)


def worded(message: str) -> str:
    """The message with make's variables in place of options that take a value, if make calls."""
    return OPTION.sub(_variable, message) if by_make() else message


def _variable(found: re.Match[str]) -> str:
    return f"{(found[1] or found[2]).replace('-', '_').upper()}=…"


def open_settings(*, of_server: bool = False) -> Settings:
    """The settings of a command that opens the database, after a line that names it.

    The line goes to standard error: what a command prints may be read by another program.
    `of_server`: the command is of use to the server that runs, so unless TESTING is set, it refuses
    the database of which none runs where one runs on the other. Raises SettingsInvalid.
    """
    settings = Settings.load()
    is_chosen = "testing" in settings.model_fields_set
    if of_server and not is_chosen and (served := served_instead(settings)):
        raise SettingsInvalid(
            f"A server is running on {served}, and none on your own. For the server that runs, "
            f"type TESTING=1 {_typed()}; for your own database, type TESTING=0 {_typed()}"
        )
    lines = [f"Using {describe(settings)}."]
    if other := other_in_use(settings):
        way = (
            f"leave out TESTING=1: {_typed()}"
            if settings.testing
            else f"put TESTING=1 before the command: TESTING=1 {_typed()}"
        )
        lines.append(f"It is empty, and {other} is in use. To work on that one, {way}")
    print(*lines, sep="\n", file=sys.stderr, flush=True)
    return settings


def _typed() -> str:
    """How the command that runs begins, as the user typed it."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":  # python -m picture_search
        return "picture-search …"
    if program.suffix == ".py":
        return f"python -m scripts.{program.stem} …"
    return f"{program if by_make() else program.name} …"


@contextmanager
def open_database(*, of_server: bool = False) -> Iterator[Sessions]:
    """Sessions on the settings' database, whose schema is brought up to date; no model is loaded.

    `of_server` is as in `open_settings`. Raises a StartError.
    """
    with database(open_settings(of_server=of_server)) as url:
        engine = connections.open_engine(url)
        try:
            migrating.migrate(engine)
            yield connections.open_sessions(engine)
        finally:
            engine.dispose()


@contextmanager
def sentences(failure: str, advice: str = "") -> Iterator[None]:
    """End the command with a sentence where it fails: `failure` says what was not done.

    `advice` is added where the database fails.
    """
    unwind_on_signals()
    try:
        yield
    except ImageSearchError as error:
        sys.exit(f"{failure}: {worded(str(error))}")
    except DBAPIError as error:
        sys.exit(f"{failure}: the database failed: {error.orig} {advice}".rstrip())
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"{failure}: {place}{error.strerror or error}.")


def run_command(command: Command) -> NoReturn:
    """Run a command to its end, soon also where a thread waits for a disk."""
    try:
        status = exit_status(application_of(command))
    except Exception:  # noqa: BLE001  # by itself Python would abort under a thread that uses torch
        traceback.print_exc()
        status = 1
    exit_process(status)


def application_of(command: Command) -> typer.Typer:
    """The command as an application of typer's."""
    if isinstance(command, typer.Typer):
        return command
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command()(command)
    return application


def exit_status(command: typer.Typer) -> int:
    """Run the command; what it ends with is printed, and after Ctrl-C the status is 130.

    Called by make, it says in one line which variable is missing or wrong.
    """
    try:
        if by_make():
            return command(standalone_mode=False, prog_name=sys.argv[0]) or 0
        command()
    except typer.TyperException as error:
        told = worded(error.format_message()).replace("Value error, ", "")
        print(f"{sys.argv[0]}:", MISSING.sub(r"\1 is missing.", told), file=sys.stderr)
        return error.exit_code
    except SystemExit as end:  # of typer's, at every end
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0
