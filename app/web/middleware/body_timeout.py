"""The limit on how slowly request bodies may arrive."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_SECONDS = 30.0  # of waiting, in one pause or beyond the time at the minimum rate
MIN_BYTES_PER_SECOND = 10_000


class BodyTimeout:
    """Answers 408 to a body that pauses for `seconds`, or is slower than the minimum rate.

    The total time of waiting for a body is at most `seconds`, plus one second for each
    `min_bytes_per_second` received, and at most the `body_seconds` of the request's state if a
    route sets them. Only time spent waiting counts, not the time in which nobody reads.
    """

    def __init__(
        self,
        app: ASGIApp,
        seconds: float = BODY_SECONDS,
        min_bytes_per_second: int = MIN_BYTES_PER_SECOND,
    ) -> None:
        self._app = app
        self._seconds = seconds
        self._min_bytes_per_second = min_bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that times out."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        state = scope.setdefault("state", {})
        body = _Body(receive, send, self._seconds, self._min_bytes_per_second, state)
        return await self._app(scope, body.receive, body.send)


class _Body:
    """The body of one request, and for how much longer to wait for it."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        seconds: float,
        rate: int,
        state: MutableMapping[str, Any],
    ) -> None:
        self._receive = receive
        self._send = send
        self._seconds = self._left = seconds
        self._rate = rate
        self._state = state
        self._waited = 0.0
        self._is_complete = False
        self._is_answered = False

    async def receive(self) -> Message:
        """Raises HTTPException 408. After the body, waits for the client to disconnect."""
        if self._is_complete or self._is_answered:
            return await self._receive()
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(min(self._left, self._seconds, self._remaining())):
                message = await self._receive()
        except TimeoutError:
            if self._is_answered:  # a streaming response receives while it sends
                return await self._receive()
            raise HTTPException(408, self._detail(), {"Connection": "close"}) from None
        waited = clock() - began
        self._waited += waited
        self._left += len(message.get("body", b"")) / self._rate - waited
        self._is_complete = not message.get("more_body", False)
        return message

    def _remaining(self) -> float:
        """Seconds left of the route's own limit."""
        longest: float = self._state.get("body_seconds", float("inf"))
        return longest - self._waited

    async def send(self, message: Message) -> None:
        """Once a response has started, a slow body can no longer be answered with 408."""
        self._is_answered = True
        await self._send(message)

    def _detail(self) -> str:
        return (
            f"The request's body came too slowly: send {self._rate:,} bytes/s or more, without a "
            f"pause of {self._seconds:g} s."
        )
