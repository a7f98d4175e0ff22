"""Connections that give up on a server which has fallen silent, however long statements may take.

A frozen server, or one behind a network that drops packets, answers nothing and closes nothing: a
client would wait without bound. How long a statement has taken says little, since building a graph
may take an hour. So once a statement has had no answer for SILENCE_SECONDS, a second connection
tries whether the server answers anybody.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import ConnectionTimeout, OperationalError
from psycopg.waiting import Ready

T = TypeVar("T")

SILENCE_SECONDS = 5.0  # without an answer, before the server is probed and between probes


class ServerSilent(OperationalError):
    """The server has answered nothing for SILENCE_SECONDS, and answers no other connection."""


class BoundedConnection(psycopg.Connection[Any]):
    """Waits for an answer only as long as `is_alive` says that the server answers others.

    Without `is_alive` it waits for SILENCE_SECONDS.
    """

    is_alive: Callable[[], bool] | None = None

    def wait(self, gen: PQGen[T], *arguments: Any, **options: Any) -> T:
        """As psycopg's; raises ServerSilent and closes the connection when it gives up."""
        return super().wait(self._bounded(gen), *arguments, **options)

    def _bounded(self, gen: PQGen[T]) -> PQGen[T]:
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # psycopg says NONE ten times a second while it waits
                if ready != Ready.NONE:
                    heard = time.monotonic()
                elif time.monotonic() - heard >= SILENCE_SECONDS:
                    self._check_alive()
                    heard = time.monotonic()
                wanted = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result

    def _check_alive(self) -> None:
        if self.is_alive is None or not self.is_alive():
            self.pgconn.finish()
            raise ServerSilent("the server does not answer")


class ServerProbe:
    """Tries a server for all connections to it, one at a time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_alive = True
        self._tried_at = 0.0

    def is_alive(self, connect: Callable[[], BoundedConnection]) -> bool:
        """Whether the server answers a new connection, also if only to refuse it."""
        asked_at = time.monotonic()
        with self._lock:
            if self._tried_at < asked_at:  # else somebody has tried since
                self._is_alive = _answers(connect)
                self._tried_at = time.monotonic()
            return self._is_alive


def _answers(connect: Callable[[], BoundedConnection]) -> bool:
    try:
        with connect() as connection:
            connection.execute("SELECT 1")
    except (ConnectionTimeout, ServerSilent):
        return False
    except psycopg.Error:  # too many connections, for example
        return True
    return True
