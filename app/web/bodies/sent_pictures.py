"""Pictures in request bodies: on disk until it is their turn to be decoded.

Otherwise the files of all requests that wait for `DECODING_MEMORY` would lie in memory.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import UploadFile

from app.errors import UploadRejected
from app.pictures.memory_budget import MemoryBudget
from app.web.problems.sent_names import Names, check_names

SPOOL_BYTES = 1_000_000  # of a file that stay in memory; Starlette keeps as many of a form's
SENT_MEMORY = MemoryBudget(100_000_000)
"""Bounds the bytes of sent files that are in memory at a time: four of the default's largest."""


@contextmanager
def in_memory(*files: UploadFile) -> Iterator[list[bytes]]:
    """The files' bytes. Waits while others hold the memory; raises Busy. Not on the event loop."""
    size = sum(file.size or 0 for file in files)
    with SENT_MEMORY.reserve(min(size, SENT_MEMORY.limit)):
        yield [file.file.read() for file in files]


async def _sent_picture(request: Request) -> AsyncIterator[UploadFile]:
    """The multipart field `file`, or else the whole body."""
    is_form = request.headers.get("content-type", "").startswith("multipart/form-data")
    received = _form_file(request) if is_form else _body_file(request)
    async for file in received:
        if not file.size:
            raise UploadRejected(
                "Send a picture: as multipart field `file`, or as the body itself."
            )
        yield file


async def _body_file(request: Request) -> AsyncIterator[UploadFile]:
    with SpooledTemporaryFile(SPOOL_BYTES) as spooled:
        file = UploadFile(spooled, size=0)  # type: ignore[arg-type]
        async for chunk in request.stream():
            await file.write(chunk)
        await file.seek(0)
        yield file


async def _form_file(request: Request) -> AsyncIterator[UploadFile]:
    try:
        form = await request.form()
    except UnicodeError as error:  # the form is not in the charset it declares
        raise UploadRejected("The form is not in the charset that it declares.") from error
    try:
        check_names("body", (name for name, _ in form.multi_items()), Names({"file"}))
        file = form.get("file")
        yield file if isinstance(file, UploadFile) else UploadFile(BytesIO(), size=0)
    finally:
        await form.close()


SentPicture = Annotated[UploadFile, Depends(_sent_picture)]
