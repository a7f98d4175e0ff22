from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, make_url, text

from app.database import connections, migrating
from app.database.tables import metadata
from app.errors import DatabaseUnusable


def test_migrations_make_the_tables_that_the_code_declares(sessions: connections.Sessions) -> None:
    with sessions() as session:
        context = MigrationContext.configure(
            session.connection(), opts={"include_name": is_ours, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def is_ours(name: str | None, kind: str, parents: object) -> bool:
    """Not the queue's, whose schema is its library's."""
    return not (kind == "table" and name and name.startswith("procrastinate_"))


def test_migrating_again_changes_nothing(sessions: connections.Sessions) -> None:
    engine = sessions.kw["bind"]
    migrating.migrate(engine)
    with sessions() as session:
        query = text("SELECT namespace, name FROM collections")
        assert [tuple(row) for row in session.execute(query)] == [("default", "default")]


def test_a_migration_that_deadlocks_with_a_running_server_is_tried_again(
    sessions: connections.Sessions,
) -> None:
    """The other one locks what migrations change, and waits for them; Postgres ends these."""
    engine = sessions.kw["bind"]
    with ThreadPoolExecutor(1) as thread, engine.begin() as other:
        other.execute(text("SET LOCAL deadlock_timeout = '1h'"))
        other.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
        waiting = thread.submit(migrating.migrate, engine)
        until_waiting(sessions)
        key = {"key": migrating.MIGRATION_LOCK}
        other.execute(text("SELECT pg_advisory_xact_lock(:key)"), key)
        other.commit()
        assert waiting.result(timeout=60) is None  # with one attempt it raises DeadlockDetected


def until_waiting(sessions: connections.Sessions) -> None:
    """Until a transaction waits for the table of revisions."""
    query = text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = to_regclass(:name)"
    )
    for _ in range(600):
        with sessions() as session:
            if session.execute(query, {"name": "alembic_version"}).scalar_one():
                return
        sleep(0.05)
    raise AssertionError("nothing waits")


def test_each_query_is_planned_for_its_values(sessions: connections.Sessions) -> None:
    """Nothing is prepared on the server, where PgBouncer would not find it again."""
    with sessions() as session:
        query = text("SELECT count(*) FROM pg_prepared_statements WHERE :n > 0")
        assert [session.execute(query, {"n": 1}).scalar_one() for _ in range(12)] == [0] * 12


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://127.0.0.1:1/nothing",
        "postgres://nobody@127.0.0.1:1/nothing",
        "nonsense",
        "mysql://127.0.0.1/x",
    ],
)
def test_a_database_that_cannot_be_used_is_said_so(url: str) -> None:
    with pytest.raises(DatabaseUnusable, match="No Postgres can be used at DATABASE_URL"):
        connections.open_engine(url)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (None, "has no pgvector"),
        (("0.7.4", None), "has pgvector 0.7.4"),
        (("0.8.5", "0.6.0"), "has pgvector 0.6.0"),
    ],
)
def test_an_old_pgvector_is_refused(row: Any, message: str) -> None:
    with pytest.raises(DatabaseUnusable, match=message):
        migrating.check_pgvector(row and migrating.Available(*row))


def test_the_embedded_server_is_off_the_network(server_url: str) -> None:
    engine = create_engine(make_url(server_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        shown = {
            name: connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("listen_addresses", "unix_socket_permissions", "shared_buffers")
        }
    engine.dispose()
    assert shown == {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "shared_buffers": "256MB",
    }
