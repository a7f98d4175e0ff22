"""Says once that the database is away, and once that it answers again.

While it is away, each request and each loop of the worker fails by it: a line for each of them
would bury the one that helps.
"""

import logging
import threading
import time

import psycopg
from procrastinate.exceptions import ConnectorException
from sqlalchemy.exc import DBAPIError

log = logging.getLogger(__name__)

LOST_STATES = ("08", "57P")
"""Beginnings of SQLSTATEs: the connection broke, or the server stops or starts."""


class Outages:
    """Of one database, for a whole process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None  # of the monotonic clock; None: it answers

    def note(self, error: BaseException) -> None:
        """Log why the database is away, unless that is known."""
        with self._lock:
            is_known, self._since = self._since is not None, self._since or time.monotonic()
        if not is_known:
            log.warning(
                "The database is away: %s. Requests get 503 and jobs wait until it answers.",
                _first_line(error),
            )

    def end(self) -> None:
        """Log that it answers again, if it was away."""
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            log.warning("The database answers again, after %.0f s.", time.monotonic() - since)


OUTAGES = Outages()


def is_lost(error: BaseException) -> bool:
    """Whether the connection to the database is lost, or none can be made."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = _cause(error)
    if not isinstance(cause, psycopg.OperationalError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(LOST_STATES)


def _cause(error: BaseException) -> BaseException:
    """The error of psycopg's that one of SQLAlchemy's or of the queue's wraps."""
    if isinstance(error, DBAPIError):
        return error.orig or error
    return (error.__cause__ or error) if isinstance(error, ConnectorException) else error


def _first_line(error: BaseException) -> str:
    cause = _cause(error)
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return lines[0].rstrip(".")
