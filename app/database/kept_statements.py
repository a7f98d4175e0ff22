"""Statements that are turned into SQL once, for those that run so often that it counts.

SQLAlchemy looks through a statement each time to find out whether it has its SQL already, and keeps
none of an INSERT … ON CONFLICT: where statements are about one picture, that is a third of the time
that Python takes.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import CursorResult, Dialect, Select, TextClause, UpdateBase
from sqlalchemy.orm import Session

KEPT_STATEMENTS = 400  # as SQL, the least recently used out first

SQLStatement = Select[Any] | UpdateBase | TextClause
Parameters = Callable[[Mapping[str, Any]], dict[str, Any]]


def execute_kept(
    session: Session, statement: SQLStatement, values: Mapping[str, Any]
) -> CursorResult[Any]:
    """The rows of `statement`, with the values that the driver makes of them.

    The same object is turned into SQL once: make it when the module is loaded.
    """
    connection = session.connection()
    sql, parameters = kept(statement, connection.dialect)
    return connection.exec_driver_sql(sql, parameters(values))


@lru_cache(maxsize=KEPT_STATEMENTS)
def kept(statement: SQLStatement, dialect: Dialect) -> tuple[str, Parameters]:
    """The SQL of a statement, and what makes its parameters as the driver takes them."""
    compiled = statement.compile(dialect=dialect)
    processors = {
        name: processor
        for name, bound in compiled.binds.items()
        if (processor := bound.type.dialect_impl(dialect).bind_processor(dialect))
    }

    def parameters(values: Mapping[str, Any]) -> dict[str, Any]:
        made = dict(compiled.construct_params(values) or {})
        return made | {name: process(made[name]) for name, process in processors.items()}

    return str(compiled), parameters
