"""Making a database, and bringing its schema up to date."""

import time
from typing import NamedTuple

from alembic import command
from psycopg.errors import (
    DeadlockDetected,
    DuplicateDatabase,
    InsufficientPrivilege,
    UniqueViolation,
)
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from app.database.connections import first_line, is_read_only
from app.database.locks import LOCK_ATTEMPTS, LOCK_PAUSE_SECONDS
from app.database.schema_revisions import check_known, find_revision, migration_config
from app.errors import DatabaseUnusable

MINIMUM_PGVECTOR = (0, 8)
MIGRATION_LOCK = 7_305_811_220_640_114_213  # advisory lock: one migration at a time


def migrate(engine: Engine) -> None:
    """Bring the schema up to date; an advisory lock serializes concurrent starts.

    A migration that deadlocks with a server that still runs is tried again: it has changed nothing.
    Raises DatabaseUnusable if the database is read-only or was written by a later version of this
    program, or if pgvector is missing, too old, or may not be created.
    """
    for remaining in reversed(range(LOCK_ATTEMPTS)):
        try:
            _migrate(engine)
        except DBAPIError as error:
            if not (remaining and isinstance(error.orig, DeadlockDetected)):
                raise
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            return


def _migrate(engine: Engine) -> None:
    config = migration_config()
    with engine.begin() as connection:
        if is_read_only(connection):
            raise DatabaseUnusable(
                "The database at DATABASE_URL is read-only: it is a hot standby, or "
                "default_transaction_read_only is on. Set DATABASE_URL to its primary."
            )
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        row = connection.execute(text(AVAILABLE_PGVECTOR)).one_or_none()
        check_pgvector(Available(*row) if row else None)
        if revision := find_revision(connection):
            check_known(revision)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except DBAPIError as error:
            if isinstance(error.orig, InsufficientPrivilege):
                raise DatabaseUnusable(
                    f"The database user lacks a right that the migrations need: "
                    f"{first_line(error)} Grant it, or run CREATE EXTENSION vector as superuser."
                ) from error
            raise


AVAILABLE_PGVECTOR = """
SELECT default_version, installed_version FROM pg_available_extensions WHERE name = 'vector'
"""


class Available(NamedTuple):
    """pgvector's version as offered by the server, and as installed in the database if it is."""

    default_version: str
    installed_version: str | None


def check_pgvector(found: Available | None) -> None:
    """Raise DatabaseUnusable unless pgvector is available and recent enough."""
    needed = ".".join(map(str, MINIMUM_PGVECTOR))
    if found is None:
        raise DatabaseUnusable(
            f"This Postgres has no pgvector: install pgvector {needed} or newer on its server."
        )
    version = found.installed_version or found.default_version
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_PGVECTOR:
        raise DatabaseUnusable(
            f"This Postgres has pgvector {version}; {needed} or newer is needed. "
            "Install it, then run ALTER EXTENSION vector UPDATE."
        )


def create_database(url: str, name: str) -> None:
    """Create the database `name` on the server at `url` unless it exists."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        known = text("SELECT 1 FROM pg_database WHERE datname = :name")
        if not connection.execute(known, {"name": name}).first():
            try:
                connection.execute(text(f'CREATE DATABASE "{name}"'))
            except DBAPIError as error:
                if not isinstance(error.orig, (DuplicateDatabase, UniqueViolation)):
                    raise  # those two mean that another process was faster
    engine.dispose()
