"""Statements on a database that has fallen silent (issue 21, line 45)."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from app.database import connections, silent_server
from app.database.connections import is_unavailable, open_engine
from app.database.embedded.embedded_postgres import embedded_server
from app.database.embedded.postgres_programs import temporary_folder
from app.database.pipelines import Statement, fetch_together
from app.database.silent_server import BoundedConnection, ServerProbe
from tests.fixtures.frozen_database import frozen

SILENCE_SECONDS = 0.5
CONNECT_SECONDS = 2  # psycopg's least
MOST_SECONDS = 10  # of a request: a stalled statement, a probe, a connection anew


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with temporary_folder("calm") as folder:
        yield folder / "data"


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with embedded_server(folder) as url:
        yield url


@pytest.fixture
def engine(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(silent_server, "SILENCE_SECONDS", SILENCE_SECONDS)
    short = dict(connections.CONNECTION_OPTIONS) | {"connect_timeout": CONNECT_SECONDS}
    monkeypatch.setattr(connections, "CONNECTION_OPTIONS", short)
    engine = open_engine(url)
    yield engine
    engine.dispose()


def asked(engine: Engine) -> object:
    with engine.connect() as connection:
        return connection.execute(text("SELECT 1")).scalar_one()


def asked_in_a_pipeline(engine: Engine) -> object:
    ((row,),) = fetch_together(engine, [Statement(text("SELECT 1 AS one"), {})])
    return row["one"]


@pytest.mark.parametrize("ask", [asked, asked_in_a_pipeline])
def test_statements_on_a_frozen_database_end_in_bounded_time(
    engine: Engine, folder: Path, ask: Callable[[Engine], object]
) -> None:
    """Issue 21, line 45: by kept connections and by new ones, alone and many at once."""
    assert ask(engine) == 1
    with frozen(folder), ThreadPoolExecutor(20) as threads:
        began = time.monotonic()
        for future in [threads.submit(ask, engine) for _ in range(20)]:
            with pytest.raises(OperationalError) as caught:
                future.result()
            assert is_unavailable(caught.value)
        assert time.monotonic() - began < MOST_SECONDS
    assert ask(engine) == 1


def test_a_statement_under_way_ends_when_the_database_freezes(engine: Engine, folder: Path) -> None:
    with engine.connect() as connection, ThreadPoolExecutor(1) as thread:
        future = thread.submit(connection.execute, text("SELECT pg_sleep(60)"))
        time.sleep(0.3)
        with frozen(folder):
            with pytest.raises(DBAPIError) as caught:
                future.result(MOST_SECONDS)
            assert is_unavailable(caught.value)
            assert caught.value.connection_invalidated
    assert asked(engine) == 1


def test_a_long_statement_on_a_living_database_is_waited_for(engine: Engine) -> None:
    with engine.connect() as connection:
        query = text("SELECT pg_sleep(:seconds) IS NULL")
        assert connection.execute(query, {"seconds": 5 * SILENCE_SECONDS}).scalar_one() is False


def test_a_server_that_only_refuses_is_alive(url: str) -> None:
    """With all of its connections taken, for example."""
    absent = url.replace("/postgres?", "/absent?")
    assert ServerProbe().is_alive(partial(BoundedConnection.connect, absent))


def test_what_the_url_says_of_a_connection_wins(url: str) -> None:
    engine = open_engine(f"{url}&connect_timeout=77&application_name=mine")
    try:
        with engine.connect() as connection:
            shown = connection.execute(text("SHOW application_name")).scalar_one()
            info = connection.connection.driver_connection.info  # type: ignore[union-attr]
            assert (shown, info.get_parameters()["connect_timeout"]) == ("mine", "77")
            assert info.get_parameters()["tcp_user_timeout"] == "20000"
    finally:
        engine.dispose()
