"""The audit log: who changed what and when, one line for each request that may change data.

It contains no keys, tokens, queries or bodies.
"""

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.authentication import Caller
from app.web.aliases import ALIAS_PREFIX
from app.web.middleware.guard import Need

log = logging.getLogger("audit")

READ_METHODS = {"GET", "HEAD", "OPTIONS"}
READER_WRITES = {
    "create_feedback",
    "create_legacy_feedback",
    "withdraw_feedback",
}  # operations open to readers


class AuditLog:
    """Writes the line when the response has ended, whatever its status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `send` that remembers the status."""
        if scope["type"] != "http" or scope["method"] in READ_METHODS:
            return await self._app(scope, receive, send)
        status = 500  # if no response is started

        async def remember_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, remember_status)
        finally:
            _write(scope, status)


def _write(scope: Scope, status: int) -> None:
    state = scope.get("state", {})
    need: Need | None = state.get("need")
    route = scope.get("route")
    operation = getattr(route, "name", "").removeprefix(ALIAS_PREFIX)
    if need is None or (need.role == "reader" and operation not in READER_WRITES):
        return
    caller: Caller | None = state.get("caller")  # None: refused before the key was looked up
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
            **state.get("audited", {}),  # what a route adds
        },
    )
