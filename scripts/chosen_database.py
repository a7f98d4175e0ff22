"""The database that the settings choose, in words that tell it from the other one.

The demo (TESTING=1) and one's own pictures have a database each in the same embedded Postgres. So
a command without TESTING=1 beside a demo server works, but on the other database.
"""

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.database.embedded.embedded_databases import is_empty, is_in_use
from app.database.embedded.embedded_postgres import running_server
from app.errors import DatabaseUnusable
from app.settings import DATABASE, TESTING_DATABASE, Settings

NAMES = {DATABASE: "your own database", TESTING_DATABASE: "the demo database"}


def describe(settings: Settings) -> str:
    """Which database it is and where; nothing of its password."""
    if settings.database_url is None:
        return f"{NAMES[settings.database_name]}, in {settings.postgres_dir}"
    try:
        url = make_url(settings.database_url)
    except ArgumentError:
        return "the database of DATABASE_URL"
    host = url.host or url.query.get("host") or "this machine"
    where = host if url.port is None else f"{host}:{url.port}"
    return f"the database {url.database} on {where}, of DATABASE_URL"


def served_instead(settings: Settings) -> str | None:
    """The name of the other embedded database, if it is in use and the chosen one is not."""
    if settings.database_url is not None:
        return None
    other = _other(settings)
    try:
        url = running_server(settings.postgres_dir)
        is_served = url and is_in_use(url, other) and not is_in_use(url, settings.database_name)
    except DatabaseUnusable:  # the command itself will say so
        return None
    return NAMES[other] if is_served else None


def other_in_use(settings: Settings) -> str | None:
    """The name of the other embedded database, if it is in use while the chosen one is empty."""
    if settings.database_url is not None:
        return None
    other = _other(settings)
    try:
        url = running_server(settings.postgres_dir)
        is_mistaken = url and is_in_use(url, other) and is_empty(url, settings.database_name)
    except DatabaseUnusable:  # the command itself will say so
        return None
    return NAMES[other] if is_mistaken else None


def _other(settings: Settings) -> str:
    return DATABASE if settings.testing else TESTING_DATABASE
