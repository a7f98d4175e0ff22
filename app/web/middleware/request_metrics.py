"""Request ids and request metrics."""

import asyncio
import re
import time
from uuid import uuid4

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs, metrics
from app.web.problems.problems import problem

HEADER = "X-Request-Id"
STOPPING = "The server is stopping, and this took longer than it waits: send it again in a moment."
ACCEPTED_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestMetrics:
    """Gives each request an id, and counts it. Add it last, so that it is the outermost.

    The time measured ends when the response starts: neither a slow client nor an endless stream
    counts as a slow server. A request is counted when its response has ended.
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
        except asyncio.CancelledError:  # by uvicorn alone, when the time to shut down is over
            await exchange.break_off(scope, receive)
        finally:
            method, seconds = scope["method"], exchange.seconds()
            metrics.observe_request(_template(scope), method, exchange.status, seconds)
        return None


def _sent_id(scope: Scope) -> str | None:
    """The request id that the client sent, if it is safe to log."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value.decode() if ACCEPTED_ID.fullmatch(value) else None
    return None


def _template(scope: Scope) -> str | None:
    """The path template of the matched route."""
    route = scope.get("route")
    if route is None and "endpoint" in scope:  # FastAPI's own routes, such as /docs
        routes = scope["app"].routes
        route = next((one for one in routes if _has_endpoint(one, scope["endpoint"])), None)
    return getattr(route, "path", None)


def _has_endpoint(route: object, endpoint: object) -> bool:
    return getattr(route, "endpoint", None) is endpoint


class _Exchange:
    """One request and its response; `status` is 500 until that has started."""

    def __init__(self, request_id: str, send: Send) -> None:
        self.status = 500
        self._request_id = request_id
        self._send = send
        self._began = time.perf_counter()
        self._seconds: float | None = None

    def seconds(self) -> float:
        """Time until the response started, or until now if it has not."""
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
        """Answer an unexpected error with the application's handler, but with the request id.

        Raises `error` if a response has started.
        """
        unexpected = scope["app"].exception_handlers.get(Exception)
        if self._seconds is not None or unexpected is None:
            raise error
        answer = await run_in_threadpool(unexpected, Request(scope), error)
        await answer(scope, receive, self.send)

    async def break_off(self, scope: Scope, receive: Receive) -> None:
        """Answer a request that the end of the server has cancelled, unless a response has begun.

        uvicorn would log a traceback for each, and answer 500.
        """
        if self._seconds is None:
            await problem(503, STOPPING)(scope, receive, self.send)
