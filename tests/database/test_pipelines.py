"""Statements that go to Postgres together."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from app.database.connections import Sessions, is_unavailable
from app.database.pipelines import Statement, fetch_together

TIMEOUT = "SELECT set_config('statement_timeout', :ms, true)"
SHOW = "SELECT current_setting('statement_timeout') AS timeout"


@pytest.fixture
def engine(sessions: Sessions) -> Engine:
    found: Engine = sessions.kw["bind"]
    return found


def test_settings_hold_for_the_statements_after_them_and_no_longer(engine: Engine) -> None:
    show = Statement(text(SHOW), {})
    together = [Statement(text(TIMEOUT), {"ms": "7000"}), show, show]
    for _ in range(2):
        _, first, second = fetch_together(engine, together)
        assert first == second == [{"timeout": "7s"}]
        assert fetch_together(engine, [show]) == [[{"timeout": "0"}]]


def test_an_error_is_sqlalchemys_and_leaves_the_connection_usable(engine: Engine) -> None:
    slow = [Statement(text(TIMEOUT), {"ms": "1"}), Statement(text("SELECT pg_sleep(60)"), {})]
    with pytest.raises(OperationalError, match="statement timeout"):
        fetch_together(engine, [*slow, Statement(text(SHOW), {})])
    with pytest.raises(DBAPIError, match="no_such_table") as wrong:
        fetch_together(engine, [Statement(text("SELECT * FROM no_such_table"), {})])
    assert not is_unavailable(wrong.value)
    assert fetch_together(engine, [Statement(text("SELECT 1 AS one"), {})]) == [[{"one": 1}]]


def test_a_lost_connection_is_replaced(engine: Engine) -> None:
    alone = Statement(text("SELECT pg_terminate_backend(pg_backend_pid())"), {})
    with pytest.raises(DBAPIError) as lost:
        fetch_together(engine, [alone])
    assert is_unavailable(lost.value)
    assert fetch_together(engine, [Statement(text("SELECT 1 AS one"), {})]) == [[{"one": 1}]]
