"""JSON is compressed for clients that take gzip; pictures are compressed already."""

import gzip
import secrets
from io import BytesIO
from typing import Any

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.bodies.content_types import is_json

MIN_BYTES = 1_000  # of an answer that is compressed: a smaller one fits a packet anyway
THREAD_BYTES = 100_000  # of an answer from which on compressing would hold up the event loop
LEVEL = 4  # of 9: the levels above take longer than they save
MAX_PADDING = 100  # bytes


class JsonCompression:
    """Compresses answers of JSON that are sent as a whole; all else passes as it is.

    An answer with an ETag passes too: its compressed form would need another.

    Answers hold signed addresses beside texts that others may have written, and the size of what is
    compressed tells how alike the two are (BREACH). Where no cookie lets a foreign page ask in
    somebody's name, that takes a listener on the wire who also chooses the texts; padding of
    random length makes it impractical, as in Palacios et al., "Heal the Breach" (2022).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `send` that compresses, if the client takes gzip."""
        is_wanted = scope["type"] == "http" and _takes_gzip(Headers(scope=scope))
        await self._app(scope, receive, _Compressing(send) if is_wanted else send)


def _takes_gzip(headers: Headers) -> bool:
    for one in headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = one.replace(" ", "").partition(";q=")
        if name == "gzip":
            return quality.strip("0.") != "" or not quality
    return False


class _Compressing:
    """The `send` of one request."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None  # held back until the body is known

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_eligible(message):
            self._start = message
            return
        if self._start is not None:
            start, self._start = self._start, None
            message = await _compressed(start, message)
            await self._send(start)
        await self._send(message)


def _is_eligible(start: Message) -> bool:
    headers = Headers(raw=start.get("headers", []))
    has_form = "content-encoding" in headers or "etag" in headers
    return is_json(headers.get("content-type", "")) and not has_form


async def _compressed(start: Message, message: Message) -> Message:
    """The message with its body compressed, which the headers tell then; or as it is."""
    body = message.get("body", b"")
    if message.get("more_body") or len(body) < MIN_BYTES:
        return message
    headers = MutableHeaders(raw=start["headers"])
    headers.add_vary_header("Accept-Encoding")
    headers["Content-Encoding"] = "gzip"
    small = await run_in_threadpool(_gzipped, body) if len(body) > THREAD_BYTES else _gzipped(body)
    headers["Content-Length"] = str(len(small))
    changed: dict[str, Any] = {**message, "body": small}
    return changed


def _gzipped(body: bytes) -> bytes:
    """The body as a gzip file, with a name of random length in its header as padding."""
    padding = "x" * secrets.randbelow(MAX_PADDING + 1)
    small = BytesIO()
    with gzip.GzipFile(padding, "wb", LEVEL, small, mtime=0) as file:
        file.write(body)
    return small.getvalue()
