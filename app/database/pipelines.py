"""Statements that go to Postgres together: one round trip, and one transaction without BEGIN.

They are sent before the first is answered, so none can depend on the result of another. Settings
that one of them makes for its transaction hold for those after it.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import Dialect, Engine, Select, TextClause
from sqlalchemy.exc import DBAPIError

from app import metrics
from app.database.kept_statements import kept

Row = Mapping[Any, Any]
"""A row of a result by the names of its columns."""


class Statement(NamedTuple):
    """A statement and the values of its parameters. The same object is compiled once."""

    clause: Select[Any] | TextClause
    values: Mapping[str, Any]


def fetch_together(engine: Engine, statements: Sequence[Statement]) -> list[list[Row]]:
    """The rows of each of the statements, in their order.

    Raises DBAPIError as SQLAlchemy does.
    """
    began = time.perf_counter()
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        try:
            return _fetched(driver, engine.dialect, statements)
        except psycopg.Error as error:
            if driver.closed:
                connection.invalidate(error)
            raise _wrapped(error, engine.dialect, is_lost=driver.closed) from error
        finally:
            metrics.observe_statement(time.perf_counter() - began)


def _fetched(
    driver: "psycopg.Connection[Any]", dialect: Dialect, statements: Sequence[Statement]
) -> list[list[Row]]:
    cursors = []
    with driver.pipeline():
        for clause, values in statements:
            sql, parameters = kept(clause, dialect)
            cursor = driver.cursor(row_factory=dict_row)
            cursors.append(cursor.execute(sql, parameters(values)))
    return [list(cursor.fetchall()) for cursor in cursors]


def _wrapped(error: psycopg.Error, dialect: Dialect, *, is_lost: bool) -> BaseException:
    """The error as SQLAlchemy would raise it, without the statement's parameters."""
    return DBAPIError.instance(
        None, None, error, psycopg.Error, True, connection_invalidated=is_lost, dialect=dialect
    )
