"""The audit log: who changed what, and when; one line for each request that could change something.

It holds no key, no token, no query and no body.
"""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.authentication import Caller
from app.web.middleware.guard import Need

log = logging.getLogger("audit")

READING = {"GET", "HEAD", "OPTIONS"}
ALSO = {"create_feedback", "judge", "withdraw_feedback"}  # what a reader may write


class AuditLog:
    """Writes the line once the answer has ended, whatever it was."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `send` that notes the status."""
        if scope["type"] != "http" or scope["method"] in READING:
            return await self._app(scope, receive, send)
        status = 500  # where no answer begins

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            _write(scope, status)


def _write(scope: Scope, status: int) -> None:
    state = scope.get("state", {})
    need: Need | None = state.get("need")
    route = scope.get("route")
    operation = getattr(route, "name", None)
    if need is None or (need.role == "reader" and operation not in ALSO):
        return
    caller: Caller | None = state.get("caller")  # None: it was refused before it was known
    log.info(
        operation,
        extra={
            "caller": caller.name if caller else None,
            "key_id": caller.key_id if caller else None,
            "namespace": caller.home if caller else None,
            "address": scope["client"][0] if scope.get("client") else None,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
        },
    )
