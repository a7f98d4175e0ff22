"""The bound on how slowly a request's body may arrive."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_SECONDS = 30.0  # that a body may be waited for, beside the time its bytes are good for
LEAST_BYTES_PER_SECOND = 10_000


class BodyTimeout:
    """Answers 408 to a body that stops for `seconds`, or comes slower than the least rate.

    Of the whole body, it may be waited for `seconds` and a second for each
    `least_bytes_per_second` that came; where the request's state has `body_seconds`, no longer than
    that in all. Only waiting counts: not the time in which nobody reads.
    """

    def __init__(
        self,
        app: ASGIApp,
        seconds: float = BODY_SECONDS,
        least_bytes_per_second: int = LEAST_BYTES_PER_SECOND,
    ) -> None:
        self._app = app
        self._seconds = seconds
        self._least_bytes_per_second = least_bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that does not wait for ever."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        state = scope.setdefault("state", {})
        body = _Body(receive, send, self._seconds, self._least_bytes_per_second, state)
        return await self._app(scope, body.receive, body.send)


class _Body:
    """One request: how long its body may still be waited for."""

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
        """Raises HTTPException 408. After the body it waits for the client to hang up."""
        if self._is_complete or self._is_answered:
            return await self._receive()
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(min(self._left, self._seconds, self._room())):
                message = await self._receive()
        except TimeoutError:
            if self._is_answered:  # meanwhile: who streams listens at the same time
                return await self._receive()
            raise HTTPException(408, self._detail(), {"Connection": "close"}) from None
        waited = clock() - began
        self._waited += waited
        self._left += len(message.get("body", b"")) / self._rate - waited
        self._is_complete = not message.get("more_body", False)
        return message

    def _room(self) -> float:
        """Seconds that are left of what the route allows."""
        longest: float = self._state.get("body_seconds", float("inf"))
        return longest - self._waited

    async def send(self, message: Message) -> None:
        """Once an answer begins, none can be given to a slow body."""
        self._is_answered = True
        await self._send(message)

    def _detail(self) -> str:
        return (
            f"The request's body came too slowly: send {self._rate:,} bytes/s or more, without a "
            f"pause of {self._seconds:g} s."
        )
