"""Each request has an id and is counted; what the database holds is counted for `GET /metrics`."""

import asyncio
import re
import threading
import time
from concurrent.futures import Future
from uuid import uuid4

from fastapi import Request
from psycopg.errors import QueryCanceled
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs, metrics
from app.database.connections import Sessions, count_holdings
from app.ingest import jobs
from app.metrics import Holdings, Stock

HEADER = "X-Request-Id"
ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
STOCK_SECONDS = 5.0  # that a count is believed: a million pictures and vectors take 0.2 s
STOCK_WAIT_SECONDS = 3.0  # for a database that says nothing; Prometheus waits for 10 s in all
COUNT_TIMEOUT_MS = 2_000  # for the pictures and vectors


class RequestMetrics:
    """Gives each request an id, and counts it. To be added last: it must be the outermost.

    The seconds are those until the answer begins: neither a slow reader nor a stream without an
    end counts as a slow server. The request is counted when its answer has ended.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `send` that adds the id."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id = _sent_id(scope) or uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        logs.request_id.set(request_id)  # until the server's task for this request ends
        exchange = _Exchange(request_id, send)
        try:
            await self._app(scope, receive, exchange.send)
        except Exception as error:  # noqa: BLE001  # answered, or raised again
            await exchange.fail(error, scope, receive)
        finally:
            method, seconds = scope["method"], exchange.seconds()
            metrics.observe_request(_template(scope), method, exchange.status, seconds)
        return None


def _sent_id(scope: Scope) -> str | None:
    """The client's id of the request, where it has one that may go into logs."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value.decode() if ACCEPTED.fullmatch(value) else None
    return None


def _template(scope: Scope) -> str | None:
    """The path of the route that was found, as it was declared."""
    route = scope.get("route")
    if route is None and "endpoint" in scope:  # FastAPI's own, as /docs
        routes = scope["app"].routes
        route = next((one for one in routes if _is_of(one, scope["endpoint"])), None)
    return getattr(route, "path", None)


def _is_of(route: object, endpoint: object) -> bool:
    return getattr(route, "endpoint", None) is endpoint


class _Exchange:
    """One request and its answer; `status` is 500 until that has begun."""

    def __init__(self, request_id: str, send: Send) -> None:
        self.status = 500
        self._request_id = request_id
        self._send = send
        self._began = time.perf_counter()
        self._seconds: float | None = None

    def seconds(self) -> float:
        """Until the answer began, or until now where it has not."""
        if self._seconds is None:
            return time.perf_counter() - self._began
        return self._seconds

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._seconds = time.perf_counter() - self._began
            message.setdefault("headers", [])
            MutableHeaders(scope=message)[HEADER] = self._request_id
        await self._send(message)

    async def fail(self, error: Exception, scope: Scope, receive: Receive) -> None:
        """Answer an unexpected error as the application does, which would do so without the id.

        Raises `error` where an answer has begun.
        """
        unexpected = scope["app"].exception_handlers.get(Exception)
        if self._seconds is not None or unexpected is None:
            raise error
        answer = await run_in_threadpool(unexpected, Request(scope), error)
        await answer(scope, receive, self.send)


class HoldingsMetrics:
    """Counts what the database holds, at most every STOCK_SECONDS.

    On a thread of its own, which nobody waits for longer than STOCK_WAIT_SECONDS: while a database
    hangs, so may all threads of the routes. For one event loop.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._began = 0.0  # of time.monotonic
        self._counted: Future[Stock] | None = None

    async def stock(self) -> Stock | None:
        """As it is, or was a short time ago; None where no database answers."""
        waited = asyncio.wrap_future(self._counting())
        try:
            return await asyncio.wait_for(waited, STOCK_WAIT_SECONDS)
        except (SQLAlchemyError, TimeoutError):
            return None

    def _counting(self) -> "Future[Stock]":
        """The count that is under way or still believed, or a new one."""
        fresh = time.monotonic() - self._began <= STOCK_SECONDS
        if self._counted is None or (self._counted.done() and not fresh):
            self._began = time.monotonic()
            self._counted = Future()
            self._counted.set_running_or_notify_cancel()  # who stops waiting does not stop it
            threading.Thread(
                target=self._count, args=(self._counted,), name="stock", daemon=True
            ).start()
        return self._counted

    def _count(self, counted: "Future[Stock]") -> None:
        try:
            with self._sessions.begin() as session:
                work = jobs.count_work(session)
            counted.set_result(Stock(work, self._holdings()))
        except BaseException as error:  # noqa: BLE001  # whoever waits gets it, whatever it is
            counted.set_exception(error)

    def _holdings(self) -> Holdings | None:
        """None where there are too many to be counted in time."""
        try:
            with self._sessions.begin() as session:
                return count_holdings(session, COUNT_TIMEOUT_MS)
        except OperationalError as error:
            if isinstance(error.orig, QueryCanceled):
                return None
            raise
