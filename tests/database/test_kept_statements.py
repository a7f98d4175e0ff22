"""Statements whose SQL is kept (issue 20)."""

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DataError

from app.database.connections import Sessions
from app.database.kept_statements import execute_kept, kept

KNOWN = Table(
    "kept_rows", MetaData(), Column("id", Integer, primary_key=True), Column("told", JSONB)
)
_INSERT = upsert(KNOWN).values(id=bindparam("id"), told=bindparam("told", type_=JSONB))
PUT = _INSERT.on_conflict_do_update(
    index_elements=["id"], set_={"told": _INSERT.excluded.told}
).returning(KNOWN.c.id)


def test_a_statement_is_turned_into_sql_once_and_takes_other_values_each_time(
    sessions: Sessions,
) -> None:
    before = kept.cache_info()
    with sessions.begin() as session:
        KNOWN.create(session.connection())
        for told in ({"n": 1}, {"n": 2}):
            assert execute_kept(session, PUT, {"id": 7, "told": told}).scalar_one() == 7
        assert session.execute(text("SELECT told FROM kept_rows")).scalar_one() == {"n": 2}
    after = kept.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 1)


def test_its_errors_are_those_of_sqlalchemy(sessions: Sessions) -> None:
    with sessions() as session, pytest.raises(DataError, match="division by zero"):
        execute_kept(session, text("SELECT 1 / CAST(:n AS integer)"), {"n": 0})
