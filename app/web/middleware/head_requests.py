"""HEAD for every address that has GET: the same headers without the body (RFC 9110, 9.3.2)."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequests:
    """Answers HEAD by the route of GET, and drops the body.

    `is_head` in the request's state lets a response skip the work of making its body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HEAD on as GET, with a `send` that ends the response after its headers."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self._app(scope, receive, send)
        is_answered = False

        async def send_headers(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                is_answered = True

        async def receive_or_stop() -> Message:
            """A stream without end stops when its client is gone."""
            return {"type": "http.disconnect"} if is_answered else await receive()

        scope["method"] = "GET"
        scope.setdefault("state", {})["is_head"] = True
        try:
            await self._app(scope, receive_or_stop, send_headers)
        finally:
            scope["method"] = "HEAD"
