"""Connections that died in the pool are replaced, and the others are not asked before each use."""

import logging

import pytest
from sqlalchemy import Engine, event, text

from app.database import pool_checks
from app.database.connections import Sessions
from tests.conftest import administrator

OTHERS = (
    "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def engine(sessions: Sessions) -> Engine:
    found: Engine = sessions.kw["bind"]
    return found


def backend(engine: Engine) -> int:
    with engine.connect() as connection:
        found: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        return found


def test_what_the_server_has_ended_is_replaced(engine: Engine, database_url: str) -> None:
    before = backend(engine)
    with administrator(database_url) as connection:
        connection.execute(text(OTHERS)).all()
    assert backend(engine) != before


def test_the_server_is_asked_only_after_a_pause(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    ping = engine.dialect.do_ping

    def note(connection: object) -> bool:
        asked.append(connection)
        return ping(connection)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.dialect, "do_ping", note)
    monkeypatch.setattr(pool_checks, "IDLE_SECONDS", float("inf"))
    first = backend(engine)
    assert (backend(engine), asked) == (first, [])
    monkeypatch.setattr(pool_checks, "IDLE_SECONDS", 0.0)
    assert (backend(engine), len(asked)) == (first, 1)


def test_a_connection_that_was_closed_here_is_replaced(engine: Engine) -> None:
    before = backend(engine)

    def close(connection: object, *_: object) -> None:
        connection.close()  # type: ignore[attr-defined]

    event.listen(engine, "checkin", close)
    assert backend(engine) == before
    event.remove(engine, "checkin", close)
    assert backend(engine) != before


def test_what_is_returned_after_the_pool_was_disposed_of_is_closed(engine: Engine) -> None:
    """As by a thread that the end of the process did not wait for."""
    late, early = engine.connect(), engine.connect()
    left = [one.connection.driver_connection for one in (late, early)]
    early.close()
    engine.dispose()
    assert [one.closed for one in left if one] == [False, True]
    late.close()
    assert [one.closed for one in left if one] == [True, True]
    assert backend(engine) == backend(engine)  # those of the new pool are kept


def test_the_pool_logs_as_sqlalchemys_do(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Our own records are told from info on, and a start would say that its pool is recreated."""
    caplog.set_level(logging.INFO)
    engine.dispose()
    assert not [record for record in caplog.records if "Pool" in record.getMessage()]


def test_what_was_being_opened_while_the_pool_was_disposed_of_is_closed(engine: Engine) -> None:
    engine.dispose()  # what is in the pool would be taken first

    def dispose(*_: object) -> None:
        engine.dispose()

    event.listen(engine, "connect", dispose, insert=True)
    late = engine.connect()
    event.remove(engine, "connect", dispose)
    left = late.connection.driver_connection
    assert left
    assert not left.closed
    late.close()
    assert left.closed
    assert backend(engine) == backend(engine)
