"""The SQLAlchemy engine, sessions and migrations."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

from alembic import command
from psycopg.errors import (
    DeadlockDetected,
    DuplicateDatabase,
    InsufficientPrivilege,
    LockNotAvailable,
    ReadOnlySqlTransaction,
    UniqueViolation,
)
from sqlalchemy import (
    URL,
    Boolean,
    Connection,
    Dialect,
    Engine,
    Function,
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
from app.database.pool_checks import check_before_use
from app.database.read_routing import RoutedSession
from app.database.schema_revisions import check_known, find_revision, migration_config
from app.database.sent_vectors import send_binary
from app.database.silent_server import BoundedConnection, ServerProbe
from app.errors import DatabaseUnusable
from app.metrics import Coverage

Sessions = sessionmaker[Session]
T = TypeVar("T")

MINIMUM_PGVECTOR = (0, 8)
MIGRATION_LOCK = 7_305_811_220_640_114_213  # advisory lock: one migration at a time
POOL_SIZE = 10  # connections kept open
POOL_OVERFLOW = 30  # further connections under load: one for each of FastAPI's 40 threads
POOL_TIMEOUT = 10  # seconds
CONNECT_TIMEOUT = 5  # seconds
LOCK_TIMEOUT_MS = 1_500  # above Postgres's deadlock_timeout, after which an autovacuum yields
LOCK_ATTEMPTS = 5
LOCK_PAUSE_SECONDS = 1.0
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


def retry_on_lock(
    sessions: Sessions, work: Callable[[Session], T], timeout_ms: int = LOCK_TIMEOUT_MS
) -> T:
    """Run `work` in a transaction with a short lock timeout, because others queue behind its wait.

    After a lock timeout or a deadlock it is run again from the start after LOCK_PAUSE_SECONDS, at
    most LOCK_ATTEMPTS times in all. Raises the OperationalError of the last attempt.
    """
    for remaining in reversed(range(LOCK_ATTEMPTS)):
        try:
            with sessions.begin() as session:
                session.execute(select(func.set_config("lock_timeout", str(timeout_ms), True)))
                return work(session)
        except OperationalError as error:
            if not (remaining and isinstance(error.orig, (LockNotAvailable, DeadlockDetected))):
                raise
        time.sleep(LOCK_PAUSE_SECONDS)
    raise AssertionError  # unreachable: the last attempt returns or raises


@contextmanager
def alone(sessions: Sessions, name: str) -> Iterator[bool]:
    """Whether no other process holds the advisory lock `name`; it is held meanwhile."""
    with sessions.begin() as session:
        taken = try_lock(session, name)
        # A statement's snapshot lasts until the next one, and this needs none: else indexes that
        # are built concurrently would wait for the end of this transaction.
        session.execute(text("SAVEPOINT alone"))
        yield taken


def try_lock(session: Session, name: str) -> bool:
    """Take the advisory lock `name` until the transaction ends; False if another has it."""
    taken: bool = session.execute(select(takes_lock(name))).scalar_one()
    return taken


def takes_lock(name: Any) -> Function[bool]:
    """The same for a statement that goes on from there; `name` may be a parameter."""
    return func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0), type_=Boolean)


def migrate(engine: Engine) -> None:
    """Bring the schema up to date; an advisory lock serializes concurrent starts.

    A migration that deadlocks with a server that still runs is tried again: it has changed nothing.
    Raises DatabaseUnusable if the database is read-only or was written by a later version of this
    program, or if pgvector is missing, too old, or may not be created.
    """
    for remaining in reversed(range(LOCK_ATTEMPTS)):
        try:
            _migrate(engine)
        except DBAPIError as error:
            if not (remaining and isinstance(error.orig, DeadlockDetected)):
                raise
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            return


def _migrate(engine: Engine) -> None:
    config = migration_config()
    with engine.begin() as connection:
        if is_read_only(connection):
            raise DatabaseUnusable(
                "The database at DATABASE_URL is read-only: it is a hot standby, or "
                "default_transaction_read_only is on. Set DATABASE_URL to its primary."
            )
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        row = connection.execute(text(AVAILABLE_PGVECTOR)).one_or_none()
        check_pgvector(Available(*row) if row else None)
        if revision := find_revision(connection):
            check_known(revision)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except DBAPIError as error:
            if isinstance(error.orig, InsufficientPrivilege):
                raise DatabaseUnusable(
                    f"The database user lacks a right that the migrations need: "
                    f"{first_line(error)} Grant it, or run CREATE EXTENSION vector as superuser."
                ) from error
            raise


AVAILABLE_PGVECTOR = """
SELECT default_version, installed_version FROM pg_available_extensions WHERE name = 'vector'
"""


class Available(NamedTuple):
    """pgvector's version as offered by the server, and as installed in the database if it is."""

    default_version: str
    installed_version: str | None


def check_pgvector(found: Available | None) -> None:
    """Raise DatabaseUnusable unless pgvector is available and recent enough."""
    needed = ".".join(map(str, MINIMUM_PGVECTOR))
    if found is None:
        raise DatabaseUnusable(
            f"This Postgres has no pgvector: install pgvector {needed} or newer on its server."
        )
    version = found.installed_version or found.default_version
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_PGVECTOR:
        raise DatabaseUnusable(
            f"This Postgres has pgvector {version}; {needed} or newer is needed. "
            "Install it, then run ALTER EXTENSION vector UPDATE."
        )


def create_database(url: str, name: str) -> None:
    """Create the database `name` on the server at `url` unless it exists."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        known = text("SELECT 1 FROM pg_database WHERE datname = :name")
        if not connection.execute(known, {"name": name}).first():
            try:
                connection.execute(text(f'CREATE DATABASE "{name}"'))
            except DBAPIError as error:
                if not isinstance(error.orig, (DuplicateDatabase, UniqueViolation)):
                    raise  # those two mean that another process was faster
    engine.dispose()


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
