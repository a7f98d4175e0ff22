"""API keys, beside a server or without one: `make create-key`, `list-keys`, `revoke-key`."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from app.access import api_keys
from app.access.api_keys import MAX_DAYS, MAX_ID, Key, Role
from app.command_names import CREATE_ADMIN_KEY, typed
from scripts.command_line import open_database, run_command, sentences

HEADINGS = ("id", "namespace", "role", "name", "created", "last used", "expires", "revoked")

# A traceback with local variables would reveal a key.
commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@commands.command()
def create(
    namespace: Annotated[str, typer.Option(help="whose collections it reaches")],
    role: Annotated[Role, typer.Option(help="a writer may do all that a reader may, and so on")],
    name: Annotated[str, typer.Option(help="whose it is, or what for")],
    days: Annotated[
        int | None, typer.Option(min=1, max=MAX_DAYS, help="how long it is valid; else for ever")
    ] = None,
) -> None:
    """Make a key and show it, this once."""
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with _transaction() as session:
        is_first = not api_keys.any_created(session)
        if is_first and role != "admin" and sys.stdin.isatty():
            typer.confirm(f"{_lockout(namespace, role)}\nGo on with the {role}'s key?", abort=True)
        key, shown = api_keys.create(session, namespace, name, role, expires_at)
    until = "for ever" if expires_at is None else f"until {_moment(expires_at)} UTC"
    print(f"Key {key.id} ({key.name}): {key.role} of the namespace {key.namespace}, valid {until}.")
    print(f"\n{shown}\n")
    print("Keep it: it cannot be shown again. Send it along with each request, as")
    print("  Authorization: Bearer <key>   or   X-API-Key: <key>")
    if is_first:
        print(
            "It is the first key: from now on every request needs one. To let everybody search the "
            "namespace default without, set IMAGE_SEARCH_ALLOW_ANONYMOUS=read."
        )
        if role != "admin":
            print(_lockout(namespace, role))


def _lockout(namespace: str, role: Role) -> str:
    """What a first key that is no admin's keeps everybody from, and the command that helps."""
    command = typed("create-key", NAMESPACE=namespace, ROLE="admin", NAME="me")
    return (
        f"No key is an admin's yet, and a {role}'s may not manage the library: make one for "
        f"yourself by\n  {command}"
    )


@commands.command("list")
def listed() -> None:
    """Show every key, with its times in UTC; not the keys' texts, which nobody has."""
    with _transaction() as session:
        found = api_keys.listed(session)
    if not found:
        print(f"There is no key: `{CREATE_ADMIN_KEY}` makes one.")
        return
    _print_table([HEADINGS, *map(_row, found)])


@commands.command()
def revoke(
    key_id: Annotated[int, typer.Option("--id", min=1, max=MAX_ID, help="as `list` shows it")],
) -> None:
    """Make a key void; servers that run refuse it within seconds."""
    with _transaction() as session:
        key = api_keys.revoke(session, key_id)
    print(f"Key {key.id} ({key.name}) is revoked since {_moment(key.revoked_at)} UTC.")


@contextmanager
def _transaction() -> Iterator[Session]:
    """A session on the configured database; a refusal or a failure ends the command."""
    opened = open_database(of_server=True)
    with sentences("Not done"), opened as sessions, sessions.begin() as session:
        yield session


def _row(key: Key) -> tuple[str, ...]:
    times = (key.created_at, key.last_used_at, key.expires_at, key.revoked_at)
    return (str(key.id), key.namespace, key.role, key.name, *map(_moment, times))


def _moment(time: datetime | None) -> str:
    return "-" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    run_command(commands)
