"""The SQLAlchemy engine and its sessions."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import (
    URL,
    Connection,
    Dialect,
    Engine,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from app import metrics
from app.database.outages import OUTAGES
from app.database.pool_checks import ClosingPool, check_before_use
from app.database.read_routing import RoutedSession
from app.database.sent_vectors import send_binary
from app.database.silent_server import BoundedConnection, ServerProbe
from app.errors import DatabaseUnusable
from app.metrics import Coverage

Sessions = sessionmaker[Session]

POOL_SIZE = 10  # connections kept open
POOL_OVERFLOW = 30  # further connections under load: one for each of FastAPI's 40 threads
POOL_TIMEOUT = 10  # seconds
CONNECT_TIMEOUT = 5  # seconds
STARTED_AT = "statement started at"  # key in Connection.info: seconds of time.perf_counter()

# Nothing is prepared on the server and nothing is set for a session: PgBouncer gives each
# transaction another server, and refuses start-up options. So each query is planned for its own
# values, as it must be: a generic plan cannot know which partition is needed.
CONNECTION_OPTIONS: Mapping[str, Any] = {
    "prepare_threshold": None,
    "connect_timeout": CONNECT_TIMEOUT,
    "keepalives_idle": 10,  # seconds; these four find a dead peer or network, over TCP
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms
}


def open_engine(url: str) -> Engine:
    """An engine on `url` (postgresql://…), after a first connection has succeeded.

    Raises DatabaseUnusable when the URL is malformed or nothing answers there.
    """
    try:
        engine = make_engine(url)
        event.listen(engine, "connect", lambda *_: OUTAGES.end())
        with engine.connect():
            return engine
    except Exception as error:  # many types: malformed URLs, dead hosts, refused logins
        raise DatabaseUnusable(
            f"No Postgres can be used at DATABASE_URL: {first_line(error)}"
        ) from error


def make_engine(url: str, pool_size: int = POOL_SIZE, overflow: int = POOL_OVERFLOW) -> Engine:
    """An engine on `url` (postgresql://…); nothing is connected yet.

    Raises ArgumentError when the URL is malformed.
    """
    parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        poolclass=ClosingPool,
        pool_size=pool_size,
        max_overflow=overflow,
        pool_timeout=POOL_TIMEOUT,
        hide_parameters=True,  # errors are logged, but not the users' texts in them
        connect_args=connection_options(parsed),
    )
    _bound_waiting(engine)
    check_before_use(engine)
    event.listen(engine, "connect", lambda connection, _record: send_binary(connection))
    _time_statements(engine)
    return engine


def connection_options(url: URL) -> dict[str, Any]:
    """CONNECTION_OPTIONS, but for what the URL itself says."""
    return {name: value for name, value in CONNECTION_OPTIONS.items() if name not in url.query}


def _bound_waiting(engine: Engine) -> None:
    """Have statements fail once the server has fallen silent, see `silent_server.py`."""
    probe = ServerProbe()

    @event.listens_for(engine, "do_connect")
    def connect(
        _dialect: Dialect, _record: object, arguments: list[Any], options: dict[str, Any]
    ) -> BoundedConnection:
        connect = partial(BoundedConnection.connect, *arguments, **options)
        connection = connect()
        connection.is_alive = partial(probe.is_alive, connect)
        return connection


def _time_statements(engine: Engine) -> None:
    """Report the duration of every statement to the metrics, including those that fail."""

    @event.listens_for(engine, "before_cursor_execute")
    def begin(connection: Connection, *_: object) -> None:
        connection.info[STARTED_AT] = time.perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def end(connection: Connection, *_: object) -> None:
        began = connection.info.pop(STARTED_AT, None)
        if began is not None:
            metrics.observe_statement(time.perf_counter() - began)

    @event.listens_for(engine, "handle_error")
    def fail(context: ExceptionContext) -> None:
        if context.connection is not None and not context.connection.invalidated:
            end(context.connection)


def open_sessions(engine: Engine, *, routed: bool = False) -> Sessions:
    """A factory of short sessions on `engine`; objects stay readable after the commit.

    `routed`: or on the standby that `read_routing.reading_from` has chosen.
    """
    kind = RoutedSession if routed else Session
    return sessionmaker(engine, class_=kind, expire_on_commit=False)


COVERAGE = """
WITH p AS (SELECT collection_id, count(*) AS n FROM images WHERE removed_at IS NULL GROUP BY 1),
e AS (SELECT index_id, count(*) AS n FROM embeddings WHERE region = 0 GROUP BY 1),
v AS (SELECT collection_id, n FROM e JOIN vector_indexes i ON i.id = index_id AND state = 'active')
SELECT coalesce(sum(p.n), 0)::bigint, coalesce(sum(v.n), 0)::bigint,
    coalesce(sum(least(p.n, coalesce(v.n, 0))), 0)::bigint
FROM p LEFT JOIN v USING (collection_id)
"""


def count_coverage(session: Session, timeout_ms: int) -> Coverage:
    """Counts over all collections; deleted pictures do not count, nor do their vectors.

    Raises OperationalError if the database takes longer than `timeout_ms`.
    """
    session.execute(select(func.set_config("statement_timeout", str(timeout_ms), True)))
    return Coverage(*session.execute(text(COVERAGE)).one())


def is_read_only(connection: Connection | Session) -> bool:
    """Whether the transaction may write nothing, as on a hot standby."""
    query = text("SELECT current_setting('transaction_read_only')::boolean")
    return bool(connection.execute(query).scalar_one())


def is_unavailable(error: DBAPIError) -> bool:
    """Whether the database is unreachable, overloaded or read-only, rather than the SQL wrong."""
    return (
        isinstance(error, OperationalError)
        or isinstance(error.orig, ReadOnlySqlTransaction)
        or error.connection_invalidated
    )


def first_line(error: Exception) -> str:
    """What an error of the database says, without what follows."""
    message = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return message.splitlines()[0]
