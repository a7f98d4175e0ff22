"""The bound on a request's body, kept while it arrives."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.problems import problem

MEGA = 1_000_000


class BodyLimit:
    """Answers 413 to a body over `max_bytes`: at once where its length is declared.

    Starlette's own limit answers in plain text; here every error is a problem.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            refusal = problem(413, self._detail, headers={"Connection": "close"})
            return await refusal(scope, receive, send)
        return await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413, self._detail, {"Connection": "close"})
            return message

        return count

    @property
    def _detail(self) -> str:
        return f"The request is larger than {self._max_bytes / MEGA:g} MB, the most that is taken."
