"""The planner's row estimate for a statement, from EXPLAIN."""

import json
from typing import Any

from sqlalchemy import ClauseElement, Executable, Select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session


class explain(Executable, ClauseElement):  # noqa: N801  # reads as SQL
    """EXPLAIN of a statement, with the statement's own bound values."""

    inherit_cache = False

    def __init__(self, statement: Select[Any], *, as_json: bool = False) -> None:
        self.statement = statement
        self.form = " (FORMAT JSON)" if as_json else ""


@compiles(explain, "postgresql")
def _compile(element: explain, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN{element.form} {compiler.process(element.statement, **options)}"


def estimated_rows(session: Session, statement: Select[Any]) -> float:
    """How many rows the planner expects `statement` to return."""
    plan = session.execute(explain(statement, as_json=True)).scalar_one()
    found: float = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]["Plan Rows"]
    return found
