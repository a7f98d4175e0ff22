"""JSON bodies of searches: they may hold pictures, and large ones wait on disk for memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import SpooledTemporaryFile

from anyio import to_thread
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from app.web.bodies import sent_pictures
from app.web.files.file_threads import picture_limiter

COPIES = 3  # of a body in memory: its bytes, the text in them, and the pictures in that
CHUNK_BYTES = 100_000


@asynccontextmanager
async def in_turn(receive: Receive) -> AsyncIterator[Receive]:
    """A `receive` of the same body; one over SPOOL_BYTES, once SENT_MEMORY has room for it.

    Until then such a body is on disk. Raises Busy, ClientDisconnect.
    """
    with SpooledTemporaryFile[bytes](sent_pictures.SPOOL_BYTES) as spooled:
        size = await spool(spooled, receive)
        async with _room(size):
            yield reading(spooled, size, receive)


async def spool(spooled: "SpooledTemporaryFile[bytes]", receive: Receive) -> int:
    """Put a body into a file, and say how many bytes it has. Raises ClientDisconnect."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        size += spooled.write(message.get("body", b""))
        if not message.get("more_body", False):
            return size


@asynccontextmanager
async def _room(size: int) -> AsyncIterator[None]:
    if size <= sent_pictures.SPOOL_BYTES:
        yield
        return
    memory = sent_pictures.SENT_MEMORY
    room = memory.reserve(min(COPIES * size, memory.limit))
    await to_thread.run_sync(room.__enter__, limiter=picture_limiter())
    try:
        yield
    finally:
        room.__exit__(None, None, None)


def reading(spooled: "SpooledTemporaryFile[bytes]", size: int, receive: Receive) -> Receive:
    """A `receive` of the body in the file, from its beginning."""
    spooled.seek(0)
    left = size
    is_begun = False

    async def read() -> Message:
        nonlocal left, is_begun
        if is_begun and not left:
            return await receive()  # waits for the client to hang up
        is_begun = True
        chunk = spooled.read(CHUNK_BYTES)
        left -= len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": left > 0}

    return read
