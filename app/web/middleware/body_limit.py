"""The limit on the size of request bodies, enforced while they arrive."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.problems.problems import problem

MEGA = 1_000_000


class BodyLimit:
    """Answers 413 to a body over `max_bytes`: immediately if its Content-Length says so.

    `exceptions` are other limits in bytes, by path.

    Starlette's own limit answers in plain text; here every error is a problem document.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, exceptions: Mapping[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._exceptions = exceptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts bytes."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        max_bytes = self._exceptions.get(scope["path"], self._max_bytes)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes:
            refusal = problem(413, _detail(max_bytes), headers={"Connection": "close"})
            return await refusal(scope, receive, send)
        return await self._app(scope, _counting(receive, max_bytes), send)


def _counting(receive: Receive, max_bytes: int) -> Receive:
    received = 0

    async def count() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise HTTPException(413, _detail(max_bytes), {"Connection": "close"})
        return message

    return count


def _detail(max_bytes: int) -> str:
    return f"The request is larger than {max_bytes / MEGA:g} MB, the maximum."
