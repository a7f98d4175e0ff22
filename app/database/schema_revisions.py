"""The revision of the database's schema, and whether this program knows it."""

from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from app.command_names import typed
from app.errors import DatabaseUnusable

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def migration_config() -> Config:
    """How alembic finds the migrations."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(migration_config())


def find_revision(connection: Connection | Session) -> str | None:
    """The revision of the database; None where it has no tables yet."""
    there = connection.execute(text("SELECT to_regclass('alembic_version')")).scalar_one()
    found = text("SELECT version_num FROM alembic_version")
    return connection.execute(found).scalar_one_or_none() if there else None


def check_known(revision: str) -> None:
    """Raises DatabaseUnusable where a later version of this program wrote the schema."""
    try:
        _scripts().get_revision(revision)
    except CommandError as error:
        raise DatabaseUnusable(
            f"The database's schema ({revision}) was written by a later version of this program. "
            "Use that version or a newer one."
        ) from error


def check_current(session: Session) -> str:
    """The revision of a database that has this program's own. Raises DatabaseUnusable."""
    revision = find_revision(session)
    if revision is None:
        raise DatabaseUnusable("The database has no tables yet: start the service once.")
    check_known(revision)
    if revision != _scripts().get_current_head():
        raise DatabaseUnusable(
            f"The database's schema ({revision}) is older than this program's. Run "
            f"`{typed('migrate')}` first, or use the version that wrote it."
        )
    return revision
