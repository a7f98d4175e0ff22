"""`Idempotency-Key`: a request that is sent again is answered as the first time, and not repeated.

As draft-ietf-httpapi-idempotency-key-header-07 describes it.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from uuid import uuid4

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access import idempotency_keys
from app.access.authentication import Caller
from app.access.idempotency_keys import (
    HOLD_SECONDS,
    KEPT_HOURS,
    Attempt,
    EarlierRequest,
    StoredAnswer,
)
from app.database.connections import Sessions
from app.errors import IdempotencyKeyInUse, IdempotencyKeyRejected, IdempotencyKeyReused
from app.web.bodies.body_digest import BodyDigest

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
MAX_KEY_CHARACTERS = 255
KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_KEY_CHARACTERS}}}")
MAX_ANSWER_BYTES = 1_000_000  # of an answer that is kept; one with 100 files has a tenth of that
NOT_KEPT = {408, 429}  # beside 5xx: answers that ask for another try
RENEW_SECONDS = HOLD_SECONDS / 3

PARAMETER: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "a name of your choice for this request, such as a UUID. If it is sent again "
    f"within {KEPT_HOURS} h, with the same key, it is not repeated: the first answer is given "
    "again, unless that was a 5xx, 408 or 429",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS},
    "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
}
REPLAYED_HEADER: dict[str, Any] = {
    REPLAYED: {
        "description": f"true: the answer to an earlier request with this {HEADER}",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


async def answer_once(
    sessions: Sessions, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer a request with an idempotency key by `app`, or as it was answered before.

    Raises IdempotencyKeyRejected, IdempotencyKeyReused, IdempotencyKeyInUse.
    """
    headers = Headers(scope=scope)
    attempt = _attempt(scope, headers)
    body = BodyDigest(receive, headers.get("content-type", ""))
    earlier = await run_in_threadpool(_hold, sessions, attempt)
    if earlier is not None:
        await _replay(earlier, attempt, body, send)
        return
    answer = _Answer(send)
    async with _renewed(sessions, attempt):
        try:
            await app(scope, body.receive, answer.send)
        except Exception:
            await run_in_threadpool(_end, sessions, attempt, body, None)
            raise
        await run_in_threadpool(_end, sessions, attempt, body, answer.stored())
    await answer.flush()


def _attempt(scope: Scope, headers: Headers) -> Attempt:
    keys = headers.getlist(HEADER)
    if len(keys) != 1 or not KEY.fullmatch(keys[0]):
        raise IdempotencyKeyRejected(
            f"{HEADER}: send it once, with 1 to {MAX_KEY_CHARACTERS} printable ASCII characters "
            "and no spaces, such as a UUID."
        )
    caller: Caller = scope["state"]["caller"]
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    query = scope["query_string"].decode("latin-1")
    return Attempt(
        _digest(caller.home, str(caller.key_id), keys[0]),
        _digest(scope["method"], scope["path"], query, media_type),
        uuid4(),
    )


def _digest(*parts: str) -> bytes:
    return sha256("\0".join(parts).encode()).digest()


def _hold(sessions: Sessions, attempt: Attempt) -> EarlierRequest | None:
    with sessions.begin() as session:
        return idempotency_keys.hold(session, attempt)


def _end(
    sessions: Sessions, attempt: Attempt, body: BodyDigest, answer: StoredAnswer | None
) -> None:
    """Keep the answer, if there is one and the request was read to its end; or free the key."""
    try:
        with sessions.begin() as session:
            if answer is not None and body.is_complete:
                idempotency_keys.store(session, attempt, body.digest(), answer)
            else:
                idempotency_keys.release(session, attempt)
    except SQLAlchemyError as error:  # what was done is done: the client is told so
        log.warning("an answer could not be kept under its %s: %s", HEADER, error)


async def _replay(earlier: EarlierRequest, attempt: Attempt, body: BodyDigest, send: Send) -> None:
    if earlier.request != attempt.request:
        raise IdempotencyKeyReused(_reused("address"))
    if earlier.answer is None:
        raise IdempotencyKeyInUse(
            f"A request with this {HEADER} is being answered. Send it again in a moment."
        )
    await body.drain()
    if body.digest() != earlier.body:
        raise IdempotencyKeyReused(_reused("body"))
    told = [*earlier.answer.headers, (REPLAYED.lower(), "true")]
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told]
    await send({"type": "http.response.start", "status": earlier.answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": earlier.answer.body})


def _reused(part: str) -> str:
    return (
        f"This {HEADER} was sent with another request: its {part} was different. Use a new key for "
        "each request, and the same one only to send that request again."
    )


@asynccontextmanager
async def _renewed(sessions: Sessions, attempt: Attempt) -> AsyncIterator[None]:
    """Hold the key for as long as the request is being answered."""
    renewing = asyncio.create_task(_keep_renewing(sessions, attempt))
    try:
        yield
    finally:
        renewing.cancel()


async def _keep_renewing(sessions: Sessions, attempt: Attempt) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            await run_in_threadpool(_renew, sessions, attempt)
        except SQLAlchemyError as error:
            log.warning("a hold of an %s was not renewed: %s", HEADER, error)


def _renew(sessions: Sessions, attempt: Attempt) -> None:
    with sessions.begin() as session:
        idempotency_keys.renew(session, attempt)


class _Answer:
    """Holds an answer back until it is kept; one that is too large passes at once."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: list[Message] = []
        self._size = 0

    async def send(self, message: Message) -> None:
        """As the `send` of the request."""
        self._size += len(message.get("body", b""))
        self._held.append(message)
        if self._size > MAX_ANSWER_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Send what is held back."""
        held, self._held = self._held, []
        for message in held:
            await self._send(message)

    def stored(self) -> StoredAnswer | None:
        """The answer, if it is to be kept."""
        if not self._held or self._size > MAX_ANSWER_BYTES:
            return None
        start, *bodies = self._held
        if start["status"] >= 500 or start["status"] in NOT_KEPT:
            return None
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
        ]
        body = b"".join(one.get("body", b"") for one in bodies)
        return StoredAnswer(start["status"], headers, body)
