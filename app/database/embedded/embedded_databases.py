"""SQL on the databases of one embedded server: which are in use, and which are empty.

The URL is the server's, as `embedded_server` and `running_server` give it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from app.errors import DatabaseUnusable


def is_in_use(url: str, name: str) -> bool:
    """Whether any process is connected to the database. Raises DatabaseUnusable."""
    with _connected(url, "postgres") as connection:
        query = text("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = :name)")
        return bool(connection.execute(query, {"name": name}).scalar_one())


def is_empty(url: str, name: str) -> bool:
    """Whether the database is missing, or holds no picture. Raises DatabaseUnusable."""
    with _connected(url, "postgres") as connection:
        query = text("SELECT EXISTS (SELECT FROM pg_database WHERE datname = :name)")
        if not connection.execute(query, {"name": name}).scalar_one():
            return True
    with _connected(url, name) as connection:
        if connection.execute(text("SELECT to_regclass('images')")).scalar_one() is None:
            return True
        return not connection.execute(text("SELECT EXISTS (SELECT FROM images)")).scalar_one()


@contextmanager
def _connected(url: str, name: str) -> Iterator[Connection]:
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg", database=name), poolclass=NullPool
    )
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise DatabaseUnusable(f"The database {name} does not answer: {error.orig}") from error
