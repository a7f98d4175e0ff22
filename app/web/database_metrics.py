"""Counts of what the database holds, for `GET /metrics`."""

import asyncio
import threading
import time
from concurrent.futures import Future

from psycopg.errors import QueryCanceled
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from app.database.connections import Sessions, count_coverage
from app.ingest.jobs import jobs
from app.metrics import Coverage, DatabaseCounts

CACHE_SECONDS = 5.0  # counting a million pictures and vectors takes 0.2 s
WAIT_SECONDS = 3.0  # for a database that does not answer; Prometheus itself waits for 10 s
COUNT_TIMEOUT_MS = 2_000  # for pictures and vectors


class DatabaseMetrics:
    """Counts rows of the database, at most once in CACHE_SECONDS. For one event loop.

    Counts on a thread of its own, since a database that hangs may block all threads of the
    routes, and waits for it for at most WAIT_SECONDS.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._began = 0.0  # of time.monotonic
        self._counted: Future[DatabaseCounts] | None = None

    async def counts(self) -> DatabaseCounts | None:
        """The counts, up to CACHE_SECONDS old; None if the database does not answer."""
        counted = asyncio.wrap_future(self._current())
        try:
            return await asyncio.wait_for(counted, WAIT_SECONDS)
        except (SQLAlchemyError, TimeoutError):
            return None

    def _current(self) -> "Future[DatabaseCounts]":
        """The count that is in progress or recent, or else a new one."""
        is_recent = time.monotonic() - self._began <= CACHE_SECONDS
        if self._counted is None or (self._counted.done() and not is_recent):
            self._began = time.monotonic()
            self._counted = Future()
            self._counted.set_running_or_notify_cancel()  # a waiter's timeout does not cancel it
            threading.Thread(
                target=self._count, args=(self._counted,), name="database-metrics", daemon=True
            ).start()
        return self._counted

    def _count(self, counted: "Future[DatabaseCounts]") -> None:
        try:
            with self._sessions.begin() as session:
                queue = jobs.count_queue(session)
            counted.set_result(DatabaseCounts(queue, self._coverage()))
        except BaseException as error:  # noqa: BLE001  # raised where the count is awaited
            counted.set_exception(error)

    def _coverage(self) -> Coverage | None:
        """None if the count takes longer than COUNT_TIMEOUT_MS."""
        try:
            with self._sessions.begin() as session:
                return count_coverage(session, COUNT_TIMEOUT_MS)
        except OperationalError as error:
            if isinstance(error.orig, QueryCanceled):
                return None
            raise
