"""Finds dead connections of the pool before they are used, mostly without asking the server.

SQLAlchemy's own `pool_pre_ping` asks it before every use: a round trip, and many uses are only one
themselves. A server that ends a connection says so, or closes it; both make the socket readable.
Only what is told to nobody, a lost network, has to be asked for, and only after a pause.

It also closes what comes back late: `Engine.dispose` closes the connections in the pool alone, and
one that a thread has at that moment would go back to a pool that nobody closes any more.
"""

import select
import time
from typing import Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

IDLE_SECONDS = 10.0  # in the pool, after which the server is asked anyway
RETURNED_AT = "returned to the pool at"  # key of a pooled connection's info: time.monotonic()


def check_before_use(engine: Engine) -> None:
    """Have the pool replace connections that died in it, all at once."""

    @event.listens_for(engine, "checkin")
    def note(_connection: object, record: Any) -> None:
        record.info[RETURNED_AT] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def check(connection: "psycopg.Connection[Any]", record: Any, _used: object) -> None:
        returned_at = record.info.get(RETURNED_AT)
        if returned_at is None:  # just opened
            return
        is_recent = time.monotonic() - returned_at < IDLE_SECONDS
        if is_recent and not connection.closed and not _has_news(connection):
            return
        try:
            engine.dialect.do_ping(connection)  # type: ignore[arg-type]
        except psycopg.Error as error:
            raise InvalidatePoolError from error


class ClosingPool(QueuePool):
    """A pool that closes what is returned after it was disposed of, or opened meanwhile."""

    _sqla_logger_namespace = "sqlalchemy.pool.ClosingPool"  # else its records were our own
    _is_disposed = False

    def dispose(self) -> None:
        """As in QueuePool, and for good: `Engine.dispose` goes on with another pool."""
        self._is_disposed = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        if self._is_disposed:  # asked last: `dispose` may have emptied the pool just before
            super().dispose()


def _has_news(connection: "psycopg.Connection[Any]") -> bool:
    """Whether the server has sent something unasked, or closed its end."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
