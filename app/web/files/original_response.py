"""The response with an original file: one that is open, so that a deletion does not cut it."""

import re
import sys
from email.utils import formatdate
from functools import partial
from pathlib import PurePosixPath
from urllib.parse import quote

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from app.catalog.images.image_names import last_part
from app.catalog.originals import OnDisk, Streamed
from app.pictures.formats import FORMATS
from app.storage.bounded_reads import ORIGINALS
from app.web.files.conditional_requests import matches_etag
from app.web.files.file_threads import file_limiter
from app.web.problems.problems import problem

PIECE_BYTES = 1_000_000  # read and sent at a time
RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?")
ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"  # RFC 8187, 3.2.1, beside letters and digits
MAX_NAME_CHARACTERS = 200
SUFFIXES = {suffix for _, suffix in FORMATS.values()} | {".avifs", ".heif", ".jpeg", ".tiff"}


class OriginalResponse(Response):
    """Sends an open file, or one range of it, and closes it.

    Several ranges are answered with the whole file, as RFC 9110 allows.
    """

    def __init__(self, original: OnDisk, headers: dict[str, str]) -> None:
        self._original = original
        info = original.info
        super().__init__(media_type=original.media_type, headers=headers)
        self.headers["accept-ranges"] = "bytes"
        self.headers["etag"] = f'"{original.etag}"'
        self.headers["last-modified"] = formatdate(info.st_mtime, usegmt=True)
        self.headers["content-length"] = str(info.st_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers, and the file unless the client has it or asks for the headers only."""
        try:
            start, end = self._choose(Headers(scope=scope))
            if self.status_code == 416:
                size = self._original.info.st_size
                refusal = problem(416, f"The file has {size} bytes.", self._unsatisfied())
                return await refusal(scope, receive, send)
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            if scope.get("state", {}).get("is_head"):
                end = start
            while start < end:
                piece = await self._read(start, min(PIECE_BYTES, end - start))
                start += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._original.file.close()

    def _choose(self, headers: Headers) -> tuple[int, int]:
        """Set the status and the headers; returns where the body starts and ends."""
        size = self._original.info.st_size
        if matches_etag(self.headers["etag"], headers.get("if-none-match")):
            self.status_code = 304
            del self.headers["content-length"]
            return 0, 0
        if headers.get("if-range", self.headers["etag"]) != self.headers["etag"]:
            return 0, size
        found = _range(headers.get("range", ""), size)
        if found is None:
            return 0, size
        start, end = found
        self.status_code = 206 if start < end else 416
        self.headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
        self.headers["content-length"] = str(end - start)
        return start, end

    def _unsatisfied(self) -> dict[str, str]:
        return {"Content-Range": f"bytes */{self._original.info.st_size}"}

    async def _read(self, start: int, size: int) -> bytes:
        """A piece that is not empty. Raises SourceUnavailable, EOFError if the file was cut."""
        original = self._original

        def piece() -> bytes:
            original.file.seek(start)
            return original.file.read(size)

        read = partial(ORIGINALS.call, original.path, lambda _: piece())
        data = await to_thread.run_sync(read, limiter=file_limiter())
        if not data:
            raise EOFError(f"{original.path} was cut while it was sent.")
        return data


def streamed_response(
    original: Streamed, headers: dict[str, str], if_none_match: str | None, *, is_head: bool
) -> Response:
    """The response with an original, or a range of it, that is read from a bucket meanwhile."""
    opened = original.opened
    headers = {
        **headers,
        "Accept-Ranges": "bytes",
        "ETag": f'"{opened.etag}"',
        "Last-Modified": formatdate(opened.modified.timestamp(), usegmt=True),
    }
    if matches_etag(headers["ETag"], if_none_match):
        opened.close()
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(opened.size)
    if opened.content_range:
        headers["Content-Range"] = opened.content_range
    status = 206 if opened.content_range else 200
    if is_head:
        opened.close()
        return Response(status_code=status, headers=headers, media_type=original.media_type)
    return StreamingResponse(iter(opened), status, headers, original.media_type)


def single_range(header: str | None) -> str | None:
    """A Range header of one range; None for several, or none that is valid."""
    text = (header or "").strip().replace(" ", "")
    return text if _range(text, sys.maxsize) is not None else None


def _range(header: str, size: int) -> tuple[int, int] | None:
    """Start and end of the one range, empty if it is outside the file; None for no valid one."""
    found = RANGE.fullmatch(header.strip().replace(" ", ""))
    if found is None or found[1] is found[2] is None:
        return None
    if found[1] is None:  # the last so many bytes
        return max(0, size - int(found[2])), size
    start, last = int(found[1]), int(found[2] or size)
    if found[2] and last < start:
        return None
    return (start, min(last + 1, size)) if start < size else (size, size)


def content_disposition(origin: str, media_type: str) -> str:
    """Content-Disposition with the last part of a picture's path or URL as its file name.

    An extension that is no picture's is followed by the picture's own: a file that was called
    `photo.html` must not be saved as a web page.
    """
    name = "".join(c for c in last_part(origin) if c.isprintable())[-MAX_NAME_CHARACTERS:]
    if PurePosixPath(name).suffix.lower() not in SUFFIXES:
        name += next(suffix for kind, suffix in FORMATS.values() if kind == media_type)
    plain = re.sub(r'[^ -~]|["\\%]', "_", name)
    coded = quote(name, safe=ATTRIBUTE_CHARACTERS)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{coded}"
